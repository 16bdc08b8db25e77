"""Writes the three networks as TFLite models, without TensorFlow or the flatbuffers package.

Numbers of fields, operators and options are those of schema.fbs, version 3
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs).
All operators are of version 1, which every TFLite runtime knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import numpy as np

from .flatbuffer import Numbers, Scalar, Table, Value, serialise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["build_models"]

_SCHEMA = 3
_FLOAT32, _INT32 = 0, 2  # TensorType
_SAME, _VALID = 0, 1  # Padding
# BuiltinOperator, and the member of BuiltinOptions that belongs to it.
_CONV, _DENSE, _POOL, _RESHAPE, _PRELU = (3, 1), (9, 8), (17, 5), (22, 17), (54, 0)
# XNNPACK loads vectors of four floats from the weights.
_ALIGNMENT = 16


def build_models(weights: Weights) -> dict[str, bytes]:
    """Serialised models ``pnet``, ``rnet``, ``onet``.

    Input ``image``: float32 (N, H, W, 3), channels last as TFLite users expect; N is free, for
    P-Net H and W as well (``resize_tensor_input`` sets them). Outputs ``face`` (logits), ``box``
    (offsets) and for O-Net ``landmarks``, in this order, channels last. ``weights``: canonical
    lists.
    """
    return {
        "pnet": _pnet(_Graph("pnet", weights["pnet"], (-1, -1, 3), 12)),
        "rnet": _rnet(_Graph("rnet", weights["rnet"], (24, 24, 3), 24)),
        "onet": _onet(_Graph("onet", weights["onet"], (48, 48, 3), 48)),
    }


# Caffe's pooling rounds up. For the sizes met here SAME adds nothing in front and at most one row
# and column behind, which is the same; where Caffe's last window ends exactly, VALID is.
def _pnet(graph: _Graph) -> bytes:
    graph.conv()
    graph.pool(2, _SAME)
    graph.conv()
    graph.conv()
    graph.head("face")
    graph.head("box")
    return graph.serialise()


def _rnet(graph: _Graph) -> bytes:
    graph.conv()
    graph.pool(3, _SAME)  # 22 to 11
    graph.conv()
    graph.pool(3, _VALID)  # 9 to 4
    graph.conv()
    graph.flat_dense()
    graph.head("face")
    graph.head("box")
    return graph.serialise()


def _onet(graph: _Graph) -> bytes:
    graph.conv()
    graph.pool(3, _SAME)  # 46 to 23
    graph.conv()
    graph.pool(3, _VALID)  # 21 to 10
    graph.conv()
    graph.pool(2, _VALID)  # 8 to 4
    graph.conv()
    graph.flat_dense()
    graph.head("face")
    graph.head("box")
    graph.head("landmarks")
    return graph.serialise()


class _Graph:
    """Collects tensors and operators; takes the arrays of a canonical list in their order.

    ``shape``: of one image, -1 where it is free. ``example``: what stands in the file for a free
    size. The sizes of the tensors between are followed through for it; a runtime works them out
    anew whenever an input is resized.
    """

    def __init__(
        self,
        name: str,
        arrays: Sequence[NDArray[np.float32]],
        shape: Sequence[int],
        example: int,
    ) -> None:
        self.name = name
        self.arrays = list(arrays)
        self.buffers: list[Table] = [{}]  # number 0 is the empty one, by convention
        self.tensors: list[Table] = []
        self.operators: list[Table] = []
        self.codes: list[tuple[int, int]] = []
        self.outputs: dict[str, int] = {}
        self.free = -1 in shape
        self.shape = [1, *(example if size == -1 else size for size in shape)]
        self.input = self.current = self.value("image")

    def conv(self) -> None:
        """Convolution and PReLU."""
        weight = self.arrays.pop(0)
        out, _, k, _ = weight.shape
        self.shape = [1, self.shape[1] - k + 1, self.shape[2] - k + 1, out]
        kernel = self.constant(weight.transpose(0, 2, 3, 1))
        self.convolve(kernel, self.constant(self.arrays.pop(0)))
        self.prelu((1, 1, out))

    def convolve(self, kernel: int, bias: int, output: str = "") -> None:
        """Convolution without padding, stride 1."""
        options: Table = {0: Scalar("b", _VALID), 1: Scalar("i", 1), 2: Scalar("i", 1)}
        self.operator(_CONV, [kernel, bias], options, output)

    def pool(self, kernel: int, padding: int) -> None:
        """Max pooling, stride 2."""
        short = 0 if padding == _SAME else kernel - 1
        height, width = (-(-(size - short) // 2) for size in self.shape[1:3])
        self.shape = [1, height, width, self.shape[3]]
        options: Table = {0: Scalar("b", padding), 1: Scalar("i", 2), 2: Scalar("i", 2)}
        options.update({3: Scalar("i", kernel), 4: Scalar("i", kernel)})
        self.operator(_POOL, [], options)

    def flat_dense(self) -> None:
        """Flatten, fully connected layer and PReLU."""
        weight = self.arrays.pop(0)
        # Channels-last maps are flattened as (y, x, channel).
        weight = weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], -1)
        out, inputs = weight.shape
        self.shape = [1, inputs]
        size = self.constant(np.array([-1, inputs], np.int32))
        self.operator(_RESHAPE, [size], {0: Numbers.ints(-1, inputs)})
        self.shape = [1, out]
        self.operator(_DENSE, [self.constant(weight), self.constant(self.arrays.pop(0))], {})
        self.prelu((out,))

    def prelu(self, shape: tuple[int, ...]) -> None:
        """PReLU with the next array as its slope."""
        self.operator(_PRELU, [self.constant(self.arrays.pop(0).reshape(shape))], None)

    def head(self, output: str) -> None:
        """A parallel last layer; the trunk stays current."""
        trunk, shape = self.current, self.shape
        weight, bias = self.arrays.pop(0), self.arrays.pop(0)
        self.shape = [*shape[:-1], weight.shape[0]]
        if len(shape) == 4:
            kernel = self.constant(weight[:, None, None, :])
            self.convolve(kernel, self.constant(bias), output)
        else:
            self.operator(_DENSE, [self.constant(weight), self.constant(bias)], {}, output)
        self.outputs[output] = self.current
        self.current, self.shape = trunk, shape

    def constant(self, array: NDArray[np.generic]) -> int:
        """Append a tensor with content; returns its number."""
        whole = array.dtype.kind == "i"
        data = np.ascontiguousarray(array, dtype="<i4" if whole else "<f4").tobytes()
        self.buffers.append({0: Numbers(data, 1, _ALIGNMENT)})
        return self.tensor(
            f"w{len(self.buffers) - 1}", array.shape, _INT32 if whole else _FLOAT32, {}
        )

    def value(self, name: str) -> int:
        """Append a tensor of the current shape that an operator fills; returns its number."""
        signature = [-1, *self.shape[1:]]
        if self.free and len(self.shape) == 4:
            signature[1:3] = [-1, -1]
        return self.tensor(name, self.shape, _FLOAT32, {7: Numbers.ints(*signature)})

    def tensor(self, name: str, shape: Sequence[int], kind: int, more: Table) -> int:
        """Append a tensor; its buffer is the last one if it is a constant, otherwise none."""
        buffer = 0 if more else len(self.buffers) - 1
        row: Table = {0: Numbers.ints(*shape), 1: Scalar("b", kind), 2: Scalar("I", buffer)}
        self.tensors.append({**row, 3: name, **more})
        return len(self.tensors) - 1

    def operator(
        self,
        kind: tuple[int, int],
        parameters: Sequence[int],
        options: Table | None,
        name: str = "",
    ) -> None:
        """Append one operator behind the current value."""
        if kind not in self.codes:
            self.codes.append(kind)
        inputs = Numbers.ints(self.current, *parameters)
        self.current = self.value(name or f"t{len(self.operators)}")
        row: Table = {0: Scalar("I", self.codes.index(kind)), 1: inputs}
        row[2] = Numbers.ints(self.current)
        if options is not None:
            row.update({3: Scalar("B", kind[1]), 4: options})
        self.operators.append(row)

    def serialise(self) -> bytes:
        """The Model table as a file."""
        if self.arrays:
            raise ValueError(f"{self.name}: {len(self.arrays)} arrays are left over")
        graph: Table = {0: self.tensors, 1: Numbers.ints(self.input), 3: self.operators}
        graph.update({2: Numbers.ints(*self.outputs.values()), 4: self.name})
        # The number of an operator is written in both places that runtimes look for it.
        codes: list[Table] = [
            {0: Scalar("b", code), 2: Scalar("i", 1), 3: Scalar("i", code)}
            for code, _ in self.codes
        ]
        names: Value = [{0: name, 1: Scalar("I", n)} for name, n in self.outputs.items()]
        signature: Table = {0: [{0: "image", 1: Scalar("I", self.input)}], 1: names}
        model: Table = {0: Scalar("I", _SCHEMA), 1: codes, 2: [graph], 3: "mtcnn-doctor"}
        model.update({4: self.buffers, 7: [{**signature, 2: "serving_default"}]})
        return serialise(model, b"TFL3")
