"""Area averaging: along columns by running sums, along rows by small matrix products.

Definition. The image is a field of unit squares, each of one colour. A target pixel is the mean of
the field over the rectangle it covers: source pixels count with the exact fraction of their area
that lies inside. The same definition serves shrinking and enlarging; for both it is what OpenCV's
INTER_AREA computes on floating-point images (OpenCV rounds the result when the image is uint8,
this never happens here). Such a mean is a mean along the columns, then along the rows.

Along the columns a table of running sums is kept: the sum of rows [a, b) is the difference of two
of its rows, plus fractions of the two pixels in which a and b lie. So a row costs the same at
every scale, and all levels and all crops share the table. Adding the fractions to the difference
instead of interpolating the table keeps float32 exact for uint8 images: the sums are whole numbers
below 2^24.

Along the rows the matrix of the mean has a narrow band of non-zeros. Cut into blocks of a few
output pixels it is a stack of small dense matrices, and averaging is what NumPy does near the speed
of the machine. (Measured against interpolating a two-dimensional table of sums: a third of the
time and half of the memory.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MEAN", "SCALE", "Blocks", "ColumnSums", "row_blocks"]

#: A pixel value p enters the networks as p * SCALE - MEAN, that is (p - 127.5) / 128.
SCALE = 1 / 128
MEAN = 127.5 / 128


class ColumnSums:
    """Running sums down the columns of one image.

    ``image``: (H, W, 3), any real dtype, finite, H and W at least 1. ``dtype``: of the averages to
    be made. ``scratch``: memory to work in, kept from the image before. Needs 12 bytes of memory a
    pixel for uint8 images averaged in float32, otherwise 24.
    """

    def __init__(self, image: NDArray[Any], dtype: Any, scratch: Scratch | None = None) -> None:
        self.scratch = scratch if scratch is not None else Scratch()
        self.height, self.width = int(image.shape[0]), int(image.shape[1])
        self.dtype = np.dtype(dtype)
        self.pixels = np.ascontiguousarray(image).reshape(self.height, -1)
        exact = image.dtype == np.uint8 and self.height * 255 < 1 << 24
        kind = self.dtype if exact else np.dtype(np.float64)
        self.table = np.empty((self.height + 1, self.width * 3), kind)
        self.table[0] = 0
        # In slices of rows that stay in the cache between being copied and being summed.
        for start in range(0, self.height, 16):
            part = self.table[start + 1 : start + 17]
            part[:] = self.pixels[start : start + 16]
            part[0] += self.table[start]
            for row in range(1, len(part)):
                part[row] += part[row - 1]

    def split(self, edges: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """For row coordinates in [0, H]: the row each lies in, and how far into it."""
        row = np.minimum(edges.astype(np.intp), self.height - 1)
        return row, (edges - row).astype(self.dtype)

    def between(self, row: NDArray[np.intp], part: NDArray[Any]) -> NDArray[Any]:
        """Sums of the rows between each two of n + 1 coordinates, split before: (n, W * 3).

        The array is scratch memory: it holds until the next call in the same thread.
        """
        shape = (len(row), self.width * 3)
        sums = self.scratch.array("sums", shape, self.table.dtype)
        pixels = self.scratch.array("pixels", shape, self.pixels.dtype)
        parts = self.scratch.array("parts", shape, self.table.dtype)
        # "clip" is not needed, but spares NumPy a copy; all indices are inside.
        np.take(self.table, row, axis=0, out=sums, mode="clip")
        np.take(self.pixels, row, axis=0, out=pixels, mode="clip")
        np.multiply(pixels, part[:, None], out=parts)
        result = self.scratch.array("differences", (len(row) - 1, shape[1]), self.table.dtype)
        np.subtract(sums[1:], sums[:-1], out=result)
        result += parts[1:]
        result -= parts[:-1]
        return result

    def between_in(
        self, edges: NDArray[np.float64], columns: NDArray[np.intp], width: int
    ) -> NDArray[Any]:
        """The same within windows of columns: (N, n, width * 3).

        ``edges``: (N, n + 1) row coordinates. ``columns``: (N,) first column of each window.
        """
        row, part = self.split(edges)
        sums, pixels = (
            np.lib.stride_tricks.as_strided(
                array,
                (len(array), self.width - width + 1, width * 3),
                (array.strides[0], 3 * array.strides[1], array.strides[1]),
                writeable=False,
            )[row, columns[:, None]]
            for array in (self.table, self.pixels)
        )
        result: NDArray[Any] = np.diff(sums, axis=1)
        result += np.diff(pixels * part[..., None], axis=1)
        return result.astype(self.dtype, copy=False)


class Blocks(NamedTuple):
    """An average along one axis, ``size`` output pixels at a time.

    Output pixels [j * size, j * size + size) are ``matrices[j]`` times source pixels [starts[j],
    starts[j] + K), with ``matrices`` (J, size, K). Rows beyond the last output pixel are zero.
    """

    size: int
    starts: list[int]
    matrices: NDArray[Any]


@lru_cache(maxsize=256)
def row_blocks(n_out: int, n_in: int, size: int, dtype: str, factor: float) -> Blocks:
    """The mean of ``n_in`` pixels to ``n_out``, times ``factor``; kept for the next image."""
    edges = np.arange(n_out + 1) * float(n_in) / n_out
    first = edges[:-1].astype(np.intp)
    last = np.ceil(edges[1:]).astype(np.intp)
    begin, end = first[::size], np.append(last[size - 1 :: size], last[-1])[: -(-n_out // size)]
    width = int((end - begin).max())
    begin = np.minimum(begin, n_in - width)
    # How much of [0, e) lies in each pixel; what lies between two edges is the difference.
    pixel = np.repeat(begin, size)[:n_out, None] + np.arange(width)
    weights = np.clip(edges[1:, None] - pixel, 0, 1) - np.clip(edges[:-1, None] - pixel, 0, 1)
    matrices = np.zeros((len(begin) * size, width), dtype)
    matrices[:n_out] = weights * (factor * n_out / n_in)
    return Blocks(size, begin.tolist(), matrices.reshape(len(begin), size, width))
