"""What the cascade answers with.

Coordinates. Boxes follow the published code, which counts pixels from 1 in its boxes and from 0
in its landmarks: a face's left column x0 of the array comes out as x = x0 + 1. They are not
clipped to the image. Width and height are x2 - x1 and y2 - y1, without the inclusive one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KEYPOINTS", "Detection", "Judged", "Level", "Result", "Stages"]

#: Names of the five keypoints in the networks' order; left and right as seen in the image.
KEYPOINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


@dataclass(frozen=True)
class Detection:
    """One face: ``box`` x, y, width, height and ``keypoints`` x, y, all in pixels, unclipped."""

    box: tuple[float, float, float, float]
    confidence: float
    keypoints: dict[str, tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "box": list(self.box),
            "confidence": self.confidence,
            "keypoints": {name: list(point) for name, point in self.keypoints.items()},
        }


@dataclass(frozen=True)
class Result:
    """Outcome of :func:`detect`.

    ``detections``: best first. ``levels``: (height, width) of the pyramid, largest first.
    ``candidates``: boxes left after the stages ``pnet``, ``rnet`` and ``onet``. ``non_finite``:
    where a network answered NaN or infinity, such as "pnet level 3"; those boxes were dropped, so
    a result with entries here is not to be trusted.
    """

    detections: list[Detection]
    levels: list[tuple[int, int]]
    candidates: dict[str, int]
    non_finite: list[str]


@dataclass(frozen=True)
class Level:
    """What P-Net answered for one level: raw maps ``logits`` (2, h, w), ``offsets`` (4, h, w)."""

    scale: float
    height: int
    width: int
    logits: NDArray[Any]
    offsets: NDArray[Any]


@dataclass(frozen=True)
class Judged:
    """What R-Net or O-Net answered for every box it was shown, before any threshold.

    ``boxes`` (N, 4): x1, y1, x2, y2, counted from 1, inclusive, squares in whole pixels.
    ``logits`` (N, 2), ``offsets`` (N, 4), and for O-Net ``landmarks`` (N, 10), raw.
    """

    boxes: NDArray[np.float64]
    logits: NDArray[Any]
    offsets: NDArray[Any]
    landmarks: NDArray[Any] | None = None


@dataclass
class Stages:
    """Raw outputs of the stages, filled in while the cascade runs; None: not reached."""

    pnet: list[Level] = field(default_factory=list)
    rnet: Judged | None = None
    onet: Judged | None = None
