"""Headers of image files, written byte by byte."""

import os
import struct
import zlib

import pytest

from mtcnn_doctor.target.probes.image import collect


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width=30, height=20, depth=8, colour=2, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + extra
        + _chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + _chunk(b"IEND", b"")
    )


def _exif(orientation, order="<"):
    mark = b"II" if order == "<" else b"MM"
    row = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "HIH", 42, 8, 1) + row + b"\0" * 4


def _segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def _jpeg(channels=3, orientation=None, adobe=None, sof=0xC0, tail=b"\xff\xd9", order="<"):
    data = b"\xff\xd8" + _segment(0xE0, b"JFIF\0" + b"\0" * 9)
    if orientation:
        data += _segment(0xE1, b"Exif\0\0" + _exif(orientation, order))
    if adobe is not None:
        data += _segment(0xEE, b"Adobe" + b"\0" * 6 + bytes((adobe,)))
    data += _segment(sof, struct.pack(">BHHB", 8, 20, 30, channels) + b"\0" * 3 * channels)
    return data + _segment(0xDA, b"\0" * 6) + b"\x12\x34" * 50 + tail


@pytest.fixture
def describe(tmp_path):
    """Return a function that writes bytes into a file and gives its facts."""

    def call(data, name="image.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        [facts] = collect({"images": [str(path)]})["images"]
        assert facts.pop("path") == str(path)
        assert facts.pop("size_bytes") == len(data)
        return facts

    return call


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (3, 3), (4, 2), (6, 4)])
def test_png(describe, colour, channels):
    facts = describe(_png(colour=colour))
    assert facts.pop("palette", False) is (colour == 3)
    assert facts == {
        "format": "png",
        "width": 30,
        "height": 20,
        "channels": channels,
        "bit_depth": 8,
    }


def test_png_of_16_bits_and_with_transparency(describe):
    assert describe(_png(depth=16))["bit_depth"] == 16
    assert describe(_png(extra=_chunk(b"tRNS", b"\0" * 6)))["channels"] == 4
    assert describe(_png(extra=_chunk(b"eXIf", _exif(6))))["orientation"] == 6


def test_cut_png(describe):
    assert "truncated" in describe(_png()[:-20])["error"]
    assert "truncated" in describe(_png()[:18])["error"]


@pytest.mark.parametrize("sof", [0xC0, 0xC1, 0xC2])
def test_jpeg(describe, sof):
    assert describe(_jpeg(sof=sof)) == {
        "format": "jpeg",
        "width": 30,
        "height": 20,
        "channels": 3,
        "bit_depth": 8,
    }


@pytest.mark.parametrize("order", ["<", ">"])
def test_jpeg_orientation(describe, order):
    assert describe(_jpeg(orientation=8, order=order))["orientation"] == 8


def test_jpeg_kinds(describe):
    assert describe(_jpeg(channels=1))["channels"] == 1
    assert describe(_jpeg(channels=4, adobe=2))["cmyk"] is True
    assert describe(_jpeg(adobe=1))["cmyk"] is False


def test_jpeg_with_something_behind_it(describe):
    assert "error" not in describe(_jpeg(tail=b"\xff\xd9" + b"\0" * 3000))


def test_cut_jpeg(describe):
    assert "truncated" in describe(_jpeg(tail=b""))["error"]
    assert "truncated" in describe(_jpeg()[:30])["error"]
    assert "truncated" in describe(b"\xff\xd8\xff")["error"]


def test_gif(describe):
    data = b"GIF89a" + struct.pack("<HH", 40, 30) + b"\0" * 20 + b"\x3b"
    facts = describe(data)
    assert (facts["format"], facts["width"], facts["height"]) == ("gif", 40, 30)


def test_bmp(describe):
    header = struct.pack("<IiiHH", 40, 12, -7, 1, 24)
    data = b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + header
    data += b"\0" * (100 - len(data))
    facts = describe(data)
    assert (facts["width"], facts["height"], facts["channels"]) == (12, 7, 3)
    assert "truncated" in describe(data[:60])["error"]


def test_webp(describe):
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0"
    body += (99).to_bytes(3, "little") + (49).to_bytes(3, "little")
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    facts = describe(data)
    assert (facts["width"], facts["height"], facts["channels"]) == (100, 50, 4)
    assert "truncated" in describe(data[:-1] + b"")["error"]


def test_tiff(describe):
    rows = [(256, 3, 1, 60), (257, 3, 1, 40), (277, 3, 1, 1), (258, 3, 1, 16), (274, 3, 1, 3)]
    body = struct.pack("<H", len(rows))
    for tag, kind, count, value in rows:
        body += struct.pack("<HHIHH", tag, kind, count, value, 0)
    facts = describe(b"II*\0" + struct.pack("<I", 8) + body + b"\0" * 4)
    assert facts == {
        "format": "tiff",
        "width": 60,
        "height": 40,
        "channels": 1,
        "bit_depth": 16,
        "orientation": 3,
    }


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\n<html>", "html"),
        (b"\n  <HTML><head>", "html"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs"),
        (b"\x93NUMPY\x01\0", "npy"),
        (b"%PDF-1.7", "pdf"),
        (b"PK\x03\x04", "zip"),
        (b"\0\0\0\x18ftypheic", "heic"),
        (b"\0\0\0\x18ftypavif", "avif"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b'<?xml version="1.0"?><svg>', "svg"),
        (b"P6\n1 1\n255\n\0\0\0", "pnm"),
        (b"hello", "unknown"),
    ],
)
def test_what_else_files_may_hold(describe, data, format):
    assert describe(data)["format"] == format


def test_no_file_at_all(tmp_path):
    paths = [str(tmp_path), str(tmp_path / "absent.png")]
    rows = collect({"images": paths})["images"]
    assert [row["format"] for row in rows] == ["directory", "missing"]
    assert collect({}) == {"images": []}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system")
def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    [row] = collect({"images": [str(tmp_path / "pipe")]})["images"]
    assert row["format"] == "special"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_no_permission(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(_png())
    path.chmod(0)
    [row] = collect({"images": [str(path)]})["images"]
    assert row["format"] == "permission"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8" + b"\xff" * 300_000 + b"\xff\xd9",
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 4, 4, 8, 2, 0, 0, 0, 0)
        + struct.pack(">I4sI", 0, b"tEXt", 0) * 250_000,
    ],
    ids=["jpeg", "png"],
)
def test_a_file_of_endless_parts_is_given_up(tmp_path, content):
    path = tmp_path / "endless"
    path.write_bytes(content)
    assert "more parts than any image" in collect({"images": [path]})["images"][0]["error"]
