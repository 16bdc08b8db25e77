"""Greedy non-maximum suppression, without a loop over boxes and without an N x N matrix.

The best remaining box is kept, and those that overlap it by more than a threshold fall out; a box
that has fallen out suppresses nothing. Overlap is the intersection divided by the union ("union")
or by the smaller of the two areas ("min"), areas in inclusive pixels. Of equal scores the earlier
index comes first, so the result never depends on a sort's mood.

Only pairs that overlap too much decide anything. They are found first, among neighbours: cells of
one pyramid level overlap only within a few cells, other boxes only where rows and columns meet.
Then all boxes that no better undecided box overlaps are kept at once, what they overlap falls
out, and so on; that gives what deciding one box after the other gives, in few rounds (greedy
selection is the lexicographically first maximal independent set; Blelloch et al., 2012, "Greedy
sequential maximal independent set and matching are parallel on average").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Callable, Iterator

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cells_apart", "nms", "nms_grid"]

# Candidates for a pair looked at in one go: bounds memory to about 25 MiB.
_PAIRS = 1 << 18

_Pairs = Iterator["tuple[NDArray[np.intp], NDArray[np.intp]]"]


def nms(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float, mode: str = "union"
) -> NDArray[np.intp]:
    """Indices of the boxes kept, best score first.

    ``boxes``: (N, 4) x1, y1, x2, y2 in inclusive pixels, ``scores``: (N,), both finite. Raises
    ValueError for another mode.
    """
    if mode not in ("union", "min"):
        raise ValueError(f"mode is {mode!r}, expected 'union' or 'min'")
    return _suppress(boxes, scores, threshold, mode, lambda: _meeting(boxes))


def nms_grid(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    cells: NDArray[np.intp],
    grid: tuple[int, int],
    scale: float,
    threshold: float,
) -> NDArray[np.intp]:
    """As :func:`nms` with "union" for boxes of P-Net's cells on one level.

    ``cells``: (N,) ascending indices into the flattened ``grid`` (rows, columns). Box (i, j) spans
    fix((2i + 1) / scale) to fix((2i + 12) / scale) in x, the same with j in y.
    """
    reach = cells_apart(scale, threshold)
    return _suppress(boxes, scores, threshold, "union", lambda: _near_cells(cells, grid, reach))


def cells_apart(scale: float, threshold: float) -> int:
    """How many cells apart two boxes of a level can be whose overlap exceeds a threshold.

    With inclusive widths between a = 11 / scale and a + 2 and x1 apart by at least 2d / scale - 1,
    two boxes d cells apart share at most a + 3 - 2d / scale columns, and a union overlap above t
    needs more than t * a of them.
    """
    return max(0, math.floor((3 * scale + 11 * (1 - threshold)) / 2))


def _suppress(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    threshold: float,
    mode: str,
    candidates: Callable[[], _Pairs],
) -> NDArray[np.intp]:
    order = np.argsort(-scores, kind="stable")
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    better, worse = [], []
    for a, b in candidates():
        width = np.minimum(x2[a], x2[b]) - np.maximum(x1[a], x1[b]) + 1
        height = np.minimum(y2[a], y2[b]) - np.maximum(y1[a], y1[b]) + 1
        shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
        whole = area[a] + area[b] - shared if mode == "union" else np.minimum(area[a], area[b])
        # Written as a product, so that an empty box cannot divide by zero.
        overlapping = shared > threshold * whole
        first, second = rank[a[overlapping]], rank[b[overlapping]]
        better.append(np.minimum(first, second))
        worse.append(np.maximum(first, second))
    if not better:
        return order
    kept = _greedy(len(order), np.concatenate(better), np.concatenate(worse))
    return order[kept]


def _greedy(count: int, better: NDArray[np.intp], worse: NDArray[np.intp]) -> NDArray[np.intp]:
    """Ranks kept of ``count`` boxes, given all pairs (by rank) of which only one may stay."""
    undecided, kept = np.ones(count, bool), np.zeros(count, bool)
    while len(better):
        blocked = np.zeros(count, bool)
        blocked[worse] = True
        winners = undecided & ~blocked
        kept |= winners
        undecided &= blocked
        undecided[worse[winners[better]]] = False
        alive = undecided[better] & undecided[worse]
        better, worse = better[alive], worse[alive]
    return np.flatnonzero(kept | undecided)


def _near_cells(cells: NDArray[np.intp], grid: tuple[int, int], reach: int) -> _Pairs:
    """All pairs of candidates at most ``reach`` cells apart, each pair once."""
    rows, columns = grid
    row, column = np.divmod(cells, columns)
    # A margin of `reach` empty cells around the grid saves every test for its border.
    wide = columns + 2 * reach
    index = np.full((rows + 2 * reach) * wide, -1, np.intp)
    place = (row + reach) * wide + column + reach
    index[place] = np.arange(len(cells))
    steps = [
        down * wide + right
        for down in range(reach + 1)
        for right in range(-reach, reach + 1)
        if down > 0 or right > 0
    ]
    chunk = max(1, _PAIRS // max(1, len(steps)))
    offsets = np.array(steps, np.intp)
    for start in range(0, len(cells), chunk):
        neighbour = index[place[start : start + chunk, None] + offsets]
        at, step = np.nonzero(neighbour >= 0)
        yield at + start, neighbour[at, step]


def _meeting(boxes: NDArray[np.float64]) -> _Pairs:
    """All pairs of boxes whose columns meet, or whose rows do if those are fewer, each once."""
    order, count = min(
        (_followers(boxes[:, 0], boxes[:, 2]), _followers(boxes[:, 1], boxes[:, 3])),
        key=lambda axis: int(axis[1].sum()),
    )
    total = np.cumsum(count)
    start = 0
    while start < len(order):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _PAIRS, side="right")))
        some = count[start:stop]
        first = np.repeat(np.arange(start, stop), some)
        begin = np.repeat(np.cumsum(some) - some, some)
        second = first + 1 + np.arange(len(first)) - begin
        yield order[first], order[second]
        start = stop


def _followers(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Boxes by where they begin; behind each, how many begin before it has ended."""
    order = np.argsort(low, kind="stable")
    end = np.searchsorted(low[order], high[order] + 1, side="left")
    return order, np.maximum(end - np.arange(1, len(order) + 1), 0)
