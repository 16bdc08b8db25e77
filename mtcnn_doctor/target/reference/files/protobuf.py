"""Protocol buffers: a walk over the fields of a message, and writing them.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any, Iterator

from .raw import Budget, FileError

__all__ = ["bytes_field", "fields", "varint", "varint_field", "varints"]

_BAD = "its protocol buffer makes no sense"


def varint(data: Any, position: int) -> tuple[int, int]:
    """The number at a position, and where it ends."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise FileError("truncated", "its protocol buffer ends in the middle")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise FileError("damaged", _BAD)


def fields(data: Any, budget: Budget) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field: an int, or a view of the bytes."""
    view, position = memoryview(data), 0
    while position < len(view):
        if not budget.step():
            raise FileError("bomb", "its protocol buffer has far more fields than weights need")
        key, position = varint(view, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = varint(view, position)
            yield number, wire, value
            continue
        if wire == 2:
            size, position = varint(view, position)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or number == 0:
            raise FileError("damaged", _BAD)
        if position + size > len(view):
            raise FileError("truncated", "its protocol buffer ends in the middle")
        yield number, wire, view[position : position + size]
        position += size


def varints(data: Any, most: int = 16) -> list[int]:
    """Packed numbers."""
    found, position = [], 0
    while position < len(data):
        value, position = varint(data, position)
        found.append(value)
        if len(found) > most:
            raise FileError("damaged", _BAD)
    return found


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    """A number as a field."""
    return _number(number << 3) + _number(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Bytes, a text or a message as a field."""
    return _number(number << 3 | 2) + _number(len(value)) + value
