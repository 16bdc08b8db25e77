"""The image pyramid in plain arithmetic: which faces a detector can see, and when it sees none.

Lengths are pixels of the image as given. Two ways of counting the levels are in use: the original
one (the reference, mtcnn 0.1, facenet-pytorch), which ends the pyramid where P-Net's window of 12
pixels no longer fits; and that of mtcnn 1.0, which forgets ``min_face_size`` when it counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: P-Net's window: the smallest face, in pixels of a level.
WINDOW = 12
#: The smallest side of a level that P-Net makes an answer of: 3x3, pooled, 3x3, 3x3.
LEAST_INPUT = 11
#: What the packages take unless told otherwise.
MIN_FACE_SIZE = 20.0
SCALE_FACTOR = 0.709

# Shorter sides that stand for all: the formulas repeat themselves from level to level.
_SIDES = range(WINDOW, 8192)


@dataclass(frozen=True)
class Level:
    """One size at which the image is searched; ``face`` is the side of the faces found there."""

    scale: float
    width: int
    height: int

    @property
    def face(self) -> float:
        """The side of a face that fills P-Net's window at this level."""
        return WINDOW / self.scale


def levels(
    width: int,
    height: int,
    min_face_size: float = MIN_FACE_SIZE,
    scale_factor: float = SCALE_FACTOR,
) -> list[Level]:
    """Return the pyramid of the reference, largest level first; empty where no face fits.

    Raises:
        ValueError: a factor that never ends the pyramid, or a face without size.
    """
    _demand(min_face_size, scale_factor)
    found = []
    scale = WINDOW / min_face_size
    while min(width, height) * scale >= WINDOW:
        found.append(Level(scale, math.ceil(width * scale), math.ceil(height * scale)))
        scale *= scale_factor
    return found


def levels_of_mtcnn_1(
    width: int,
    height: int,
    min_face_size: float = MIN_FACE_SIZE,
    scale_factor: float = SCALE_FACTOR,
) -> list[Level]:
    """Return the pyramid of mtcnn 1.0, largest level first.

    Its number of levels does not depend on ``min_face_size``: with a large one the last levels are
    smaller than P-Net's window, with a small one the pyramid ends before the large faces.

    Raises:
        ValueError: as of :func:`levels`.
    """
    _demand(min_face_size, scale_factor)
    shorter = min(width, height)
    if shorter < 1:
        return []
    count = round(math.log(shorter / WINDOW) / -math.log(scale_factor) - 1)
    found = []
    for number in range(count):
        scale = WINDOW / min_face_size * scale_factor**number
        found.append(Level(scale, int(width * scale), int(height * scale)))
    return found


def smallest_face(min_face_size: float = MIN_FACE_SIZE) -> float:
    """Return the side of the smallest face that is looked for."""
    return min_face_size


def largest_face(pyramid: list[Level]) -> float:
    """Return the side of the largest face that a pyramid shows to P-Net whole; 0 without one."""
    return pyramid[-1].face if pyramid else 0.0


def is_silently_empty(
    width: int,
    height: int,
    min_face_size: float = MIN_FACE_SIZE,
    scale_factor: float = SCALE_FACTOR,
) -> bool:
    """Whether mtcnn 1.0 finds nothing on an image of this size whatever it shows.

    A level smaller than P-Net's window makes TensorFlow raise, and the package takes its error for
    "no face": ``[]``. From Keras 3.13 on it is mostly Keras that raises, a ValueError that nobody
    catches. The last level is the smallest.

    Raises:
        ValueError: as of :func:`levels`.
    """
    pyramid = levels_of_mtcnn_1(width, height, min_face_size, scale_factor)
    if not pyramid:
        return True
    return min(pyramid[-1].width, pyramid[-1].height) < LEAST_INPUT


def is_always_empty(min_face_size: float, scale_factor: float = SCALE_FACTOR) -> bool:
    """Whether mtcnn 1.0 finds nothing on any image from 48 pixels to 8 K with these settings.

    Raises:
        ValueError: as of :func:`levels`.
    """
    return all(
        is_silently_empty(side, side, min_face_size, scale_factor) for side in _SIDES if side >= 48
    )


def largest_safe_min_face(width: int, height: int, scale_factor: float = SCALE_FACTOR) -> int:
    """Return the largest whole ``min_face_size`` with which mtcnn 1.0 looks at such an image.

    0 where it never does.

    Raises:
        ValueError: as of :func:`levels`.
    """
    safe: Iterable[int] = (
        size
        for size in range(min(width, height), 0, -1)
        if not is_silently_empty(width, height, size, scale_factor)
    )
    return next(iter(safe), 0)


def _demand(min_face_size: float, scale_factor: float) -> None:
    if not (math.isfinite(min_face_size) and min_face_size > 0):
        raise ValueError(f"min_face_size {min_face_size:g} is no length in pixels")
    if not 0 < scale_factor < 1:
        raise ValueError(f"scale_factor {scale_factor:g} is not between 0 and 1")
