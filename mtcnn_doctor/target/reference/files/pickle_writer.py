"""Writes the pickles of NumPy, joblib and torch, byte by byte.

So they come out alike whatever releases are installed, and name only what every release can load.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Mapping, Sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["joblib_list", "numpy_object", "torch_state"]

_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
_ORDERED = b"ccollections\nOrderedDict\n)R"


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _ints(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(_int(value) for value in values) + b"t"


def _dtype(code: str, order: str, flags: int) -> bytes:
    state = b"(K\x03" + _text(order) + b"NNN" + _int(-1) + _int(-1) + b"K" + bytes([flags]) + b"tb"
    return b"cnumpy\ndtype\n(" + _text(code) + b"K\x00K\x01tR" + state


_FLOAT = _dtype("f4", "<", 0)


def _array(array: Array) -> bytes:
    data = array.astype("<f4").tobytes()
    raw = b"B" + struct.pack("<I", len(data)) + data
    return _RECONSTRUCT + b"(K\x01" + _ints(array.shape) + _FLOAT + b"\x89" + raw + b"tb"


def _tree(value: Any) -> bytes:
    if isinstance(value, Mapping):
        items = b"".join(_text(key) + _tree(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, (list, tuple)):
        return b"](" + b"".join(_tree(item) for item in value) + b"e"
    return _array(value)


def numpy_object(tree: Any) -> bytes:
    """A .npy file of one object: nested dictionaries and lists of arrays."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    kind = _dtype("O8", "|", 63)
    whole = _RECONSTRUCT + b"(K\x01)" + kind + b"\x89](" + _tree(tree) + b"etb"
    return head + b"\x80\x03" + whole + b"."


def joblib_list(arrays: Sequence[Array]) -> bytes:
    """The pickle that ``joblib.dump`` makes of a list: the numbers lie between its opcodes."""
    out = bytearray(b"\x80\x04](")
    for array in arrays:
        state = {
            "subclass": b"cnumpy\nndarray\n",
            "shape": _ints(array.shape),
            "order": _text("C"),
            "dtype": _FLOAT,
            "allow_mmap": b"\x88",
            "numpy_array_alignment_bytes": b"K\x10",
        }
        items = b"".join(_text(key) + value for key, value in state.items())
        out += b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(" + items + b"ub"
        padding = 16 - (len(out) + 1) % 16
        out += bytes([padding]) + b"\xff" * padding + array.astype("<f4").tobytes()
    return bytes(out + b"e.")


def torch_state(names: Sequence[str], arrays: Sequence[Array]) -> bytes:
    """The ``data.pkl`` of a state dictionary; storage ``i`` belongs to array ``i``."""
    out = [b"\x80\x02", _ORDERED, b"("]
    for index, (name, array) in enumerate(zip(names, arrays)):
        strides: list[int] = []
        step = 1
        for size in reversed(array.shape):
            strides.insert(0, step)
            step *= size
        key = _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(index)) + _text("cpu")
        storage = b"(" + key + _int(array.size) + b"tQ"
        out += [_text(name), b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, b"K\x00"]
        out += [_ints(array.shape), _ints(strides), b"\x89", _ORDERED, b"tR"]
    return b"".join([*out, b"u."])
