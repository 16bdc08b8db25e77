"""Where the cascade gets its pixels from: levels of the pyramid and crops of one image.

The definition of the averages is in :mod:`.area`. Another implementation of the same two methods
is :class:`.compiled.CompiledAverages`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .area import ColumnSums
from .crops import crop
from .pyramid import level_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .lanes import Lanes

__all__ = ["Averages"]


class Averages:
    """Area averages of one image, by NumPy. ``image``, ``dtype``: see :class:`.area.ColumnSums`."""

    def __init__(self, image: NDArray[Any], dtype: Any, lanes: Lanes) -> None:
        self._sums = ColumnSums(image, dtype, lanes.scratch)
        self._turn = lanes.turn

    def level(self, size: tuple[int, int], start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) of a level: see :func:`.pyramid.level_rows`."""
        with self._turn:
            return level_rows(self._sums, size, start, stop)

    def crops(self, boxes: NDArray[Any], size: int) -> NDArray[Any]:
        """Crops (N, 3, size, size) of boxes: see :func:`.crops.crop`."""
        return crop(self._sums, boxes, size)
