"""LZ4 frames without the lz4 package: all of what a reader needs, and stored blocks to write.

https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
"""

from __future__ import annotations

from .raw import Budget, FileError

__all__ = ["MAGIC", "compress", "decompress", "xxh32"]

MAGIC = b"\x04\x22\x4d\x18"
_BLOCKS = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_CUT = "its LZ4 frame ends in the middle"
_BAD = "its LZ4 frame is damaged"
#: Pieces that may be put together; weights hardly compress, and have some ten thousand.
_MAX_PIECES = 3_000_000
_P1, _P2, _P3, _P4, _P5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
_M = 0xFFFFFFFF


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _M


def xxh32(data: bytes | bytearray) -> int:
    """XXH32 with seed 0, the checksum of LZ4 frames."""
    length, position = len(data), 0
    if length >= 16:
        a, b, c, d = (_P1 + _P2) & _M, _P2, 0, (-_P1) & _M
        whole = length // 16 * 16
        words = memoryview(data)[:whole]
        for position in range(0, whole, 16):
            w = int.from_bytes(words[position : position + 16], "little")
            a = (_rotated((a + (w & _M) * _P2) & _M, 13) * _P1) & _M
            b = (_rotated((b + (w >> 32 & _M) * _P2) & _M, 13) * _P1) & _M
            c = (_rotated((c + (w >> 64 & _M) * _P2) & _M, 13) * _P1) & _M
            d = (_rotated((d + (w >> 96) * _P2) & _M, 13) * _P1) & _M
        position = whole
        total = (_rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)) & _M
    else:
        total = _P5
    total = (total + length) & _M
    while position + 4 <= length:
        word = int.from_bytes(data[position : position + 4], "little")
        total = (_rotated((total + word * _P3) & _M, 17) * _P4) & _M
        position += 4
    for byte in data[position:]:
        total = (_rotated((total + byte * _P5) & _M, 11) * _P1) & _M
    total = ((total ^ total >> 15) * _P2) & _M
    total = ((total ^ total >> 13) * _P3) & _M
    return total ^ total >> 16


def decompress(data: bytes, budget: Budget) -> bytes:
    """The content of a frame; checksums are verified. Raises :class:`FileError`."""
    if len(data) < 7:
        raise FileError("truncated", _CUT)
    flags, block = data[4], data[5]
    if flags >> 6 != 1 or (block >> 4 & 7) not in _BLOCKS or flags & 2:
        raise FileError("damaged", _BAD + ": its header makes no sense")
    block_sums, has_size, content_sum, dictionary = flags & 16, flags & 8, flags & 4, flags & 1
    end = 6 + (8 if has_size else 0) + (4 if dictionary else 0)
    if end + 1 > len(data):
        raise FileError("truncated", _CUT)
    if dictionary:
        raise FileError("advice", "its LZ4 frame needs a dictionary that is not in the file")
    if xxh32(data[4:end]) >> 8 & 0xFF != data[end]:
        raise FileError("damaged", _BAD + ": its header's checksum does not fit")
    most, position = _BLOCKS[block >> 4 & 7], end + 1
    out = bytearray()
    pieces = _MAX_PIECES
    while True:
        if position + 4 > len(data):
            raise FileError("truncated", _CUT)
        size = int.from_bytes(data[position : position + 4], "little")
        position += 4
        if size == 0:
            break
        stored, size = size >> 31, size & 0x7FFFFFFF
        chunk = data[position : position + size]
        if len(chunk) < size:
            raise FileError("truncated", _CUT)
        if size > most + 64:
            raise FileError("damaged", _BAD + ": a block is larger than announced")
        position += size
        if block_sums:
            if data[position : position + 4] != xxh32(chunk).to_bytes(4, "little"):
                raise FileError("damaged", _BAD + ": a block's checksum does not fit")
            position += 4
        before = len(out)
        if stored:
            out += chunk
        else:
            pieces = _block(chunk, out, before + most, pieces)
        budget.take(len(out) - before, "the LZ4 frame")
    if content_sum and data[position : position + 4] != xxh32(out).to_bytes(4, "little"):
        raise FileError("damaged", _BAD + ": the content's checksum does not fit")
    return bytes(out)


def _block(chunk: bytes, out: bytearray, most: int, pieces: int) -> int:
    position, length = 0, len(chunk)
    try:
        while position < length:
            pieces -= 1
            if pieces < 0:
                raise FileError("bomb", "its LZ4 frame has far more parts than weights need")
            token = chunk[position]
            position += 1
            literals = token >> 4
            if literals == 15:
                more = 255
                while more == 255:
                    more = chunk[position]
                    position += 1
                    literals += more
            if position + literals > length:
                raise FileError("damaged", _BAD)
            out += chunk[position : position + literals]
            position += literals
            if position >= length:
                break
            offset = chunk[position] | chunk[position + 1] << 8
            position += 2
            match = token & 15
            if match == 15:
                more = 255
                while more == 255:
                    more = chunk[position]
                    position += 1
                    match += more
            match += 4
            start = len(out) - offset
            if offset == 0 or start < 0 or len(out) + match > most:
                raise FileError("damaged", _BAD)
            if offset >= match:
                out += out[start : start + match]
            else:
                pattern = bytes(out[start:])
                out += (pattern * (match // offset + 1))[:match]
    except IndexError as error:
        raise FileError("damaged", _BAD) from error
    if len(out) > most:
        raise FileError("damaged", _BAD)
    return pieces


def compress(data: bytes) -> bytes:
    """A frame of stored blocks (weights do not compress) with a checksum of the content."""
    flags = bytes([0x40 | 0x20 | 0x04, 7 << 4])  # version 1, independent blocks, content checksum
    parts = [MAGIC, flags, bytes([xxh32(flags) >> 8 & 0xFF])]
    most = _BLOCKS[7]
    for start in range(0, len(data), most):
        chunk = data[start : start + most]
        parts += [(len(chunk) | 1 << 31).to_bytes(4, "little"), chunk]
    parts += [bytes(4), xxh32(data).to_bytes(4, "little")]
    return b"".join(parts)
