"""The least time an image could take: its arithmetic, at the speed of this machine.

The arithmetic is that of the convolutions and fully connected layers, two operations (multiply,
add) a weight and output; everything else is left out, because a better program could do with less
of it. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """A convolution: side of its kernel, channels in and out, and the max pooling behind it.

    ``pool`` is the pooling's side, 0 for none; it has stride 2 and keeps partial windows. A fully
    connected layer is a convolution whose kernel covers the whole map.
    """

    kernel: int
    inputs: int
    outputs: int
    pool: int = 0


PNET = (Layer(3, 3, 10, 2), Layer(3, 10, 16), Layer(3, 16, 32), Layer(1, 32, 2 + 4))
RNET = (
    Layer(3, 3, 28, 3),
    Layer(3, 28, 48, 3),
    Layer(2, 48, 64),
    Layer(3, 64, 128),
    Layer(1, 128, 2 + 4),
)
ONET = (
    Layer(3, 3, 32, 3),
    Layer(3, 32, 64, 3),
    Layer(3, 64, 64, 2),
    Layer(2, 64, 128),
    Layer(3, 128, 256),
    Layer(1, 256, 2 + 4 + 10),
)
RNET_SIDE, ONET_SIDE = 24, 48


def flops(layers: Sequence[Layer], height: int, width: int) -> int:
    """Return the operations of a network on one input of a size."""
    total = 0
    for layer in layers:
        height, width = height - layer.kernel + 1, width - layer.kernel + 1
        if height < 1 or width < 1:
            return total
        total += 2 * layer.kernel**2 * layer.inputs * layer.outputs * height * width
        if layer.pool:
            height, width = _pooled(height, layer.pool), _pooled(width, layer.pool)
    return total


def _pooled(length: int, pool: int) -> int:
    return max(1, -(-(length - pool) // 2) + 1)


def image_flops(image: Mapping[str, Any]) -> int:
    """Return the operations of an image of a run: all its levels, and the crops it judged.

    R-Net judges what P-Net left over (``candidates["pnet"]``), O-Net what R-Net did.
    """
    candidates = image["candidates"]
    levels = sum(flops(PNET, height, width) for height, width in image["levels"])
    crops_24, crops_48 = int(candidates["pnet"]), int(candidates["rnet"])
    return (
        levels
        + crops_24 * flops(RNET, RNET_SIDE, RNET_SIDE)
        + crops_48 * flops(ONET, ONET_SIDE, ONET_SIDE)
    )


def floor_ms(operations: int, gflops: float) -> float:
    """Return the milliseconds that operations take at a rate of ``gflops``."""
    return operations / gflops / 1e6
