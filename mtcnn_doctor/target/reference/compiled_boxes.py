"""Choosing P-Net's cells and suppressing boxes, in compiled loops over arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import compiled

__all__ = ["fill_passing", "fill_suppressed", "fill_suppressed_cells"]


@compiled
def fill_passing(logits: Any, offsets: Any, margin: float, cells: Any) -> Any:
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


@compiled
def _overlaps(boxes: Any, i: int, j: int, threshold: float, smaller: bool) -> bool:
    """Whether two boxes overlap by more than the threshold, by the arithmetic of suppression."""
    width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + 1
    height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + 1
    one = (boxes[i, 2] - boxes[i, 0] + 1) * (boxes[i, 3] - boxes[i, 1] + 1)
    other = (boxes[j, 2] - boxes[j, 0] + 1) * (boxes[j, 3] - boxes[j, 1] + 1)
    shared = max(width, 0.0) * max(height, 0.0)
    whole = min(one, other) if smaller else one + other - shared
    over: bool = shared > threshold * whole
    return over


@compiled
def fill_suppressed(boxes: Any, order: Any, threshold: float, smaller: bool, kept: Any) -> int:
    """Fill ``kept`` with the boxes that stay, best first; returns their number."""
    fallen = np.zeros(len(order), np.bool_)
    count = 0
    for place in range(len(order)):
        i = order[place]
        if fallen[i]:
            continue
        kept[count] = i
        count += 1
        for j in order[place + 1 :]:
            if not fallen[j]:
                fallen[j] = _overlaps(boxes, i, j, threshold, smaller)
    return count


@compiled
def fill_suppressed_cells(
    boxes: Any, order: Any, cells: Any, rows: int, columns: int, reach: int, threshold: float,
    kept: Any,
) -> int:  # fmt: skip
    """Fill ``kept`` with the boxes that stay, best first; returns their number."""
    index = np.full(rows * columns, -1, np.intp)
    for i in range(len(cells)):
        index[cells[i]] = i
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
                fallen[j] = _overlaps(boxes, i, j, threshold, False)
    return count
