"""An array that is, or is to be, given to a detector: its shape, type, values and layout.

Needs NumPy to be imported by whoever has the array; nothing else. Facts only, no opinion: which of
them are faults is said by the checks of the family "input".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["describe"]

#: Elements looked at in one step: an array of 100 megapixels must not be copied as a whole.
_STEP = 1 << 22


def describe(array: Any, name: str) -> dict[str, Any]:
    """Return the facts of what somebody wants to give to a detector.

    What is no array is told by its type alone (``kind``).
    """
    facts: dict[str, Any] = {"name": name, "kind": type(array).__name__}
    if not hasattr(array, "dtype") or not hasattr(array, "strides"):
        facts["kind"] = "nothing" if array is None else facts["kind"]
        return facts
    shape = [int(length) for length in array.shape]
    facts.update(
        kind="array",
        shape=shape,
        dtype=str(array.dtype.name),
        swapped=not array.dtype.isnative,
        layout=_layout(array),
    )
    if array.dtype.kind in "biuf" and array.size:
        facts.update(_values(array))
        if array.ndim == 3 and shape[2] == 3:
            facts["equal_channels"] = bool(
                (array[..., 0] == array[..., 1]).all() and (array[..., 1] == array[..., 2]).all()
            )
    return facts


def _values(array: NDArray[Any]) -> dict[str, Any]:
    """Return the smallest and largest finite value, and how many are not finite."""
    import numpy

    low, high, broken = None, None, 0
    # "K" keeps a view whatever the layout, so that nothing is copied but the steps.
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel(order="K")
    for start in range(0, flat.size, _STEP):
        part = flat[start : start + _STEP]
        if array.dtype.kind == "f":
            finite = numpy.isfinite(part)
            broken += int(part.size - finite.sum())
            part = part[finite]
        if part.size:
            least, most = float(part.min()), float(part.max())
            low = least if low is None else min(low, least)
            high = most if high is None else max(high, most)
    return {"minimum": low, "maximum": high, "nonfinite": broken}


def _layout(array: NDArray[Any]) -> str:
    """Return how an array lies in memory.

    "contiguous"; "rows" where only whole rows have gaps between them, as in a crop; "negative"
    where an axis runs backwards; "scattered" otherwise, as after a transposition.
    """
    if array.size and any(stride < 0 for stride in array.strides):
        return "negative"
    if array.flags.c_contiguous:
        return "contiguous"
    inner = array[0] if array.ndim > 1 and array.shape[0] else array
    return "rows" if inner.flags.c_contiguous else "scattered"
