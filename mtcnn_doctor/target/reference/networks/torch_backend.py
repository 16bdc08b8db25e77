"""The networks in PyTorch, built of ordinary modules.

Convolutions, PReLU, pooling and fully connected layers are called the way user code calls them,
so a broken kernel in torch is met here as it would be there. On a processor some layers of P-Net
and R-Net are others (see :mod:`.torch_rows`); O-Net has them all. torchvision is not needed.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this module is imported only when torch is asked for
from torch import nn  # noqa: TID253

from .base import BuiltNetworks, share_of_threads
from .torch_rows import RowPNet, RowRNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["BUILDERS", "TorchNetworks", "create"]


# oneDNN prepares a convolution for every size it meets, and keeps 1024 of them in each of two
# places: memory grows by 250 MB over a thousand images of different sizes. Preparing costs little.
# The variables are read when a thread first needs them, so they have to stay.
_CAPACITIES = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> TorchNetworks:
    """See :func:`..create`. ``device``: any torch device, "cpu", "cuda:0", "mps"."""
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"torch does not know the device {device!r}: {error}") from error
    for name, value in _CAPACITIES.items():
        os.environ.setdefault(name, value)
    networks = TorchNetworks(weights, place)
    if place.type == "cpu":
        networks.lanes = lanes
        networks.lane_threads = share_of_threads(threads, lanes)
    else:
        # One stream of work for the device; large calls keep it busy, small ones wait for it.
        networks.max_pixels, networks.max_crops = 1 << 23, 1024
    return networks


class _Features(nn.Module):  # type: ignore[misc]
    """A trunk followed by parallel heads, with the arrays of a canonical list as parameters."""

    def __init__(
        self, trunk: list[nn.Module], heads: list[nn.Module], arrays: list[NDArray[np.float32]]
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*trunk)
        self.heads = nn.ModuleList(heads)
        # Registration order is canonical order: layer by layer, weight before bias.
        for parameter, array in zip(self.parameters(), arrays):
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))
            parameter.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All heads' outputs for a batch in (N, C, H, W)."""
        x = self.trunk(x)
        return tuple(head(x) for head in self.heads)


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.PReLU(outputs)]


def _pool(kernel: int) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


def _dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(inputs, outputs), nn.PReLU(outputs)]


def _pnet(arrays: list[NDArray[np.float32]]) -> _Features:
    trunk = [*_conv(3, 10, 3), _pool(2), *_conv(10, 16, 3), *_conv(16, 32, 3)]
    return _Features(trunk, [nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)], arrays)


def _rnet(arrays: list[NDArray[np.float32]]) -> _Features:
    trunk = [*_conv(3, 28, 3), _pool(3), *_conv(28, 48, 3), _pool(3), *_conv(48, 64, 2)]
    return _Features(
        trunk + _dense(576, 128), [nn.Linear(128, outputs) for outputs in (2, 4)], arrays
    )


def _onet(arrays: list[NDArray[np.float32]]) -> _Features:
    trunk = [*_conv(3, 32, 3), _pool(3), *_conv(32, 64, 3), _pool(3), *_conv(64, 64, 3), _pool(2)]
    trunk += [*_conv(64, 128, 2), *_dense(1152, 256)]
    return _Features(trunk, [nn.Linear(256, outputs) for outputs in (2, 4, 10)], arrays)


#: How the module of each network is built from its arrays.
BUILDERS = {"pnet": _pnet, "rnet": _rnet, "onet": _onet}


class TorchNetworks(BuiltNetworks):
    """P-Net, R-Net and O-Net on one torch device, in float32 and channels-last memory order.

    ``max_pixels``, ``max_crops``: see :class:`..Networks`; ``lane_threads``: of each lane.
    """

    max_pixels: int
    max_crops: int
    channels_last = True

    def __init__(self, weights: Weights, device: torch.device) -> None:
        self.device = device
        self.all_threads = self.lane_threads = torch.get_num_threads()
        self._memory_format = torch.channels_last
        self._pnet, self._rnet, self._onet = (
            build(weights[name]).eval().to(device, memory_format=self._memory_format)
            for name, build in BUILDERS.items()
        )
        self._plain = self._pnet, self._rnet, self._onet
        if device.type == "cpu":
            self._pnet = RowPNet(self._pnet.trunk, self._pnet.heads)
            self._rnet = RowRNet(self._rnet.trunk, self._rnet.heads)

    def use_memory_format(self, name: str) -> None:
        """Go over to another memory order, by torch's name of it ("contiguous_format").

        Torch's own layers are used in all three networks then.
        """
        self._memory_format = getattr(torch, name)
        self._pnet, self._rnet, self._onet = self._plain
        for network in (self._pnet, self._rnet, self._onet):
            network.to(memory_format=self._memory_format)

    def enter_lane(self) -> None:
        """Limit the calling thread, and no other, to its share of torch's threads.

        torch keeps the number a thread at a time, and beside it one that threads to come begin
        with; a thread of its own puts the latter back.
        """
        torch.get_num_threads()  # the first question of a thread sets its number to the default
        torch.set_num_threads(self.lane_threads)
        restore = threading.Thread(target=torch.set_num_threads, args=(self.all_threads,))
        restore.start()
        restore.join()

    def _run(self, network: nn.Module, x: NDArray[Any]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            batch = torch.from_numpy(x).to(
                self.device, torch.float32, memory_format=self._memory_format
            )
            return [output.cpu().numpy() for output in network(batch)]
