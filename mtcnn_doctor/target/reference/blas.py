"""Holding NumPy's own matrix library to one thread for a while.

NumPy's wheels bring OpenBLAS, which starts a thread a processor. When several threads of ours call
it at once they wait for each other, spinning: measured, two lanes took 3.5 times the processor time
of one. What is done here is what threadpoolctl does, for this one library, because the target may
have no package but NumPy. Where NumPy was built with something else, nothing is done.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator

__all__ = ["one_blas_thread"]

_lock = threading.Lock()
_users = 0
_before: int | None = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit OpenBLAS to one thread in this process; the last one to leave restores the number."""
    global _users, _before
    library = _openblas()
    if library is None:
        yield
        return
    getter, setter = library
    with _lock:
        if _users == 0:
            _before = int(getter())
            setter(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _before is not None:
                setter(_before)


@lru_cache(maxsize=1)
def _openblas() -> tuple[Any, Any] | None:
    """The functions that read and set the number of threads of NumPy's OpenBLAS."""
    numpy = sys.modules.get("numpy")
    origin = getattr(numpy, "__file__", None)
    if origin is None:
        return None
    package = Path(origin).parent
    # Beside the package in wheels for Linux and Windows, inside it in those for macOS.
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            found = _functions(path)
            if found is not None:
                return found
    return None


def _functions(path: Path) -> tuple[Any, Any] | None:
    try:
        library = ctypes.CDLL(str(path))  # loaded by NumPy already: this only looks it up
    except OSError:
        return None
    for prefix, suffix in (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "")):
        name = f"{prefix}openblas_%s_num_threads{suffix}"
        try:
            return getattr(library, name % "get"), getattr(library, name % "set")
        except AttributeError:
            continue
    return None
