"""Area resampling of whole images and of many crops, through one integral image.

Definition. The image is a field of unit squares, each of one colour, zero outside. A target pixel
is the mean of the field over the rectangle it covers: source pixels count with the exact fraction
of their area that lies inside. The same definition serves shrinking and enlarging; for both it is
what OpenCV's INTER_AREA computes on floating-point images (OpenCV rounds the result when the
image is uint8, this module never does).

Why an integral image. Sums over a rectangle are differences of the summed-area table at its
corners (Crow, 1984), and the integral of a piecewise constant field between the grid points is
the bilinear interpolation of that table. So each target pixel costs the same at every scale, all
pyramid levels and all crops share one table, and clamping coordinates to the image pads with
zeros at no cost. float64 holds the sums of a 4K image exactly and the fractions to about 1e-6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AreaSampler"]

# Rows of a level made at once: keeps the float64 intermediates of a 4K image inside the cache.
_BLOCK = 32

_Split = Tuple["NDArray[np.intp]", "NDArray[np.float64]"]


class AreaSampler:
    """Resamples one image.

    ``image``: (H, W, 3), any real dtype, finite, H and W at least 1. Needs 24 bytes of memory a
    pixel.
    """

    def __init__(self, image: NDArray[Any]) -> None:
        self.height, self.width = int(image.shape[0]), int(image.shape[1])
        table = np.zeros((self.height + 1, self.width + 1, image.shape[2]))
        # Row by row: the sums stay in the cache, and no second table is needed.
        for y in range(self.height):
            row = table[y + 1, 1:]
            np.cumsum(image[y], axis=0, dtype=np.float64, out=row)
            row += table[y, 1:]
        self._table = table

    def resize(self, height: int, width: int) -> NDArray[np.float64]:
        """The whole image at another size: float64 (height, width, 3), unit of the image."""
        rows, row_part = self._split(np.linspace(0.0, self.height, height + 1), self.height)
        columns, column_part = self._split(np.linspace(0.0, self.width, width + 1), self.width)
        row_part, column_part = row_part[:, None, None], column_part[None, :, None]
        result = np.empty((height, width, self._table.shape[2]))
        for start in range(0, height, _BLOCK):
            stop = min(start + _BLOCK, height)
            at, part = rows[start : stop + 1], row_part[start : stop + 1]
            band = np.diff(self._table[at] * (1 - part) + self._table[at + 1] * part, axis=0)
            left, right = band.take(columns, axis=1), band.take(columns + 1, axis=1)
            left *= 1 - column_part
            right *= column_part
            left += right
            np.subtract(left[:, 1:], left[:, :-1], out=result[start:stop])
        result *= (height * width) / (self.height * self.width)
        return result

    def crop(self, boxes: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """Square crops, zero outside the image: float64 (N, size, size, 3), unit of the image.

        ``boxes``: (N, 4) x1, y1, x2, y2, counted from 1 and inclusive as in the published
        implementations, so the crop covers columns x1-1 up to and including x2-1 of the array. A
        box without any area gives zeros.
        """
        x1, y1, x2, y2 = boxes.T
        width, height = x2 - x1 + 1, y2 - y1 + 1
        steps = np.arange(size + 1) / size
        columns, column_part = self._split((x1 - 1)[:, None] + width[:, None] * steps, self.width)
        rows, row_part = self._split((y1 - 1)[:, None] + height[:, None] * steps, self.height)

        stride = self.width + 1
        flat = self._table.reshape(-1, self._table.shape[2])
        corner = rows[:, :, None] * stride + columns[:, None, :]
        right = column_part[:, None, :, None]
        below = row_part[:, :, None, None]
        upper = flat[corner] * (1 - right) + flat[corner + 1] * right
        corner += stride
        lower = flat[corner] * (1 - right) + flat[corner + 1] * right
        sums = np.diff(np.diff(upper * (1 - below) + lower * below, axis=1), axis=2)

        valid = (width > 0) & (height > 0)
        cell = np.where(valid, width * height, 1.0) / size**2
        result: NDArray[np.float64] = sums / cell[:, None, None, None]
        result[~valid] = 0.0
        return result

    @staticmethod
    def _split(edges: NDArray[np.float64], length: int) -> _Split:
        """Clamp coordinates to [0, length]; the grid line before each, and the part behind it."""
        edges = np.clip(edges, 0.0, length)
        index = np.minimum(edges.astype(np.intp), length - 1)
        return index, edges - index
