"""Writes FlatBuffers, the encoding of TFLite models, without the flatbuffers package.

A value is written before what it points at, so every offset points forward, as the format wants;
tables share no vtables, which costs a few bytes and spares the bookkeeping. Format:
https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from typing import Dict, List, Union

__all__ = ["Numbers", "Scalar", "Table", "Value", "serialise"]


class Scalar:
    """A number stored inside its table; ``kind`` as in :mod:`struct` ("b", "B", "i", "I")."""

    def __init__(self, kind: str, value: int) -> None:
        self.kind, self.value = kind, value


class Numbers:
    """A vector of plain numbers, given as the bytes it consists of.

    ``size``: bytes of one number. ``align``: where the first one may lie.
    """

    def __init__(self, data: bytes, size: int, align: int = 4) -> None:
        self.data, self.size, self.align = data, size, align

    @classmethod
    def ints(cls, *values: int) -> Numbers:
        """A vector of 32-bit integers."""
        return cls(struct.pack(f"<{len(values)}i", *values), 4)


#: A table: field number (of the schema) to value. Fields left out have the schema's default.
Table = Dict[int, "Value"]
Value = Union[Scalar, Numbers, str, List[Table], Table]


def serialise(root: Table, identifier: bytes) -> bytes:
    """Return the buffer with ``root`` as its root table and a file identifier of four bytes."""
    writer = _Writer()
    writer.data += b"\0\0\0\0" + identifier
    writer.point(0, root)
    return bytes(writer.data)


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int, ahead: int = 0) -> None:
        """Pad until ``ahead`` bytes from here is a multiple of ``size``."""
        self.data += bytes(-(len(self.data) + ahead) % size)

    def point(self, place: int, value: Value) -> None:
        """Append a value and let the offset at ``place`` point at it."""
        if isinstance(value, dict):
            start, later = self.table(value)
        elif isinstance(value, list):
            start, later = self.tables(value)
        elif isinstance(value, str):
            text = value.encode()
            start, later = self.vector(text + b"\0", len(text), 4), []
        else:
            assert isinstance(value, Numbers)
            count = len(value.data) // value.size
            start, later = self.vector(value.data, count, value.align), []
        struct.pack_into("<I", self.data, place, start - place)
        for slot, child in later:
            self.point(slot, child)

    def vector(self, content: bytes, count: int, align: int) -> int:
        self.align(max(align, 4), ahead=4)
        start = len(self.data)
        self.data += struct.pack("<I", count) + content
        return start

    def tables(self, rows: list[Table]) -> tuple[int, list[tuple[int, Value]]]:
        start = self.vector(bytes(4 * len(rows)), len(rows), 4)
        return start, [(start + 4 + 4 * index, row) for index, row in enumerate(rows)]

    def table(self, fields: Table) -> tuple[int, list[tuple[int, Value]]]:
        """Append vtable and table; returns where the table is and the offsets still to be set."""
        # Wide fields first, so that all of them are aligned without gaps.
        order = sorted(fields, key=lambda number: (-_width(fields[number]), number))
        offsets, end = {}, 4
        for number in order:
            offsets[number] = end
            end += _width(fields[number])
        slots = [offsets.get(number, 0) for number in range(max(fields, default=-1) + 1)]
        vtable = struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), end, *slots)
        self.align(4, ahead=len(vtable))
        self.data += vtable
        start = len(self.data)
        self.data += struct.pack("<i", len(vtable)) + bytes(end - 4)
        later: list[tuple[int, Value]] = []
        for number in order:
            value, place = fields[number], start + offsets[number]
            if isinstance(value, Scalar):
                struct.pack_into("<" + value.kind, self.data, place, value.value)
            else:
                later.append((place, value))
        return start, later


def _width(value: Value) -> int:
    return struct.calcsize("<" + value.kind) if isinstance(value, Scalar) else 4
