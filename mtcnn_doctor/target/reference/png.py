"""Decodes ordinary PNG files with zlib and NumPy alone.

The bundled images must be readable where OpenCV, Pillow and TensorFlow are missing or broken.
Format: W3C Portable Network Graphics, third edition (https://www.w3.org/TR/png-3/).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIGNATURE", "Png", "PngError", "UnsupportedPngError", "parse", "pixels"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Channels by colour type: gray, RGB, gray and alpha, RGB and alpha.
_CHANNELS: dict[int, int] = {0: 1, 2: 3, 4: 2, 6: 4}
_MAX_PIXELS = 1 << 28


class PngError(ValueError):
    """The file is damaged."""


class UnsupportedPngError(ValueError):
    """A sound PNG of a kind that is left to other decoders."""


class Png(NamedTuple):
    """A parsed file: still filtered, but checked and inflated.

    ``data``: uint8 (height, 1 + width * channels), the filter type in front of each row.
    """

    width: int
    height: int
    channels: int
    data: NDArray[np.uint8]

    @property
    def slow(self) -> bool:
        """Whether rows use Average or Paeth, which run pixel by pixel in Python."""
        return bool((self.data[:, 0] > 2).any())


def parse(content: bytes) -> Png:
    """Check the chunks of a PNG file and inflate its rows.

    Handles 8 bits a sample, gray or RGB, with or without alpha, not interlaced. Raises
    UnsupportedPngError for other kinds (palette, 16 bit, interlaced, turned by EXIF) and
    PngError, with what is wrong, for a damaged file.
    """
    if not content.startswith(SIGNATURE):
        raise PngError("not a PNG file")
    header, packed = _chunks(content)
    width, height, depth, colour, _, _, interlace = header
    if depth != 8 or colour not in _CHANNELS or interlace:
        raise UnsupportedPngError(f"PNG with depth {depth}, colour type {colour}")
    if not (width and height) or width * height > _MAX_PIXELS:
        raise PngError(f"impossible size {width} x {height}")
    channels = _CHANNELS[colour]
    size = height * (1 + width * channels)
    try:
        inflater = zlib.decompressobj()
        # The limit keeps a small hostile file from filling the memory.
        raw = inflater.decompress(packed, size)
    except zlib.error as error:
        raise PngError(f"its data cannot be inflated ({error})") from error
    if len(raw) != size:
        raise PngError(f"its data ends early: {len(raw)} of {size} bytes")
    data = np.frombuffer(raw, np.uint8).reshape(height, -1)
    if data[:, 0].max() > 4:
        raise PngError(f"unknown row filter {int(data[:, 0].max())}")
    return Png(width, height, channels, data)


def _chunks(content: bytes) -> tuple[tuple[int, ...], bytes]:
    """The fields of IHDR and the joined IDAT data; checks every checksum."""
    header: tuple[int, ...] = ()
    packed: list[bytes] = []
    position = len(SIGNATURE)
    while True:
        if position + 12 > len(content):
            raise PngError("truncated")
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 8 + length
        if end + 4 > len(content):
            raise PngError(f"truncated inside its {kind!r} chunk")
        body = content[position + 8 : end]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", content, end)[0]:
            raise PngError(f"the checksum of its {kind!r} chunk is wrong")
        position = end + 4
        if kind == b"IHDR" and length == 13:
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"eXIf":
            raise UnsupportedPngError("PNG with EXIF data, which may turn it")
        elif kind == b"IEND":
            break
    if not header:
        raise PngError("it has no header")
    return header, b"".join(packed)


def pixels(png: Png) -> NDArray[np.uint8]:
    """Undo the row filters: uint8 (height, width, 3) RGB; gray is repeated, alpha dropped."""
    channels = png.channels
    rows = np.zeros((png.height, png.width, channels), np.uint8)
    above = np.zeros((png.width, channels), np.uint8)
    for y in range(png.height):
        row = png.data[y, 1:].reshape(png.width, channels)
        kind = png.data[y, 0]
        # All sums are modulo 256, which is what uint8 arithmetic does by itself.
        if kind == 0:
            rows[y] = row
        elif kind == 1:
            np.cumsum(row, axis=0, dtype=np.uint8, out=rows[y])
        elif kind == 2:
            np.add(row, above, out=rows[y])
        else:
            undo = _average if kind == 3 else _paeth
            flat = undo(row.tobytes(), above.tobytes(), channels)
            rows[y] = np.frombuffer(bytes(flat), np.uint8).reshape(png.width, channels)
        above = rows[y]
    if channels <= 2:
        return np.repeat(rows[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(rows[:, :, :3])


def _average(row: bytes, above: bytes, step: int) -> bytearray:
    out = bytearray(row)
    for i in range(len(out)):
        left = out[i - step] if i >= step else 0
        out[i] = (row[i] + (left + above[i]) // 2) & 255
    return out


def _paeth(row: bytes, above: bytes, step: int) -> bytearray:
    out = bytearray(row)
    for i in range(len(out)):
        left, corner = (out[i - step], above[i - step]) if i >= step else (0, 0)
        top = above[i]
        to_left, to_top = abs(top - corner), abs(left - corner)
        to_corner = abs(left + top - 2 * corner)
        if to_left <= to_top and to_left <= to_corner:
            guess = left
        elif to_top <= to_corner:
            guess = top
        else:
            guess = corner
        out[i] = (row[i] + guess) & 255
    return out
