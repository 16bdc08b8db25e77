"""Task ``scene``: an image made of a known face, many times over, on a textured ground."""

from __future__ import annotations

import heapq
import os
from typing import TYPE_CHECKING, Any, Tuple

from ..channel import Channel
from ..imports import import_framework

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Shares of a place that its face takes up: faces of several sizes even where places are equal.
_FILLING = (0.95, 0.8, 0.65)
#: How much of the face's surroundings is copied with it, as a share of its box.
_MARGIN = 0.3
_NOISE = 4.0

_Place = Tuple[int, int, int, int]


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Make a scene and send ``picture`` with the path of its array.

    Orders: ``portrait`` (an image file), ``face`` (x, y, width, height of the face in it),
    ``size`` (width, height), ``faces``, ``seed``, ``folder``, ``name``.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    import numpy

    from ..reference import picture

    channel.send("phase", name="make the scene")
    channel.enter("decode", orders["name"])
    portrait = picture.read_rgb(orders["portrait"])
    pixels = _scene(portrait, orders["face"], orders["size"], orders["faces"], orders["seed"])
    target = os.path.join(orders["folder"], "0.npy")
    numpy.save(target, pixels)
    channel.send("picture", index=0, array=target)


def _scene(
    portrait: NDArray[np.uint8], face: list[float], size: list[int], faces: int, seed: int
) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8; the same arguments make the same scene with every NumPy."""
    import numpy

    # The legacy generator is the one whose numbers are promised never to change.
    random = numpy.random.RandomState(seed)
    width, height = size
    scene = _ground(random, height, width)
    cutting = _cut_out(portrait, face)
    for index, place in enumerate(_places(random, width, height, faces)):
        _paste(scene, cutting, place, _FILLING[index % len(_FILLING)], mirrored=index % 2 == 1)
    scene += random.normal(0.0, _NOISE, scene.shape)
    return numpy.clip(numpy.rint(scene), 0, 255).astype(numpy.uint8)


def _ground(random: Any, height: int, width: int) -> NDArray[np.float64]:
    """Return a texture: random colours in patches of several sizes, on top of each other."""
    import numpy

    from .pixels import area_average

    ground = numpy.full((height, width, 3), 110.0)
    for patch, strength in ((160, 45.0), (40, 25.0), (10, 15.0)):
        coarse = random.uniform(-1.0, 1.0, (max(2, height // patch), max(2, width // patch), 3))
        ground += strength * area_average(coarse, height, width)
    return ground


def _cut_out(portrait: NDArray[np.uint8], face: list[float]) -> NDArray[np.uint8]:
    """Return the square around a face, with some of its surroundings."""
    x, y, width, height = face
    side = max(width, height) * (1 + 2 * _MARGIN)
    left = max(0, int(x + width / 2 - side / 2))
    top = max(0, int(y + height / 2 - side / 2))
    return portrait[top : top + int(side), left : left + int(side)]


def _places(random: Any, width: int, height: int, count: int) -> list[_Place]:
    """Divide the image among the faces, the largest part in two until there are enough."""
    parts: list[tuple[int, int, _Place]] = [(-width * height, 0, (0, 0, width, height))]
    for number in range(1, count):
        _, _, (x, y, w, h) = heapq.heappop(parts)
        share = float(random.uniform(0.35, 0.65))
        if w >= h:
            cut = int(w * share)
            halves = ((x, y, cut, h), (x + cut, y, w - cut, h))
        else:
            cut = int(h * share)
            halves = ((x, y, w, cut), (x, y + cut, w, h - cut))
        for order, half in enumerate(halves):
            heapq.heappush(parts, (-half[2] * half[3], 2 * number + order, half))
    return [place for _, _, place in sorted(parts)][:count]


def _paste(
    scene: NDArray[np.float64],
    cutting: NDArray[np.uint8],
    place: _Place,
    filling: float,
    mirrored: bool,
) -> None:
    """Blend a face into the middle of its place; its edges fade into the ground."""
    import numpy

    from .pixels import area_average

    x, y, w, h = place
    side = int(min(w, h) * filling)
    if side < 2:
        return
    face = area_average(cutting, side, side)
    if mirrored:
        face = face[:, ::-1]
    distance = numpy.abs(numpy.linspace(-1.0, 1.0, side))
    ramp = numpy.clip((1.0 - distance) / 0.15, 0.0, 1.0)
    cover = (ramp[:, None] * ramp[None, :])[..., None]
    left, top = x + (w - side) // 2, y + (h - side) // 2
    area = scene[top : top + side, left : left + side]
    area *= 1.0 - cover
    area += cover * face
