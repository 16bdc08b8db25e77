"""Image files, told from their headers with the standard library alone; no pixel is decoded."""

from __future__ import annotations

import os
import stat
import struct
from typing import Any

_HEAD = 64 * 1024
#: More parts than any image is made of: a file of so many was made, or damaged, to be endless.
_MOST_PARTS = 200000
_ENDLESS = "damaged: it is made of more parts than any image"
_TRUNCATED = "truncated: the file ends before the image does"


def _png(head: bytes, stream: Any, size: int) -> dict[str, Any]:
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    facts = {
        "width": width,
        "height": height,
        "channels": {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour, 0),
        "bit_depth": depth if colour != 3 else 8,  # a palette names colours of 8 bits
    }
    if colour == 3:
        facts["palette"] = True
    ended = False
    offset, parts = 8, 0
    while offset + 12 <= size:
        parts += 1
        if parts > _MOST_PARTS:
            return {**facts, "error": _ENDLESS}
        stream.seek(offset)
        length, kind = struct.unpack(">I4s", stream.read(8))
        if offset + 12 + length > size:
            break
        if kind == b"tRNS":
            # Transparency of its own: decoders that keep alpha give one channel more.
            facts["channels"] = {1: 2, 3: 4}.get(facts["channels"], facts["channels"])
        elif kind == b"eXIf":
            orientation = _orientation(stream.read(min(length, _HEAD)))
            if orientation:
                facts["orientation"] = orientation
        elif kind == b"IEND":
            ended = True
            break
        offset += 12 + length
    if not ended:
        facts["error"] = _TRUNCATED
    return facts


def _orientation(tiff: bytes) -> int | None:
    """Return the EXIF orientation in a TIFF structure, None when it has none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return None
    (offset,) = struct.unpack_from(order + "I", tiff, 4)
    if offset + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(order + "H", tiff, offset)
    for index in range(count):
        at = offset + 2 + 12 * index
        if at + 12 > len(tiff):
            break
        tag, kind = struct.unpack_from(order + "HH", tiff, at)
        if tag == 0x0112 and kind == 3:
            (value,) = struct.unpack_from(order + "H", tiff, at + 8)
            return int(value) if 1 <= value <= 8 else None
    return None


def _jpeg(head: bytes, stream: Any, size: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    adobe: int | None = None
    offset, parts = 2, 0
    while offset + 4 <= size:
        parts += 1
        if parts > _MOST_PARTS:
            return {**facts, "error": _ENDLESS}
        stream.seek(offset)
        marker = stream.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            break
        if marker[1] == 0xFF:  # fill byte
            offset += 1
            continue
        kind = marker[1]
        if kind == 0x01 or 0xD0 <= kind <= 0xD8:
            offset += 2
            continue
        if kind in (0xD9, 0xDA):  # the end, or the compressed data
            break
        (length,) = struct.unpack(">H", marker[2:])
        body = stream.read(max(0, length - 2))
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and len(body) >= 6:
            depth, height, width, channels = struct.unpack_from(">BHHB", body)
            facts.update(width=width, height=height, channels=channels, bit_depth=depth)
        elif kind == 0xE1 and body[:6] == b"Exif\0\0":
            orientation = _orientation(body[6:])
            if orientation:
                facts["orientation"] = orientation
        elif kind == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        offset += 2 + length
    if facts.get("channels") == 4:
        facts["cmyk"] = True
    elif adobe is not None:
        facts["cmyk"] = False
    # Cameras append previews and padding after the end marker: look at the last part for it.
    stream.seek(max(0, size - _HEAD))
    if "width" not in facts or stream.read(_HEAD).rfind(b"\xff\xd9") < 0:
        facts["error"] = _TRUNCATED
    return facts


def _gif(head: bytes, stream: Any, size: int) -> dict[str, Any]:
    width, height = struct.unpack_from("<HH", head, 6)
    facts: dict[str, Any] = {"width": width, "height": height, "channels": 3, "bit_depth": 8}
    facts["palette"] = True
    stream.seek(max(0, size - 64))
    if b"\x3b" not in stream.read(64):
        facts["error"] = _TRUNCATED
    return facts


def _bmp(head: bytes, stream: Any, size: int) -> dict[str, Any]:
    (claimed,) = struct.unpack_from("<I", head, 2)
    (header,) = struct.unpack_from("<I", head, 14)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", head, 18)
    facts: dict[str, Any] = {
        "width": width,
        "height": abs(height),  # negative: stored from the top
        "channels": 4 if bits == 32 else 3,
        "bit_depth": 8,
    }
    if bits <= 8:
        facts["palette"] = True
    if claimed > size:
        facts["error"] = _TRUNCATED
    return facts


def _webp(head: bytes, stream: Any, size: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"channels": 3, "bit_depth": 8}
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        facts.update(width=width & 0x3FFF, height=height & 0x3FFF)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", head, 21)
        facts.update(width=(bits & 0x3FFF) + 1, height=((bits >> 14) & 0x3FFF) + 1)
        if bits >> 28 & 1:
            facts["channels"] = 4
    elif kind == b"VP8X":
        facts["width"] = int.from_bytes(head[24:27], "little") + 1
        facts["height"] = int.from_bytes(head[27:30], "little") + 1
        if head[20] & 0x10:
            facts["channels"] = 4
    (claimed,) = struct.unpack_from("<I", head, 4)
    if claimed + 8 > size:
        facts["error"] = _TRUNCATED
    return facts


def _tiff(head: bytes, stream: Any, size: int) -> dict[str, Any]:
    order = "<" if head[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", head, 4)
    facts: dict[str, Any] = {}
    if offset + 2 > size:
        return {"error": _TRUNCATED}
    stream.seek(offset)
    (count,) = struct.unpack(order + "H", stream.read(2))
    rows = stream.read(12 * count)
    names = {256: "width", 257: "height", 277: "channels", 274: "orientation"}
    photometric = None
    facts.update(channels=1, bit_depth=1)  # what the format means by saying nothing
    for index in range(len(rows) // 12):
        tag, kind, number = struct.unpack_from(order + "HHI", rows, 12 * index)
        if kind not in (3, 4):
            continue
        (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), rows, 12 * index + 8)
        if tag in names and number == 1:
            facts[names[tag]] = value
        elif tag == 258:
            if number > 2:  # the values do not fit into the row, which then points to them
                (at,) = struct.unpack_from(order + "I", rows, 12 * index + 8)
                stream.seek(at)
                raw = stream.read(2)
                value = struct.unpack(order + "H", raw)[0] if len(raw) == 2 else 8
            facts["bit_depth"] = value
        elif tag == 262:
            photometric = value
    if photometric == 5:
        facts["cmyk"] = True
    elif photometric == 3 and facts["channels"] == 1:
        facts.update(channels=3, palette=True)
    if not 1 <= facts.get("orientation", 1) <= 8:
        del facts["orientation"]
    return facts


def _kind(head: bytes) -> str:
    """Return the format that the first bytes tell, "unknown" when they tell none."""
    if not head:
        return "empty"
    for magic, name in (
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"BM", "bmp"),
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"\x93NUMPY", "npy"),
        (b"version https://git-lfs", "git-lfs"),
        (b"%PDF", "pdf"),
        (b"PK\x03\x04", "zip"),
        (b"\x00\x00\x00\x0cJXL ", "jxl"),
        (b"\xff\x0a", "jxl"),
        (b"\x00\x00\x00\x0cjP  ", "jpeg2000"),
    ):
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "avif"
        return "heic" if brand in (b"heic", b"heix", b"mif1", b"hevc", b"msf1") else "video"
    if head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6") and head[2:3].isspace():
        return "pnm"
    text = head[:512].lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "html"
    if text.startswith((b"<?xml", b"<svg")):
        return "svg" if b"<svg" in head[:4096].lower() else "xml"
    if text.startswith((b"{", b"[")):
        return "json"
    return "unknown"


_READERS = {
    "png": _png,
    "jpeg": _jpeg,
    "gif": _gif,
    "bmp": _bmp,
    "webp": _webp,
    "tiff": _tiff,
}


def describe(path: str) -> dict[str, Any]:
    """Return the facts of one file."""
    facts: dict[str, Any] = {"path": path}
    try:
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            facts["format"] = "directory"
            return facts
        if not stat.S_ISREG(state.st_mode):
            facts["format"] = "special"  # reading a pipe or a device might never end
            return facts
        facts["size_bytes"] = state.st_size
        with open(path, "rb") as stream:
            head = stream.read(_HEAD)
            facts["format"] = _kind(head)
            reader = _READERS.get(facts["format"])
            if reader is not None:
                facts.update(reader(head, stream, state.st_size))
    except FileNotFoundError:
        facts["format"] = "missing"
    except PermissionError:
        facts["format"] = "permission"
    except OSError as problem:
        facts.update(format="unreadable", error=str(problem)[:300])
    except (struct.error, ValueError, IndexError):
        facts["error"] = _TRUNCATED
    return facts


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of the files named in ``orders["images"]``."""
    return {"images": [describe(str(path)) for path in orders.get("images") or []]}
