"""The objects of a pickle that is read and not run, and the names that are understood."""

from __future__ import annotations

import struct
from typing import Any

from .raw import FileError

MAX_LINE = 4096

RECONSTRUCT = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
SCALAR = {("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")}
FROM_BUFFER = {
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}
#: Storage class of torch to element code.
STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2",
    "BFloat16Storage": "<bf2", "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2",
    "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "<b1",
}  # fmt: skip
TORCH = {("torch", name) for name in STORAGES}
ORDERED = ("collections", "OrderedDict")
WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
#: The names that are understood. None of them is ever imported.
ALLOWED = (
    RECONSTRUCT
    | SCALAR
    | FROM_BUFFER
    | TORCH
    | {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        ("torch", "Size"),
        ("builtins", "set"),
        ("__builtin__", "set"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ORDERED,
        WRAPPER,
    }
)


class Global:
    """A name that the pickle asks for; never resolved."""

    __slots__ = ("key",)

    def __init__(self, module: str, name: str) -> None:
        self.key = (module, name)


class Opaque:
    """What an unknown name would have made: its arguments and its state, uncalled."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: Any = ()) -> None:
        self.name, self.args, self.state = name, args, None


class Storage:
    """A torch storage, by the key under which its bytes are kept."""

    __slots__ = ("code", "count", "key")

    def __init__(self, code: str, key: str, count: int) -> None:
        self.code, self.key, self.count = code, key, count


class ArrayType:
    """A NumPy dtype in the making."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code


class Array:
    """A NumPy array in the making; ``value`` is a :class:`RawArray` or, of objects, a list."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None


class Mark:
    """Where a group of stack items begins."""

    __slots__ = ()


MARK = Mark()
BROKEN = (
    IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error, OverflowError,
    RecursionError,
)  # fmt: skip


def text_of(value: Any) -> str:
    """A text, which Python 2 wrote as bytes."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise FileError("damaged", "its pickle has something else where a text belongs")
    return value


def bytes_of(value: Any) -> bytes:
    """The bytes of an array."""
    # A str here is one of Python 2, whose characters are the bytes.
    if isinstance(value, str):
        return value.encode("latin-1")
    if not isinstance(value, (bytes, bytearray)):
        raise FileError("damaged", "an array has no bytes")
    return bytes(value)


def code_of(value: Any) -> str:
    """The element code of a dtype, byte order first."""
    code = value.code if isinstance(value, ArrayType) else text_of(value)
    return code if code[:1] in "<>=|" else "|" + code if code == "O" else "<" + code


def pairs(items: Any) -> dict[Any, Any]:
    """The dictionary of a list of pairs."""
    found: dict[Any, Any] = {}
    for key, value in items:
        found[key_of(key)] = settled(value)
    return found


def key_of(value: Any) -> Any:
    """A key of a dictionary."""
    # Hashing a tuple of tuples of tuples ... overflows the stack of the interpreter.
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    raise FileError("damaged", "its pickle has a dictionary with keys that are no names")


def settled(value: Any) -> Any:
    """An object as it is stored in others: arrays are done by then."""
    return value.value if isinstance(value, Array) else value
