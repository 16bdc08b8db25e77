"""What the cascade is tuned by, and the pyramid that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["CELL", "Settings", "pyramid_scales"]

#: Side of P-Net's receptive field in pixels: the smallest face on a level.
CELL = 12


@dataclass(frozen=True)
class Settings:
    """What the cascade is tuned by; the defaults are the published ones.

    ``min_face_size``: pixels, above 0. ``scale_factor``: between two levels of the pyramid, 0 to 1
    exclusive. ``thresholds``: probability for P-Net, R-Net and O-Net, each 0 to 1. Raises
    ValueError for anything else.
    """

    min_face_size: float = 20.0
    scale_factor: float = 0.709
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_face_size) and self.min_face_size > 0):
            raise ValueError(f"min_face_size is {self.min_face_size}, expected pixels above 0")
        if not 0 < self.scale_factor < 1:
            raise ValueError(
                f"scale_factor is {self.scale_factor}, expected a number between 0 and 1 "
                "(the pyramid would never end otherwise)"
            )
        if len(self.thresholds) != 3 or not all(0 <= value <= 1 for value in self.thresholds):
            raise ValueError(f"thresholds are {self.thresholds}, expected three from 0 to 1")


def pyramid_scales(height: int, width: int, settings: Settings) -> list[float]:
    """Scales of the pyramid: the smallest face becomes 12 pixels, the last level holds 12."""
    scale = CELL / settings.min_face_size
    shorter = min(height, width) * scale
    scales = []
    while shorter >= CELL:
        scales.append(scale)
        # Products rather than powers: pow() differs in the last bit between C libraries.
        scale *= settings.scale_factor
        shorter *= settings.scale_factor
    return scales
