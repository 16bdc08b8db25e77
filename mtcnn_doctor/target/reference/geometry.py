"""Box arithmetic of the cascade: calibration, squares, truncation.

A box list is float64 (N, 4): x1, y1, x2, y2 in pixels of the image, counted from 1 and inclusive,
so a box is x2 - x1 + 1 wide. Formulas: the published Caffe and facenet implementations of MTCNN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["calibrate", "square", "truncate"]


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
