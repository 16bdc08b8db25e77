"""The image pyramid: any rows of any level, averaged from the image itself, ready for P-Net.

Every level is an area average of the image as given (see :mod:`.area`), never of another level,
and is made a band of rows at a time, so that no large level is ever held whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .area import MEAN, SCALE, row_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .area import ColumnSums

__all__ = ["level_rows"]

# Measured on 720p: half or twice as many rows or columns a block take 5 to 20 % longer.
_ROWS, _COLUMNS = 16, 16
_STRIP = 128  # rows averaged along the columns before they are along the rows


def level_rows(
    sums: ColumnSums, size: tuple[int, int], start: int = 0, stop: int | None = None
) -> NDArray[Any]:
    """Rows [start, stop) of a level of ``size`` (height, width): (1, 3, stop - start, width).

    Values are normalised to (p - 127.5) / 128. The array is scratch memory of ``sums``: it holds
    until the next call in the same thread.
    """
    height, width = size
    stop = height if stop is None else stop
    row, part = sums.split(np.arange(start, stop + 1) * float(sums.height) / height)
    blocks = row_blocks(width, sums.width, _COLUMNS, sums.dtype.name, SCALE * height / sums.height)
    reach = blocks.matrices.shape[2]
    result = sums.scratch.array("level", (3, stop - start, width), sums.dtype)
    for top in range(0, stop - start, _STRIP):
        rows = min(_STRIP, stop - start - top)
        planes = sums.scratch.array("planes", (3, rows, sums.width), sums.dtype)
        for first in range(0, rows, _ROWS):
            some = slice(top + first, top + min(rows, first + _ROWS) + 1)
            band = sums.between(row[some], part[some]).reshape(-1, sums.width, 3)
            planes[:, first : first + _ROWS] = band.transpose(2, 0, 1)
        wide = planes.reshape(-1, sums.width)
        narrow = sums.scratch.array("narrow", (3 * rows, width), sums.dtype)
        for block, column in enumerate(blocks.starts):
            target = narrow[:, block * _COLUMNS : (block + 1) * _COLUMNS]
            matrix = blocks.matrices[block, : target.shape[1]].T
            np.matmul(wide[:, column : column + reach], matrix, out=target)
        np.subtract(narrow.reshape(3, rows, width), MEAN, out=result[:, top : top + rows])
    return result[None]
