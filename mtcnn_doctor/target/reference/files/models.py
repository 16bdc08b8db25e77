"""The arrays of Caffe models and ONNX models."""

from __future__ import annotations

import re
import struct
from typing import Any

from .protobuf import fields, varints
from .raw import MAX_ARRAYS, Budget, Document, FileError, RawArray

__all__ = ["read_caffe", "read_onnx"]

#: Element types of ONNX's TensorProto.
_ONNX = {
    1: "<f4", 2: "<u1", 3: "<i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "<b1", 10: "<f2",
    11: "<f8", 12: "<u4", 13: "<u8", 16: "<bf2",
}  # fmt: skip


def _text(value: Any) -> str:
    return bytes(value[:200]).decode("utf-8", "replace") if not isinstance(value, int) else ""


def read_caffe(data: bytes, budget: Budget) -> Document:
    """A NetParameter: layers with their blobs, those without are left out.

    Field numbers: https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
    """
    tree: dict[str, list[RawArray]] = {}
    arrays = 0
    for number, wire, value in fields(data, budget):
        if wire != 2 or number not in (2, 100):
            continue
        modern = number == 100
        name, blobs = "", []
        for inner, inner_wire, part in fields(value, budget):
            if inner_wire == 2 and inner == (1 if modern else 4):
                name = _text(part)
            elif inner_wire == 2 and inner == (7 if modern else 6):
                blobs.append(_blob(part, budget))
        arrays += len(blobs)
        if arrays > MAX_ARRAYS:
            raise FileError("bomb", f"it has more than {MAX_ARRAYS} arrays")
        if blobs:
            tree[name or f"layer {len(tree)}"] = blobs
    document = Document("caffemodel", tree)
    _join_split_slopes(document)
    return document


def _join_split_slopes(document: Document) -> None:
    """Models for programs without PReLU: x = relu(x) + scale_2 * relu(scale_1 * x).

    ``scaleK_1`` is -1, and ``scaleK_2`` minus the slope.
    """
    tree = document.tree
    for name in [name for name in tree if re.fullmatch(r"scale\d+_[12]", name)]:
        first = tree.pop(name)[0]
        data = bytearray(bytes(first.data))
        if name.endswith("_1"):
            if any(data[at : at + 4] != b"\0\0\x80\xbf" for at in range(0, len(data), 4)):
                raise FileError("damaged", f"its layer {name} does not only change the sign")
            continue
        for at in range(3, len(data), 4):
            data[at] ^= 0x80
        document.notes["relu"] = True
        tree["prelu" + name[len("scale") : -2]] = [RawArray(first.code, first.shape, bytes(data))]


def _blob(data: Any, budget: Budget) -> RawArray:
    shape: list[int] | None = None
    legacy = {}
    packed, single, doubles = [], bytearray(), []
    for number, wire, value in fields(data, budget):
        if number in (1, 2, 3, 4) and wire == 0:
            legacy[number] = value
        elif number == 5 and wire == 2:
            packed.append(value)
        elif number == 5 and wire == 5:
            single += value
        elif number == 8 and wire == 2:
            doubles.append(value)
        elif number == 7 and wire == 2:
            shape = []
            for inner, inner_wire, part in fields(value, budget):
                if inner == 1:
                    shape += [part] if inner_wire == 0 else varints(part)
    if shape is None:
        shape = [legacy.get(axis, 1) for axis in (1, 2, 3, 4)]
        # Old files give every blob four axes: a bias is 1x1x1xC.
        while len(shape) > 1 and shape[0] == 1:
            del shape[0]
    if doubles:
        return RawArray("<f8", shape, b"".join(bytes(part) for part in doubles))
    return RawArray("<f4", shape, b"".join(bytes(part) for part in packed) + bytes(single))


def read_onnx(data: bytes, budget: Budget) -> Document:
    """A ModelProto: the initialisers of its graph, and the constants among its nodes.

    Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
    """
    document = Document("onnx", {})
    for number, wire, value in fields(data, budget):
        if number == 2 and wire == 2:
            document.notes["producer"] = _text(value)
        if number != 7 or wire != 2:
            continue
        for inner, inner_wire, part in fields(value, budget):
            if inner_wire != 2:
                continue
            if inner == 2:
                document.notes["graph"] = _text(part)
            elif inner == 5:
                name, array = _tensor(part, budget)
                if array is not None:
                    document.tree[name or f"tensor {len(document.tree)}"] = array
                if len(document.tree) > MAX_ARRAYS:
                    raise FileError("bomb", f"it has more than {MAX_ARRAYS} arrays")
    return document


def _tensor(data: Any, budget: Budget) -> tuple[str, RawArray | None]:
    shape: list[int] = []
    kind, name, raw = 0, "", None
    floats = bytearray()
    for number, wire, value in fields(data, budget):
        if number == 1:
            shape += [value] if wire == 0 else varints(value)
        elif number == 2 and wire == 0:
            kind = value
        elif number == 4:
            floats += value if wire != 0 else struct.pack("<f", 0)
        elif number == 8 and wire == 2:
            name = _text(value)
        elif number == 9 and wire == 2:
            raw = value
        elif number == 14 and value == 1:
            raise FileError(
                "advice",
                "an ONNX model whose weights are in a file beside it; save it as one file: "
                "onnx.save(model, path, save_as_external_data=False)",
            )
    if kind not in _ONNX:
        return name, None  # texts, and what came after
    if raw is None and kind != 1:
        return name, None  # shapes and axes as lists of numbers
    return name, RawArray(_ONNX[kind], shape, bytes(floats) if raw is None else raw)
