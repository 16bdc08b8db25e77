"""Writes the three networks as ONNX models, without the onnx package.

ONNX files are protocol buffers; of that encoding only variable-length integers and
length-delimited fields are needed to write one. Field numbers are those of onnx.proto3
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3). Opset 13 and IR version 7 are old enough
for every onnxruntime that runs on Python 3.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Sequence, Union

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["build_model", "build_models"]

_IR_VERSION = 7
_OPSET = 13
_FLOAT = 1  # TensorProto.DataType.FLOAT
_ATTRIBUTE_INT, _ATTRIBUTE_INTS = 2, 7  # AttributeProto.AttributeType

_Dimension = Union[int, str]


def build_models(weights: Weights) -> dict[str, bytes]:
    """Serialised models ``pnet``, ``rnet``, ``onet``.

    Input ``image``: float32 (N, 3, H, W), N free, for P-Net H and W as well. Outputs ``face``
    (logits), ``box`` (offsets) and for O-Net ``landmarks``, channels second where there are four
    axes. ``weights``: canonical lists.
    """
    return {network: build_model(network, weights[network]) for network in _BUILDERS}


def build_model(network: str, arrays: Sequence[NDArray[np.float32]]) -> bytes:
    """One serialised model; ``arrays``: its canonical list."""
    build, shape = _BUILDERS[network]
    return build(_Graph(network, arrays, shape))


def _pnet(graph: _Graph) -> bytes:
    graph.conv()
    graph.pool(2)
    graph.conv()
    graph.conv()
    graph.head("face", ("N", 2, "h", "w"))
    graph.head("box", ("N", 4, "h", "w"))
    return graph.serialise()


def _rnet(graph: _Graph) -> bytes:
    graph.conv()
    graph.pool(3)
    graph.conv()
    graph.pool(3)
    graph.conv()
    graph.dense()
    graph.head("face", ("N", 2))
    graph.head("box", ("N", 4))
    return graph.serialise()


def _onet(graph: _Graph) -> bytes:
    graph.conv()
    graph.pool(3)
    graph.conv()
    graph.pool(3)
    graph.conv()
    graph.pool(2)
    graph.conv()
    graph.dense()
    graph.head("face", ("N", 2))
    graph.head("box", ("N", 4))
    graph.head("landmarks", ("N", 10))
    return graph.serialise()


class _Graph:
    """Collects nodes and initialisers; takes the arrays of a canonical list in their order."""

    def __init__(
        self, name: str, arrays: Sequence[NDArray[np.float32]], shape: Sequence[_Dimension]
    ) -> None:
        self.name = name
        self.arrays = list(arrays)
        self.current = "image"
        self.nodes: list[bytes] = []
        self.initialisers: list[bytes] = []
        self.inputs = [_value("image", shape)]
        self.outputs: list[bytes] = []

    def conv(self) -> None:
        """Convolution and PReLU."""
        weight = self.arrays[0]
        kernel = [_ints("kernel_shape", weight.shape[2:])]
        self.node("Conv", [self.take(weight.shape), self.take()], kernel)
        slope = self.arrays[0]
        # A bare (C,) slope would be broadcast along the image's last axis.
        self.node("PRelu", [self.take((slope.shape[0], 1, 1))])

    def pool(self, kernel: int) -> None:
        """Max pooling, stride 2, the last window partial."""
        self.node(
            "MaxPool",
            [],
            [
                _ints("kernel_shape", (kernel, kernel)),
                _ints("strides", (2, 2)),
                _int("ceil_mode", 1),
            ],
        )

    def dense(self) -> None:
        """Flatten, fully connected layer and PReLU."""
        self.node("Flatten", [], [_int("axis", 1)])
        out = self.arrays[0].shape[0]
        self.node("Gemm", [self.take((out, -1)), self.take()], [_int("transB", 1)])
        self.node("PRelu", [self.take()])

    def head(self, output: str, shape: Sequence[_Dimension]) -> None:
        """A parallel last layer; the trunk stays current."""
        trunk, weight = self.current, self.arrays[0]
        if len(shape) == 4:
            inputs = [self.take((*weight.shape, 1, 1)), self.take()]
            self.node("Conv", inputs, [_ints("kernel_shape", (1, 1))], output)
        else:
            self.node("Gemm", [self.take(), self.take()], [_int("transB", 1)], output)
        self.outputs.append(_value(output, shape))
        self.current = trunk

    def take(self, shape: Sequence[int] = (-1,)) -> str:
        """Make the next array an initialiser; returns its name. (-1,) keeps its own shape."""
        array = self.arrays.pop(0)
        if tuple(shape) != (-1,):
            array = array.reshape(tuple(shape))
        name = f"w{len(self.initialisers)}"
        tensor = b"".join(_varint_field(1, size) for size in array.shape)
        tensor += _varint_field(2, _FLOAT) + _bytes_field(8, name.encode())
        tensor += _bytes_field(9, np.ascontiguousarray(array, dtype="<f4").tobytes())
        self.initialisers.append(tensor)
        return name

    def node(
        self,
        operator: str,
        parameters: Sequence[str],
        attributes: Sequence[bytes] = (),
        output: str = "",
    ) -> None:
        """Append one operator behind the current value."""
        result = output or f"t{len(self.nodes)}"
        node = b"".join(_bytes_field(1, name.encode()) for name in (self.current, *parameters))
        node += _bytes_field(2, result.encode())
        node += _bytes_field(3, f"{operator}_{len(self.nodes)}".encode())
        node += _bytes_field(4, operator.encode())
        node += b"".join(_bytes_field(5, attribute) for attribute in attributes)
        self.nodes.append(node)
        self.current = result

    def serialise(self) -> bytes:
        """The ModelProto."""
        if self.arrays:
            raise ValueError(f"{self.name}: {len(self.arrays)} arrays are left over")
        graph = b"".join(_bytes_field(1, node) for node in self.nodes)
        graph += _bytes_field(2, self.name.encode())
        graph += b"".join(_bytes_field(5, tensor) for tensor in self.initialisers)
        graph += b"".join(_bytes_field(11, value) for value in self.inputs)
        graph += b"".join(_bytes_field(12, value) for value in self.outputs)
        model = _varint_field(1, _IR_VERSION) + _bytes_field(2, b"mtcnn-doctor")
        return model + _bytes_field(7, graph) + _bytes_field(8, _varint_field(2, _OPSET))


def _value(name: str, shape: Sequence[_Dimension]) -> bytes:
    """A ValueInfoProto: float tensor, free dimensions by name."""
    dimensions = b"".join(
        _bytes_field(
            1,
            _bytes_field(2, size.encode()) if isinstance(size, str) else _varint_field(1, size),
        )
        for size in shape
    )
    tensor = _varint_field(1, _FLOAT) + _bytes_field(2, dimensions)
    return _bytes_field(1, name.encode()) + _bytes_field(2, _bytes_field(1, tensor))


def _int(name: str, value: int) -> bytes:
    kind = _varint_field(20, _ATTRIBUTE_INT)
    return _bytes_field(1, name.encode()) + _varint_field(3, value) + kind


def _ints(name: str, values: Sequence[int]) -> bytes:
    numbers = b"".join(_varint_field(8, value) for value in values)
    return _bytes_field(1, name.encode()) + numbers + _varint_field(20, _ATTRIBUTE_INTS)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


_BUILDERS: dict[str, tuple[Callable[[_Graph], bytes], tuple[_Dimension, ...]]] = {
    "pnet": (_pnet, ("N", 3, "H", "W")),
    "rnet": (_rnet, ("N", 3, 24, 24)),
    "onet": (_onet, ("N", 3, 48, 48)),
}
