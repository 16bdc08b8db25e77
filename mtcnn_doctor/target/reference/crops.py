"""Square crops for R-Net and O-Net: area averages of boxes, zero outside the image.

The definition of the average is that of :mod:`.area`, with the box in place of the image. Boxes
of similar width are averaged together, as windows of one width; where a box sticks out of the
image, nothing is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .area import MEAN, SCALE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .area import ColumnSums

__all__ = ["crop"]

# Numbers in one batch of windows: bounds memory, and larger ones leave the cache.
_WINDOW_NUMBERS = 1 << 18
# Windows are as wide as the widest box of a batch; a box may be narrower by this factor at most.
_SPREAD = 1.25


def crop(sums: ColumnSums, boxes: NDArray[np.float64], size: int) -> NDArray[Any]:
    """Crops (N, 3, size, size), normalised to (p - 127.5) / 128; outside the image p is 0.

    ``boxes``: (N, 4) x1, y1, x2, y2 in pixels, counted from 1 and inclusive as in the published
    implementations, so the crop covers columns x1-1 up to and including x2-1 of the array. A box
    without any area gives zeros (p = 0).
    """
    result = np.full((len(boxes), 3, size, size), -MEAN, sums.dtype)
    low = boxes[:, :2] - 1
    length = boxes[:, 2:] - low
    extent = (sums.width, sums.height)
    inside: NDArray[np.bool_] = np.all((low < extent) & (boxes[:, 2:] > 0) & (length > 0), axis=1)
    # Pixels of a row that a box may touch.
    need = np.minimum(boxes[:, 2], sums.width) - np.maximum(low[:, 0], 0)
    order = np.argsort(need, kind="stable")
    order = order[inside[order]]
    start = 0
    while start < len(order):
        largest = need[order[start]] * _SPREAD + 1
        stop = int(np.searchsorted(need[order], largest, side="right"))
        width = _window(need[order[stop - 1]], sums)
        stop = min(stop, start + max(1, _WINDOW_NUMBERS // (3 * width * (size + 1))))
        some = order[start:stop]
        width = _window(need[some[-1]], sums)
        result[some] = _batch(sums, low[some], length[some], size, width)
        start = stop
    return result


def _window(need: float, sums: ColumnSums) -> int:
    return min(int(np.ceil(need)) + 1, sums.width)


def _batch(
    sums: ColumnSums,
    low: NDArray[np.float64],
    length: NDArray[np.float64],
    size: int,
    width: int,
) -> NDArray[Any]:
    """Crops of boxes whose part inside the image fits into ``width`` columns."""
    steps = np.arange(size + 1) / size
    # Beyond the image there is nothing to be counted.
    edges = np.clip(low[:, 1:] + length[:, 1:] * steps, 0, sums.height)
    start, weights = _weights(low[:, 0], length[:, 0], steps, width, sums.width)
    averaged = sums.between_in(edges, start, width).reshape(len(low), size, width, 3)
    planes = np.ascontiguousarray(averaged.transpose(0, 3, 1, 2)).reshape(len(low), -1, width)
    result: NDArray[Any] = planes @ weights.astype(sums.dtype).transpose(0, 2, 1)
    area = length[:, 0] * length[:, 1]
    result *= (SCALE * size * size / area).astype(sums.dtype)[:, None, None]
    result -= MEAN
    return np.reshape(result, (len(low), 3, size, size))


def _weights(
    low: NDArray[np.float64],
    length: NDArray[np.float64],
    steps: NDArray[np.float64],
    width: int,
    extent: int,
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """First column of each window (N,), and how much of its pixels counts (N, size, width)."""
    start = np.clip(np.floor(low), 0, extent - width)
    # Boxes in whole pixels: most windows begin where their box does, and there are few lengths.
    # So few sets of weights are to be computed. Only at the border does every box have its own.
    if (low == start).all() and (low + length <= extent).all():
        _, first, which = np.unique(length, return_index=True, return_inverse=True)
    else:
        first = which = np.arange(len(low))
    edges = np.clip(low[first, None] + length[first, None] * steps, 0, extent) - start[first, None]
    # How much of [0, e) lies in each pixel; what lies between two edges is the difference.
    covered = edges[:, :, None] - np.arange(width)
    np.clip(covered, 0.0, 1.0, out=covered)
    return start.astype(np.intp), np.diff(covered, axis=1)[which.reshape(-1)]
