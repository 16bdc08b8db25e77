"""What the cascade computes between its networks, in Python's own arithmetic.

The yardstick for :mod:`.divergence_stages`: whole numbers and floats of the interpreter, no NumPy,
so that what is broken in NumPy, or in the libraries below it, is not broken here. The formulas are
those of ``reference/`` (:mod:`..reference.area`, ``geometry``, ``suppression``); slow and plain.
"""

from __future__ import annotations

import ast
import math
from itertools import accumulate
from typing import Sequence, Tuple

__all__ = ["Picture", "calibrated", "probability", "square", "suppress"]

Box = Tuple[float, float, float, float]

_SCALE, _MEAN = 1 / 128, 127.5 / 128


class Picture:
    """The decoded image of a ``.npy`` file (H, W, 3) uint8, and averages of it.

    Raises ValueError for a file of another kind.
    """

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            data = file.read()
        start = 10 if data[6:7] == b"\x01" else 12
        start += int.from_bytes(data[8:start], "little")
        header = ast.literal_eval(data[10 if data[6:7] == b"\x01" else 12 : start].decode("latin1"))
        if header["descr"] != "|u1" or header["fortran_order"] or len(header["shape"]) != 3:
            raise ValueError(f"{path} holds no H x W x 3 uint8 array in C order")
        self.height, self.width, _ = header["shape"]
        self._data = memoryview(data)[start:]

    def level_row(self, size: tuple[int, int], row: int) -> list[list[float]]:
        """Return one row of a pyramid level of ``size`` (height, width): three lists."""
        height, width = size
        top, bottom = row * self.height / height, (row + 1) * self.height / height
        edges = [x * self.width / width for x in range(width + 1)]
        factor = _SCALE * height / self.height * width / self.width
        return self._means(top, bottom, edges, factor)

    def crop(self, box: Box, size: int) -> list[list[list[float]]]:
        """Return the crop of a box: three planes of ``size`` rows; zero outside the image."""
        left, top = box[0] - 1, box[1] - 1
        width, height = box[2] - left, box[3] - top
        planes: list[list[list[float]]] = [[], [], []]
        outside = left >= self.width or top >= self.height or box[2] <= 0 or box[3] <= 0
        if outside or width <= 0 or height <= 0:
            return [[[-_MEAN] * size for _ in range(size)] for _ in range(3)]
        edges = [_clip(left + width * step / size, self.width) for step in range(size + 1)]
        factor = _SCALE * size * size / (width * height)
        for row in range(size):
            above = _clip(top + height * row / size, self.height)
            below = _clip(top + height * (row + 1) / size, self.height)
            for plane, means in zip(planes, self._means(above, below, edges, factor)):
                plane.append(means)
        return planes

    def _means(
        self, top: float, bottom: float, edges: Sequence[float], factor: float
    ) -> list[list[float]]:
        """Return the sums of rows [top, bottom) between each two edges, scaled and normalised."""
        first = min(int(edges[0]), self.width - 1)
        last = min(math.ceil(edges[-1]), self.width)
        sums = self._rows(top, bottom, first, max(last, first + 1))
        planes = []
        for channel in range(3):
            column = sums[channel::3]
            running = [0.0, *accumulate(column)]
            column.append(0.0)  # an edge may lie at the very end
            at = []
            for edge in edges:
                whole = min(int(edge) - first, len(running) - 1)
                at.append(running[whole] + (edge - first - whole) * column[whole])
            planes.append([(b - a) * factor - _MEAN for a, b in zip(at, at[1:])])
        return planes

    def _rows(self, top: float, bottom: float, first: int, last: int) -> list[float]:
        """Return the sum of rows [top, bottom) for each number of columns [first, last)."""
        begin, end = int(top), min(math.ceil(bottom), self.height)
        rows = []
        for row in range(begin, end):
            place = (row * self.width + first) * 3
            numbers: Sequence[float] = self._data[place : place + (last - first) * 3]
            share = min(row + 1, bottom) - max(row, top)
            rows.append(numbers if share == 1 else [share * number for number in numbers])
        return (
            [float(total) for total in map(sum, zip(*rows))]
            if rows
            else [0.0] * (3 * (last - first))
        )


def _clip(value: float, most: int) -> float:
    return min(max(value, 0.0), float(most))


def probability(nothing: float, face: float) -> float:
    """Softmax of two logits, the share of the second."""
    return 1.0 / (1.0 + math.exp(max(-700.0, min(700.0, nothing - face))))


def calibrated(box: Box, moves: Sequence[float], extra: float = 1.0) -> Box:
    """Move the corners by shares of the box size; ``extra`` is 0 for P-Net."""
    width, height = box[2] - box[0] + extra, box[3] - box[1] + extra
    return (
        box[0] + moves[0] * width,
        box[1] + moves[1] * height,
        box[2] + moves[2] * width,
        box[3] + moves[3] * height,
    )


def square(box: Box) -> Box:
    """Grow the shorter side to the longer around the same centre."""
    width, height = box[2] - box[0], box[3] - box[1]
    side = max(width, height)
    x, y = box[0] + width / 2 - side / 2, box[1] + height / 2 - side / 2
    return (x, y, x + side, y + side)


def suppress(
    boxes: Sequence[Box], scores: Sequence[float], threshold: float, mode: str = "union"
) -> list[int]:
    """Greedy suppression, best first; returns the indices kept. Of equal scores the earlier wins.

    Kept boxes lie in tiles of about their own size, so that only those nearby are looked at. With
    "union" the threshold is to be 0.5 or more: the longest sides differ by a factor of two at most
    then.
    """
    kept: list[int] = []
    tiles: dict[tuple[int, int, int], list[int]] = {}
    sides: dict[int, float] = {}
    for index in sorted(range(len(boxes)), key=lambda one: (-scores[one], one)):
        box = boxes[index]
        rank = _rank(box)
        near = (
            other
            for level, side in sides.items()
            if mode == "min" or abs(level - rank) <= 1
            for x in range(math.floor(box[0] / side) - 1, math.floor((box[2] + 1) / side) + 1)
            for y in range(math.floor(box[1] / side) - 1, math.floor((box[3] + 1) / side) + 1)
            for other in tiles.get((level, x, y), ())
        )
        if any(_overlap(box, boxes[other], threshold, mode) for other in near):
            continue
        kept.append(index)
        # A tile holds boxes that begin in it; none of its rank is longer.
        side = sides.setdefault(rank, 2.0 ** (rank + 1))
        place = (rank, math.floor(box[0] / side), math.floor(box[1] / side))
        tiles.setdefault(place, []).append(index)
    return kept


def _rank(box: Box) -> int:
    """Return a number that differs by at most one where two longest sides are within a factor 2."""
    longest = max(box[2] - box[0], box[3] - box[1]) + 1
    return math.floor(math.log2(longest)) if longest > 0 else -64


def _overlap(one: Box, other: Box, threshold: float, mode: str) -> bool:
    """Whether the shared area is above a share of the union, or of the smaller box ("min")."""
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    shared = max(width, 0.0) * max(height, 0.0)
    first, second = ((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other))
    whole = first + second - shared if mode == "union" else min(first, second)
    return shared > threshold * whole
