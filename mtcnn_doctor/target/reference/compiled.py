"""The kernels of :mod:`.kernels` in loops that numba compiles: the same numbers, much faster.

NumPy needs a dozen passes over memory where these loops need one, and while a compiled loop runs
another thread has Python to itself. Measured with a 1280 x 720 image: 15 ms of resampling become
5, 22 ms of crops 5, 10 ms of choosing boxes 2, and the table of column sums, 12 bytes a pixel, is
not needed.

numba is never required, and a doctor who examines somebody's environment does without it: LLVM in
the process would change the patient.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

import numba  # noqa: TID253 - this module is imported only when it is asked for
import numpy as np

from .area import MEAN, SCALE
from .suppression import cells_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .lanes import Lanes

__all__ = ["CompiledAverages", "CompiledKernels"]


class CompiledKernels:
    """See :class:`.kernels.Kernels`."""

    @staticmethod
    def averages(image: NDArray[Any], dtype: Any, lanes: Lanes) -> CompiledAverages:
        """Area averages of one image."""
        return CompiledAverages(image, dtype, lanes)

    @staticmethod
    def passing(
        logits: NDArray[Any], offsets: NDArray[Any], margin: float
    ) -> tuple[NDArray[np.intp], bool]:
        """See :func:`.kernels.passing`."""
        cells = np.empty(logits.shape[1], np.intp)
        count, clean = _passing(
            np.ascontiguousarray(logits), np.ascontiguousarray(offsets), margin, cells
        )
        return cells[:count], clean

    @staticmethod
    def nms_grid(
        boxes: NDArray[np.float64],
        scores: NDArray[np.float64],
        cells: NDArray[np.intp],
        grid: tuple[int, int],
        scale: float,
        threshold: float,
    ) -> NDArray[np.intp]:
        """See :func:`.suppression.nms_grid`."""
        order = np.argsort(-scores, kind="stable")
        reach = cells_apart(scale, threshold)
        kept = np.empty(len(order), np.intp)
        count = _suppress(
            np.ascontiguousarray(boxes), order, cells, grid[0], grid[1], reach, threshold, kept
        )
        return kept[:count]


class CompiledAverages:
    """Area averages of one image, by compiled loops. Parameters as :class:`.averages.Averages`."""

    def __init__(self, image: NDArray[Any], dtype: Any, lanes: Lanes) -> None:
        self._scratch, self._dtype = lanes.scratch, np.dtype(dtype)
        self._pixels = np.ascontiguousarray(image).reshape(image.shape[0], -1)
        self._scale, self._mean = self._dtype.type(SCALE), self._dtype.type(MEAN)

    def level(self, size: tuple[int, int], start: int, stop: int) -> NDArray[Any]:
        """See :func:`.pyramid.level_rows`; scratch memory, too."""
        rows = self._scratch.array("level", (3, stop - start, size[1]), self._dtype)
        _level(self._pixels, size[0], start, rows, self._scale, self._mean)
        return rows[None]

    def crops(self, boxes: NDArray[np.float64], size: int) -> NDArray[Any]:
        """See :func:`.crops.crop`."""
        result = np.empty((len(boxes), 3, size, size), self._dtype)
        _crops(self._pixels, boxes, result, self._scale, self._mean)
        return result


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, without Python's lock, and keep the outcome for other processes.

    "contract" lets the compiler fuse a product with a sum, which only adds precision.
    """
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no place where this user may write
        compiled = numba.njit(**options)(function)
    return compiled


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
def _passing(logits: Any, offsets: Any, margin: float, cells: Any) -> Any:
    """Fill ``cells`` with the cells of a face; returns their number and whether all are finite."""
    count, clean = 0, True
    for i in range(logits.shape[1]):
        total = logits[0, i] + logits[1, i]
        for k in range(4):
            total += offsets[k, i]
        if not np.isfinite(total):  # one of them is not, or the sum is too large
            good = np.isfinite(logits[0, i]) and np.isfinite(logits[1, i])
            for k in range(4):
                good = good and np.isfinite(offsets[k, i])
            if not good:
                clean = False
                continue
        if logits[1, i] - logits[0, i] >= margin:
            cells[count] = i
            count += 1
    return count, clean


@_compiled
def _suppress(
    boxes: Any, order: Any, cells: Any, rows: int, columns: int, reach: int, threshold: float,
    kept: Any,
) -> int:  # fmt: skip
    """Fill ``kept`` with the boxes that stay, best first; returns their number."""
    index = np.full(rows * columns, -1, np.intp)
    for i in range(len(cells)):
        index[cells[i]] = i
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    fallen = np.zeros(len(order), np.bool_)
    count = 0
    for i in order:
        if fallen[i]:
            continue
        kept[count] = i
        count += 1
        row, column = cells[i] // columns, cells[i] % columns
        for y in range(max(0, row - reach), min(rows, row + reach + 1)):
            for x in range(max(0, column - reach), min(columns, column + reach + 1)):
                j = index[y * columns + x]
                if j < 0 or j == i or fallen[j]:
                    continue
                width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + 1
                height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + 1
                shared = max(width, 0.0) * max(height, 0.0)
                fallen[j] = shared > threshold * (area[i] + area[j] - shared)
    return count
