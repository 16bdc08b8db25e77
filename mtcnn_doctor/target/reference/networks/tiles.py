"""P-Net on tiles of a fixed size, for frameworks in which every new input size is dear.

Such frameworks prepare themselves for each size they meet (kernels compiled, tables of pointers)
and keep what they prepared: as much time as running the network, and memory that grows with every
new image size. Cut into tiles, images of all sizes are made of the same few shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["pnet_on_tiles"]

# P-Net's output cell j sees input pixels 2j to 2j + 11; the last one may do without the twelfth.
_STRIDE, _BORDER = 2, 10

_Outputs = Tuple["NDArray[Any]", "NDArray[Any]"]
_Span = Tuple[int, int]  # first cell, and length of the input in pixels


def pnet_on_tiles(
    run: Callable[[NDArray[Any]], list[NDArray[Any]]], x: NDArray[Any], side: int, batch: int
) -> _Outputs:
    """Run P-Net on a batch of images tile by tile.

    ``run``: the network, channels last: (n, h, w, 3) to (n, h', w', 2) and (n, h', w', 4). It is
    called with h and w of ``side`` or ``side`` - 1, or the image's own where that is smaller, and
    n up to ``batch``. ``x``: (N, H, W, 3). ``side``: even, at least 24. Returns what ``run`` would
    give for the whole images, to the last bit if its sums do not depend on the input's size.
    """
    count, height, width, channels = x.shape
    cells = ((height - 1) // _STRIDE - 4, (width - 1) // _STRIDE - 4)
    logits = np.empty((count, *cells, 2), np.float32)
    offsets = np.empty((count, *cells, 4), np.float32)
    for h, rows in _spans(height, side):
        for w, columns in _spans(width, side):
            places = [(n, row, column) for n in range(count) for row in rows for column in columns]
            for first in range(0, len(places), batch):
                part = places[first : first + batch]
                tiles = np.empty((len(part), h, w, channels), np.float32)
                for tile, (n, row, column) in zip(tiles, part):
                    y, z = _STRIDE * row, _STRIDE * column
                    tile[:] = x[n, y : y + h, z : z + w]
                for whole, made in zip((logits, offsets), run(tiles)):
                    for one, (n, row, column) in zip(made, part):
                        whole[n, row : row + one.shape[0], column : column + one.shape[1]] = one
    return logits, offsets


def _spans(length: int, side: int) -> list[tuple[int, list[int]]]:
    """Cover one axis: lengths of tiles, each with the output cells at which such tiles begin.

    The last tile is moved back to end with the axis. On an odd axis Caffe's last pooling window is
    partial; a tile that is shorter by one pixel then ends in the same partial window.
    """
    if length <= side:
        return [(length, [0])]
    cells, own = (length - 1) // _STRIDE - 4, (side - _BORDER) // _STRIDE
    last, before = cells - own, list(range(0, cells - own, own))
    if length % 2 == 0:
        return [(side, [*before, last])]
    return [(side, before), (side - 1, [last])]
