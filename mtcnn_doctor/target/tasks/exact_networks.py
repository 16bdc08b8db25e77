"""The three networks on one crop, in Python's own arithmetic: the yardstick of the networks.

As :mod:`.exact`, and for the same reason: the products are summed by the interpreter, in float64,
one after the other. R-Net takes a tenth of a second, O-Net a second; so single crops and cells are
looked at, those where a faster computation finds the largest difference among them.
"""

from __future__ import annotations

from operator import mul
from typing import Any, Iterator, List, Sequence

__all__ = ["ExactNetwork"]

Plane = List[List[float]]

#: Side of the pooling behind each convolution, 0 for none.
_POOLS = {"pnet": (2, 0, 0), "rnet": (3, 3, 0), "onet": (3, 3, 2, 0)}


class ExactNetwork:
    """One network. ``arrays``: its weights, canonical, as ``load_weights`` returns them."""

    def __init__(self, network: str, arrays: Sequence[Any]) -> None:
        self._pools = _POOLS[network]
        self._dense = network != "pnet"
        self._sides = [array.shape[-1] for array in arrays]
        # Each weight as one flat list an output, in the order (channel, y, x).
        self._arrays = [
            array.reshape(len(array), -1).tolist() if array.ndim > 1 else array.tolist()
            for array in arrays
        ]

    def layers(self, crop: Sequence[Plane]) -> Iterator[tuple[str, Any]]:
        """Return the name and output of each layer in front of the heads, then the heads' outputs.

        Maps are lists of planes, what is dense and the heads are plain lists; a head is named by
        its number, "0" for the first. ``crop``: three planes; for P-Net the part of a level that
        one cell sees, so that its last maps are one number each.
        """
        maps = [list(plane) for plane in crop]
        for number, pool in enumerate(self._pools, 1):
            weight, bias, slope = self._arrays[3 * number - 3 : 3 * number]
            maps = _convolved(maps, weight, bias, self._sides[3 * number - 3])
            yield f"conv{number}", maps
            maps = [
                [[x if x >= 0 else x * a for x in row] for row in plane]
                for plane, a in zip(maps, slope)
            ]
            yield f"prelu{number}", maps
            if pool:
                maps = [_pooled(plane, pool) for plane in maps]
                yield f"pool{number}", maps
        flat = [x for plane in maps for row in plane for x in row]
        first = 3 * len(self._pools)
        if self._dense:
            number = len(self._pools) + 1
            weight, bias, slope = self._arrays[first : first + 3]
            flat = _product(weight, flat, bias)
            yield f"dense{number}", flat
            flat = [x if x >= 0 else x * a for x, a in zip(flat, slope)]
            yield f"prelu{number}", flat
            first += 3
        for head, at in enumerate(range(first, len(self._arrays), 2)):
            yield str(head), _product(self._arrays[at], flat, self._arrays[at + 1])

    def heads(self, crop: Sequence[Plane]) -> list[list[float]]:
        """Return logits, offsets and, of O-Net, landmarks."""
        return [output for name, output in self.layers(crop) if name.isdigit()]


def _product(
    weight: Sequence[Sequence[float]], x: Sequence[float], bias: Sequence[float]
) -> list[float]:
    return [sum(map(mul, row, x)) + b for row, b in zip(weight, bias)]


def _convolved(
    maps: Sequence[Plane], weight: Sequence[Sequence[float]], bias: Sequence[float], side: int
) -> list[Plane]:
    height, width = len(maps[0]) - side + 1, len(maps[0][0]) - side + 1
    result: list[Plane] = [[] for _ in weight]
    for y in range(height):
        rows = [row for plane in maps for row in plane[y : y + side]]
        seen = [[n for row in rows for n in row[x : x + side]] for x in range(width)]
        for plane, kernel, b in zip(result, weight, bias):
            plane.append([sum(map(mul, kernel, patch)) + b for patch in seen])
    return result


def _pooled(plane: Plane, side: int) -> Plane:
    """Maxima of windows, stride 2; the last window may be cut off."""
    height, width = (-(-(n - side) // 2) + 1 for n in (len(plane), len(plane[0])))
    return [
        [
            max(max(row[2 * x : 2 * x + side]) for row in plane[2 * y : 2 * y + side])
            for x in range(width)
        ]
        for y in range(height)
    ]
