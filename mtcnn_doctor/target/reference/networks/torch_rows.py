"""P-Net's layers for a processor: the same numbers as PyTorch's own modules, in long loops.

P-Net's first map has ten channels. In channels-last order PyTorch's PReLU and max-pooling step
through memory ten numbers at a time; where they run over whole rows of pixels instead they take a
quarter of the time (measured: 2.9 to 0.75 ms for a map of 152 x 766, with PyTorch 2.13). Both
heads read the same 32 channels, so one matrix product serves them.

R-Net and O-Net have more channels, gain nothing by this, and keep PyTorch's modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this module is imported only when torch is asked for
from torch import nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

if TYPE_CHECKING:
    from typing import Sequence

__all__ = ["PairMaxPool", "RowPNet", "RowPReLU"]


class RowPReLU(nn.Module):  # type: ignore[misc]
    """PReLU of a channels-last map (N, C, H, W), a row of pixels at a time."""

    def __init__(self, layer: nn.PReLU) -> None:
        super().__init__()
        self.weight = layer.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape and values as ``nn.PReLU``."""
        count, channels, height, width = x.shape
        # To PyTorch every number of a row is a channel of its own, with a slope of its own.
        rows = x.permute(0, 2, 3, 1).reshape(count * height, width * channels)
        y = functional.prelu(rows, self.weight.repeat(width))
        return y.reshape(count, height, width, channels).permute(0, 3, 1, 2)


class PairMaxPool(nn.Module):  # type: ignore[misc]
    """Maximum of 2 x 2 pixels, stride 2; a last odd row or column counts alone (ceil_mode)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""
        return _pairs(_pairs(x, 2), 3)


def _pairs(x: torch.Tensor, dim: int) -> torch.Tensor:
    even, odd = (x[:, :, i::2] if dim == 2 else x[:, :, :, i::2] for i in (0, 1))
    length = odd.shape[dim]
    pairs = torch.maximum(even.narrow(dim, 0, length), odd)
    if even.shape[dim] == length:
        return pairs
    return torch.cat([pairs, even.narrow(dim, length, 1)], dim)


class RowPNet(nn.Module):  # type: ignore[misc]
    """P-Net made of the layers of an ordinary one: a trunk and two heads of 1 x 1 convolutions."""

    def __init__(self, trunk: nn.Sequential, heads: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*(_by_rows(layer) for layer in trunk))
        self.sizes = [head.out_channels for head in heads]
        self.weight = torch.cat([head.weight.flatten(1) for head in heads])
        self.bias = torch.cat([head.bias for head in heads])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Both heads' maps for images (N, 3, H, W): logits (N, 2, h, w), offsets (N, 4, h, w)."""
        x = self.trunk(x)
        count, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        maps = torch.addmm(self.bias[:, None], self.weight, pixels.t())
        return tuple(
            part.reshape(-1, count, height, width).transpose(0, 1)
            for part in maps.split(self.sizes)
        )


def _by_rows(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.PReLU):
        return RowPReLU(layer)
    return PairMaxPool() if isinstance(layer, nn.MaxPool2d) else layer
