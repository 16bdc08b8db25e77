"""The networks in TensorFlow, as plain operations without Keras.

Each network is traced once for inputs of unknown size. Without that every pyramid level of every
new image size would be traced again, which costs more than running it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np
import tensorflow as tf  # noqa: TID253 - this module is imported only when it is asked for

from .base import BuiltNetworks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["BODIES", "TensorFlowNetworks", "arrange", "create"]


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> TensorFlowNetworks:
    """See :func:`..create`. ``device``: "cpu", "gpu:0" ("cuda:0" means the same) or "/GPU:0".

    ``threads`` can be set only before TensorFlow has run anything in this process; RuntimeError
    otherwise. Simultaneous callers share TensorFlow's threads, which are one pool for all.
    """
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    networks = TensorFlowNetworks(weights, _device(device))
    networks.lanes = lanes
    return networks


def _device(name: str) -> str:
    kind, _, index = name.lstrip("/").lower().replace("device:", "").partition(":")
    kind = {"cuda": "gpu"}.get(kind, kind).upper()
    place = f"{kind}:{index or 0}"
    known = {":".join(d.name.split(":")[-2:]) for d in tf.config.list_logical_devices()}
    if place not in known:
        # With soft placement TensorFlow would use the CPU and say nothing.
        raise ValueError(f"tensorflow has no device {name!r}, only {', '.join(sorted(known))}")
    return "/" + place


class TensorFlowNetworks(BuiltNetworks):
    """P-Net, R-Net and O-Net as three traced functions in float32, channels last inside.

    ``traces``: how often each network has been traced; stays at one.
    """

    channels_last = True

    def __init__(self, weights: Weights, device: str) -> None:
        self.device = device
        self.traces: dict[str, int] = {"pnet": 0, "rnet": 0, "onet": 0}
        with tf.device(device):
            self._pnet, self._rnet, self._onet = (
                self._traced(name, BODIES[name], weights[name], size)
                for name, size in (("pnet", None), ("rnet", 24), ("onet", 48))
            )

    def _traced(
        self,
        name: str,
        body: Callable[[Any, list[Any]], Sequence[Any]],
        arrays: list[NDArray[np.float32]],
        size: int | None,
    ) -> Any:
        constants = [tf.constant(arrange(array), tf.float32) for array in arrays]

        def traced(x: Any) -> Sequence[Any]:
            self.traces[name] += 1  # runs while tracing only
            with tf.device(self.device):
                outputs = body(x, constants)
                return [tf.transpose(y, [0, 3, 1, 2]) if name == "pnet" else y for y in outputs]

        signature = [tf.TensorSpec([None, size, size, 3], tf.float32)]
        return tf.function(traced, input_signature=signature, autograph=False)

    def _run(self, network: Any, x: NDArray[Any]) -> list[NDArray[Any]]:
        # TensorFlow convolves channels-last images only, on a CPU.
        images = np.ascontiguousarray(x.transpose(0, 2, 3, 1), np.float32)
        with tf.device(self.device):
            return [output.numpy() for output in network(tf.constant(images))]


def arrange(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Canonical to TensorFlow's order: kernels (y, x, in, out), dense (in, out).

    A fully connected weight becomes (y, x, channel, out): the order in which a channels-last map
    is flattened, and as a kernel that covers its whole map.
    """
    if array.ndim == 4:
        return np.ascontiguousarray(array.transpose(2, 3, 1, 0))
    return np.ascontiguousarray(array.T)


def _conv(x: Any, weight: Any, bias: Any) -> Any:
    return tf.nn.bias_add(tf.nn.conv2d(x, weight, strides=1, padding="VALID"), bias)


def _dense(x: Any, weight: Any, bias: Any) -> Any:
    return tf.nn.bias_add(tf.linalg.matmul(x, weight), bias)


def _flat_dense(x: Any, weight: Any, bias: Any) -> Any:
    inputs = int(np.prod(weight.shape[:3]))
    flat = tf.reshape(x, [-1, inputs])
    return _dense(flat, tf.reshape(weight, [inputs, weight.shape[3]]), bias)


def _prelu(x: Any, slope: Any) -> Any:
    """Channels-last maps, or rows of features: x where x >= 0, otherwise slope * x."""
    if len(x.shape) == 2:
        return x + (slope - 1) * tf.minimum(x, 0.0)
    # A row of pixels at a time: TensorFlow broadcasts ten slopes over a map ten numbers at a time,
    # which takes three times as long.
    shape = tf.shape(x)
    rows = tf.reshape(x, [shape[0] * shape[1], shape[2] * x.shape[3]])
    slopes = tf.tile(slope - 1, [shape[2]])
    return tf.reshape(rows + slopes * tf.minimum(rows, 0.0), shape)


def _pool(x: Any, kernel: int, padding: str) -> Any:
    # For the sizes met here SAME adds nothing in front and at most one row and column behind,
    # which is Caffe's rounding up; where Caffe's window ends exactly, VALID says the same.
    return tf.nn.max_pool2d(x, kernel, strides=2, padding=padding)


def _pnet(x: Any, w: list[Any]) -> Sequence[Any]:
    y = _pool(_prelu(_conv(x, w[0], w[1]), w[2]), 2, "SAME")
    y = _prelu(_conv(y, w[3], w[4]), w[5])
    y = _prelu(_conv(y, w[6], w[7]), w[8])
    # The heads are 1 x 1 convolutions; (in, out) is such a kernel without its first two axes.
    # One convolution serves both.
    kernel, bias = tf.concat([w[9], w[11]], axis=1), tf.concat([w[10], w[12]], axis=0)
    return tuple(tf.split(_conv(y, kernel[None, None], bias), [2, 4], axis=3))


def _rnet(x: Any, w: list[Any]) -> Sequence[Any]:
    y = _pool(_prelu(_conv(x, w[0], w[1]), w[2]), 3, "SAME")  # 22 to 11
    y = _pool(_prelu(_conv(y, w[3], w[4]), w[5]), 3, "VALID")  # 9 to 4
    y = _prelu(_conv(y, w[6], w[7]), w[8])
    y = _prelu(_flat_dense(y, w[9], w[10]), w[11])
    return _dense(y, w[12], w[13]), _dense(y, w[14], w[15])


def _onet(x: Any, w: list[Any]) -> Sequence[Any]:
    y = _pool(_prelu(_conv(x, w[0], w[1]), w[2]), 3, "SAME")  # 46 to 23
    y = _pool(_prelu(_conv(y, w[3], w[4]), w[5]), 3, "VALID")  # 21 to 10
    y = _pool(_prelu(_conv(y, w[6], w[7]), w[8]), 2, "VALID")  # 8 to 4
    y = _prelu(_conv(y, w[9], w[10]), w[11])
    y = _prelu(_flat_dense(y, w[12], w[13]), w[14])
    return _dense(y, w[15], w[16]), _dense(y, w[17], w[18]), _dense(y, w[19], w[20])


#: The operations of each network: channels-last images and arranged arrays to its outputs.
BODIES = {"pnet": _pnet, "rnet": _rnet, "onet": _onet}
