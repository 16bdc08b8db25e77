"""Resizing images before they are measured, with NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def fitted(pixels: NDArray[np.uint8], size: Sequence[int] | None, exact: bool) -> NDArray[np.uint8]:
    """Return an image at the size asked for, or as it is where ``size`` is None.

    ``size``: width and height. Unless ``exact`` the image keeps its proportions and gets the
    largest size that fits into these.
    """
    if size is None:
        return pixels
    import numpy

    width, height = int(size[0]), int(size[1])
    if not exact:
        scale = min(width / pixels.shape[1], height / pixels.shape[0])
        width = max(1, int(pixels.shape[1] * scale + 0.5))
        height = max(1, int(pixels.shape[0] * scale + 0.5))
    if pixels.shape[:2] == (height, width):
        return pixels
    averages = area_average(pixels, height, width)
    return numpy.clip(numpy.rint(averages), 0, 255).astype(numpy.uint8)


def area_average(pixels: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Return (height, width, C) float64: each pixel is the mean of the area it covers."""
    columns = _along_first(pixels, height).swapaxes(0, 1)
    averages: NDArray[np.float64] = _along_first(columns, width).swapaxes(0, 1)
    return averages


def _along_first(pixels: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Average the first axis to ``count``: differences of the running sum between the edges."""
    import numpy

    length = pixels.shape[0]
    sums = numpy.zeros((length + 1, *pixels.shape[1:]))
    numpy.cumsum(pixels, axis=0, dtype=numpy.float64, out=sums[1:])
    edges = numpy.linspace(0.0, length, count + 1)
    whole = numpy.minimum(edges.astype(numpy.intp), length - 1)
    part = (edges - whole).reshape(-1, *(1,) * (pixels.ndim - 1))
    at_edges = sums[whole] * (1 - part) + sums[whole + 1] * part
    averages: NDArray[np.float64] = numpy.diff(at_edges, axis=0) * (count / length)
    return averages
