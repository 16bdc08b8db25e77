"""Box arithmetic of the cascade: suppression, calibration, squares, truncation.

A box list is float64 (N, 4): x1, y1, x2, y2 in pixels of the image, counted from 1 and inclusive,
so a box is x2 - x1 + 1 wide. Formulas: the published Caffe and facenet implementations of MTCNN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["calibrate", "nms", "square", "truncate"]


def nms(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float, mode: str = "union"
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression; indices of the boxes kept, best score first.

    The best remaining box is kept, and those that overlap it by more than ``threshold`` fall out;
    a box that has fallen out suppresses nothing. Overlap is the intersection divided by the union
    (``mode`` "union") or by the smaller of the two areas ("min"), areas in inclusive pixels. Of
    equal scores the earlier index comes first, so the result never depends on a sort's mood.

    ``boxes``: (N, 4), ``scores``: (N,), both finite. Raises ValueError for another mode.
    """
    if mode not in ("union", "min"):
        raise ValueError(f"mode is {mode!r}, expected 'union' or 'min'")
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(boxes[order].T)
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    # Positions in the sorted list, not yet decided; all arrays shrink together, so the cost is
    # kept boxes times remaining boxes, without an N x N matrix.
    left = np.arange(len(order))
    kept: list[int] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(order[best]))
        width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left]) + 1
        height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left]) + 1
        shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
        if mode == "union":
            whole = area[best] + area[left] - shared
        else:
            whole = np.minimum(area[best], area[left])
        # Written as a product, so that an empty box cannot divide by zero.
        left = left[shared <= threshold * whole]
    return np.array(kept, dtype=np.intp)


def calibrate(
    boxes: NDArray[np.float64], offsets: NDArray[Any], plus_one: bool = True
) -> NDArray[np.float64]:
    """Move the corners by what a network regressed, in units of the box size.

    ``offsets``: (N, 4) dx1, dy1, dx2, dy2. The box size is inclusive (x2 - x1 + 1) for R-Net and
    O-Net; the published code leaves the one out for P-Net (``plus_one`` False).
    """
    extra = 1.0 if plus_one else 0.0
    width = boxes[:, 2] - boxes[:, 0] + extra
    height = boxes[:, 3] - boxes[:, 1] + extra
    moves: NDArray[np.float64] = offsets.astype(np.float64)
    return boxes + moves * np.stack([width, height, width, height], axis=1)


def square(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grow the shorter side to the longer around the same centre (sizes x2 - x1, no one added)."""
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    x1 = boxes[:, 0] + width / 2 - side / 2
    y1 = boxes[:, 1] + height / 2 - side / 2
    return np.stack([x1, y1, x1 + side, y1 + side], axis=1)


def truncate(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut coordinates to whole pixels, towards zero (MATLAB's ``fix``)."""
    whole: NDArray[np.float64] = np.trunc(boxes)
    return whole
