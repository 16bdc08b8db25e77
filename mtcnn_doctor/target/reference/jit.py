"""Compiling a loop with numba."""

from __future__ import annotations

from typing import Any, Callable

import numba  # noqa: TID253 - this module is imported only when it is asked for

__all__ = ["compiled", "compiled_and_fused"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, without Python's lock, and keep the outcome for other processes.

    The arithmetic is NumPy's, operation by operation.
    """
    return _compiled(function)


def compiled_and_fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile likewise, and let products fuse with sums: faster, and rounded less often."""
    return _compiled(function, fastmath={"contract"})


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    options.update(nogil=True, error_model="numpy")
    # The outcome is kept by the function's name, and whoever loads it imports this package by the
    # name that it had for whoever compiled: in a child of the doctor it has another.
    function.__qualname__ = f"{__name__.partition('.')[0]}.{function.__qualname__}"
    try:
        made: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no place where this user may write
        made = numba.njit(**options)(function)
    return made
