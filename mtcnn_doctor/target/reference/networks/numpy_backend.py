"""The networks in plain NumPy: no framework to go wrong, and in float64 the yardstick.

Activations are held (channel, image, y, x): convolutions become one matrix product over all
images, and PReLU and pooling run along the longest contiguous axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["NumpyNetworks", "create"]

# P-Net runs over strips of so many input pixels, R-Net and O-Net over so many crops at once; the
# unfolded matrices stay in the cache then, and memory small on large images (measured: strips of
# an eighth of that take up to 2.6 times as long, whole levels 1.2 times).
_STRIP_PIXELS = 1 << 15
_CROPS = 16
_CACHED = 1 << 16  # numbers


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> NumpyNetworks:
    """See :func:`..create`. The cascade holds NumPy to one thread a lane: ``threads`` is unused."""
    if device != "cpu":
        raise ValueError(f"the numpy backend runs on the device 'cpu' only, not on {device!r}")
    networks = NumpyNetworks(weights)
    networks.lanes = lanes
    return networks


class NumpyNetworks:
    """P-Net, R-Net and O-Net as matrix products.

    ``dtype``: np.float32, or np.float64 for results that differ from the exact ones by less than
    any framework's rounding.
    """

    #: How many threads may call at the same time.
    lanes = 1

    def __init__(self, weights: Weights, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self._scratch = Scratch()
        self._pnet, self._rnet, self._onet = (
            [np.ascontiguousarray(array, dtype=self.dtype) for array in weights[name]]
            for name in ("pnet", "rnet", "onet")
        )

    def pnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        count, _, height, width = x.shape
        out_height, out_width = _pnet_size(height), _pnet_size(width)
        if out_height < 1 or out_width < 1:
            raise ValueError(f"P-Net needs at least 11 x 11 pixels, not {height} x {width}")
        planes = x.astype(self.dtype, copy=False).transpose(1, 0, 2, 3)
        logits = np.empty((count, 2, out_height, out_width), self.dtype)
        offsets = np.empty((count, 4, out_height, out_width), self.dtype)
        # Output row j sees input rows 2j to 2j+11, so a strip of output rows [a, b) is exactly
        # what the whole image would give there. Every strip starts at an even row, hence the
        # pooling windows fall on the same pixels; only the last may end in half a window.
        rows = max(1, _STRIP_PIXELS // (2 * width * count))
        for start in range(0, out_height, rows):
            stop = min(start + rows, out_height)
            end = height if stop == out_height else 2 * stop + 10
            face, box = self._pnet_strip(planes[:, :, 2 * start : end])
            logits[:, :, start:stop] = face.transpose(1, 0, 2, 3)
            offsets[:, :, start:stop] = box.transpose(1, 0, 2, 3)
        return logits, offsets

    def _pnet_strip(self, planes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        w = self._pnet
        y = self._pool(self._prelu(self._conv(planes, w[0], w[1]), w[2]), 2)
        y = self._prelu(self._conv(y, w[3], w[4]), w[5])
        y = self._prelu(self._conv(y, w[6], w[7]), w[8])
        return _pointwise(y, w[9], w[10]), _pointwise(y, w[11], w[12])

    def rnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        logits, offsets = self._in_parts(self._rnet_part, x, (2, 4))
        return logits, offsets

    def _rnet_part(self, planes: NDArray[Any]) -> list[NDArray[Any]]:
        w = self._rnet
        y = self._pool(self._prelu(self._conv(planes, w[0], w[1]), w[2]), 3)
        y = self._pool(self._prelu(self._conv(y, w[3], w[4]), w[5]), 3)
        y = self._prelu(self._conv(y, w[6], w[7]), w[8])
        y = self._prelu(_dense(y, w[9], w[10]), w[11])
        return [_dense(y, w[12], w[13]), _dense(y, w[14], w[15])]

    def onet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        logits, offsets, landmarks = self._in_parts(self._onet_part, x, (2, 4, 10))
        return logits, offsets, landmarks

    def _onet_part(self, planes: NDArray[Any]) -> list[NDArray[Any]]:
        w = self._onet
        y = self._pool(self._prelu(self._conv(planes, w[0], w[1]), w[2]), 3)
        y = self._pool(self._prelu(self._conv(y, w[3], w[4]), w[5]), 3)
        y = self._pool(self._prelu(self._conv(y, w[6], w[7]), w[8]), 2)
        y = self._prelu(self._conv(y, w[9], w[10]), w[11])
        y = self._prelu(_dense(y, w[12], w[13]), w[14])
        return [_dense(y, w[15], w[16]), _dense(y, w[17], w[18]), _dense(y, w[19], w[20])]

    def _in_parts(self, part: Any, x: NDArray[Any], widths: tuple[int, ...]) -> list[NDArray[Any]]:
        outputs = [np.empty((len(x), width), self.dtype) for width in widths]
        for start in range(0, len(x), _CROPS):
            crops = x[start : start + _CROPS].astype(self.dtype, copy=False)
            for output, value in zip(outputs, part(crops.transpose(1, 0, 2, 3))):
                output[start : start + _CROPS] = value.T
        return outputs

    def _conv(self, x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
        """Convolution without padding, stride 1: (C, N, h, w) to (O, N, h-k+1, w-k+1).

        The array is scratch memory of this number of channels.
        """
        channels, count, height, width = x.shape
        out, _, k, _ = weight.shape
        h, w = height - k + 1, width - k + 1
        columns = self._scratch.array("columns", (channels, k, k, count, h, w), x.dtype)
        for dy in range(k):
            for dx in range(k):
                columns[:, dy, dx] = x[:, :, dy : dy + h, dx : dx + w]
        y = self._scratch.array(f"conv {channels} to {out}", (out, count * h * w), x.dtype)
        np.matmul(weight.reshape(out, -1), columns.reshape(channels * k * k, -1), out=y)
        y += bias[:, None]
        return np.reshape(y, (out, count, h, w))

    def _prelu(self, x: NDArray[Any], slope: NDArray[Any]) -> NDArray[Any]:
        """In place: x where x >= 0, otherwise slope * x (slopes may exceed 1 or be negative)."""
        # A few channels at a time, so that the negative part stays in the cache.
        flat = x.reshape(len(x), -1)
        step = max(1, _CACHED // max(1, flat.shape[1]))
        for first in range(0, len(x), step):
            part = flat[first : first + step]
            negative = self._scratch.array("negative", part.shape, x.dtype)
            np.minimum(part, 0, out=negative)
            negative *= slope[first : first + step, None]
            np.maximum(part, 0, out=part)
            part += negative
        return x

    def _pool(self, x: NDArray[Any], k: int) -> NDArray[Any]:
        """Max pooling k x k, stride 2, without padding; the last window may be partial (Caffe)."""
        height, width = (-(-(n - k) // 2) + 1 for n in x.shape[2:])
        shape = (*x.shape[:2], height, width)
        y = self._scratch.array(f"pooled {len(x)}", shape, x.dtype)
        y[:] = x[:, :, ::2, ::2][:, :, :height, :width]
        for dy in range(k):
            for dx in range(k):
                if dy or dx:
                    part = x[:, :, dy::2, dx::2][:, :, :height, :width]
                    view = y[:, :, : part.shape[2], : part.shape[3]]
                    np.maximum(view, part, out=view)
        return y


def _pnet_size(length: int) -> int:
    return (length - 1) // 2 - 4


def _pointwise(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    """A 1 x 1 convolution with weight (O, C)."""
    y: NDArray[Any] = weight @ x.reshape(x.shape[0], -1)
    y += bias[:, None]
    return np.reshape(y, (-1, *x.shape[1:]))


def _dense(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    """Fully connected: (C, N, y, x) or (C, N) to (O, N); flattened as (C, y, x)."""
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    y: NDArray[Any] = weight.reshape(weight.shape[0], -1) @ x
    y += bias[:, None]
    return y
