"""The averages of :mod:`.averages` in compiled loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .area import MEAN, SCALE
from .jit import compiled_and_fused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .lanes import Lanes

__all__ = ["CompiledAverages"]


class CompiledAverages:
    """Area averages of one image, by compiled loops. Parameters as :class:`.averages.Averages`."""

    def __init__(self, image: NDArray[Any], dtype: Any, lanes: Lanes) -> None:
        self._scratch, self._dtype = lanes.scratch, np.dtype(dtype)
        self._channels_last = lanes.channels_last
        self._pixels = np.ascontiguousarray(image).reshape(image.shape[0], -1)
        self._scale, self._mean = self._dtype.type(SCALE), self._dtype.type(MEAN)

    def level(self, size: tuple[int, int], start: int, stop: int) -> NDArray[Any]:
        """See :func:`.pyramid.level_rows`; scratch memory, too."""
        height, width = stop - start, size[1]
        rows: NDArray[Any]
        if self._channels_last:
            rows = self._scratch.array("level", (height, width, 3), self._dtype).transpose(2, 0, 1)
        else:
            rows = self._scratch.array("level", (3, height, width), self._dtype)
        _level(self._pixels, size[0], start, rows, self._scale, self._mean)
        return rows[None]

    def crops(self, boxes: NDArray[np.float64], size: int) -> NDArray[Any]:
        """See :func:`.crops.crop`."""
        result: NDArray[Any]
        if self._channels_last:
            result = np.empty((len(boxes), size, size, 3), self._dtype).transpose(0, 3, 1, 2)
        else:
            result = np.empty((len(boxes), 3, size, size), self._dtype)
        _crops(self._pixels, boxes, result, self._scale, self._mean)
        return result


@compiled_and_fused
def _coverage(
    low: float, length: float, extent: int, factor: float, first: Any, count: Any, weights: Any
) -> None:
    """Divide [low, low + length) into equal parts; what each covers of which pixels.

    Part i covers pixels [first[i], first[i] + count[i]) with ``weights[i]``, the mean's times
    ``factor``; pixels outside [0, extent) do not count.
    """
    parts = len(first)
    step = length / parts
    for i in range(parts):
        begin = min(max(low + i * step, 0.0), float(extent))
        end = min(max(low + (i + 1) * step, 0.0), float(extent))
        first[i] = int(begin)
        count[i] = math.ceil(end) - first[i] if end > begin else 0
        for k in range(count[i]):
            at = float(first[i] + k)
            weights[i, k] = (min(end, at + 1.0) - max(begin, at)) * factor / step


@compiled_and_fused
def _blend(pixels: Any, row: int, count: int, weights: Any, start: int, total: Any) -> None:
    """Weighted sum of ``count`` rows from ``row`` on, from column ``start`` on, into ``total``."""
    size = len(total)
    a, first = weights[0], pixels[row, start : start + size]
    if count == 1:
        for i in range(size):
            total[i] = a * first[i]
        return
    b, second = weights[1], pixels[row + 1, start : start + size]
    if count == 2:
        for i in range(size):
            total[i] = a * first[i] + b * second[i]
        return
    c, third = weights[2], pixels[row + 2, start : start + size]
    for i in range(size):
        total[i] = a * first[i] + b * second[i] + c * third[i]
    for k in range(3, count):
        d, other = weights[k], pixels[row + k, start : start + size]
        for i in range(size):
            total[i] += d * other[i]


@compiled_and_fused
def _gather(
    total: Any,
    start: int,
    first: Any,
    count: Any,
    weights: Any,
    mean: Any,
    red: Any,
    green: Any,
    blue: Any,
) -> None:
    """Weighted sums of the pixels of a blended row, less the mean, one channel each."""
    for i in range(len(first)):
        r, g, b = -mean, -mean, -mean
        at = 3 * (first[i] - start)
        for k in range(count[i]):
            weight = weights[i, k]
            r += weight * total[at]
            g += weight * total[at + 1]
            b += weight * total[at + 2]
            at += 3
        red[i], green[i], blue[i] = r, g, b


@compiled_and_fused
def _level(pixels: Any, height: int, start: int, result: Any, scale: Any, mean: Any) -> None:
    """Rows of a level ``height`` rows high, from ``start`` on, as many as ``result`` has."""
    source = len(pixels)
    extent, rows, width = pixels.shape[1] // 3, result.shape[1], result.shape[2]
    step = source / height
    x_first, x_count = np.empty(width, np.intp), np.empty(width, np.intp)
    x_weights = np.empty((width, extent // width + 3), result.dtype)
    _coverage(0.0, float(extent), extent, 1.0, x_first, x_count, x_weights)
    y_first, y_count = np.empty(rows, np.intp), np.empty(rows, np.intp)
    y_weights = np.empty((rows, source // height + 3), result.dtype)
    _coverage(start * step, rows * step, source, scale, y_first, y_count, y_weights)
    total = np.empty(3 * extent, result.dtype)
    for y in range(rows):
        _blend(pixels, y_first[y], y_count[y], y_weights[y], 0, total)
        _gather(
            total, 0, x_first, x_count, x_weights, mean, result[0, y], result[1, y], result[2, y]
        )


@compiled_and_fused
def _crops(pixels: Any, boxes: Any, result: Any, scale: Any, mean: Any) -> None:
    """Crops of boxes (N, 4), x1, y1, x2, y2 counted from 1 and inclusive, all into ``result``."""
    height, extent, size = len(pixels), pixels.shape[1] // 3, result.shape[2]
    longest = 1.0
    for i in range(len(boxes)):
        longest = max(longest, boxes[i, 2] - boxes[i, 0] + 1, boxes[i, 3] - boxes[i, 1] + 1)
    # What lies outside does not count, so no part is made of more pixels than there are.
    most = int(min(longest / size, float(max(extent, height)))) + 3
    x_first, x_count = np.empty(size, np.intp), np.empty(size, np.intp)
    y_first, y_count = np.empty(size, np.intp), np.empty(size, np.intp)
    x_weights, y_weights = (
        np.empty((size, most), result.dtype),
        np.empty((size, most), result.dtype),
    )
    total = np.empty(3 * extent, result.dtype)
    for i in range(len(boxes)):
        left, top = boxes[i, 0] - 1, boxes[i, 1] - 1
        wide, high = boxes[i, 2] - left, boxes[i, 3] - top
        begin = math.floor(min(max(left, 0.0), float(extent)))
        end = math.ceil(min(max(left + wide, 0.0), float(extent)))
        result[i] = -mean
        if wide <= 0 or high <= 0 or end <= begin:
            continue
        _coverage(left, wide, extent, 1.0, x_first, x_count, x_weights)
        _coverage(top, high, height, scale, y_first, y_count, y_weights)
        window = total[: 3 * (end - begin)]
        for y in range(size):
            if y_count[y] == 0:
                continue
            _blend(pixels, y_first[y], y_count[y], y_weights[y], 3 * begin, window)
            _gather(
                window,
                begin,
                x_first,
                x_count,
                x_weights,
                mean,
                result[i, 0, y],
                result[i, 1, y],
                result[i, 2, y],
            )
