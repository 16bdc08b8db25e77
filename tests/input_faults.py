"""Every input fault of the catalogue, made from the bundled portrait: files and arrays."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtcnn_doctor.gallery import bundled

PORTRAIT = next(picture.path for picture in bundled() if picture.name == "portrait.png")


def portrait() -> Any:
    """The portrait, half as large: 256×256 RGB, one face."""
    from PIL import Image

    with Image.open(PORTRAIT) as image:
        return np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BOX))


def encoded(image: Any, format: str, mode: str | None = None, **options: Any) -> bytes:
    """An image file by Pillow."""
    from PIL import Image

    stream = io.BytesIO()
    picture = Image.fromarray(image)
    (picture.convert(mode) if mode else picture).save(stream, format, **options)
    return stream.getvalue()


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def sixteen_bits(image: Any) -> bytes:
    """A PNG of 16 bits a channel."""
    wide = (image.astype(">u2") * 257).reshape(len(image), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return _png(image.shape[1], image.shape[0], 16, 2, rows)


def exif(orientation: int) -> bytes:
    """EXIF data that tell an orientation and nothing else."""
    row = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II" + struct.pack("<HIH", 42, 8, 1) + row + b"\0" * 4


def huge() -> bytes:
    """The header of a PNG of 100 megapixels, and hardly more."""
    return _png(10000, 10000, 8, 2, b"\0" * 1000)


def files() -> dict[str, tuple[bytes, str]]:
    """Image files by name, each with the id that it is to give ("" for none)."""
    image = portrait()
    grey = image.mean(axis=2).astype(np.uint8)
    alpha = np.dstack([image, np.full_like(grey, 255)])
    jpeg = encoded(image, "JPEG", quality=92)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    return {
        "good.png": (encoded(image, "PNG"), ""),
        "good.jpg": (jpeg, ""),
        "good.bmp": (encoded(image, "BMP"), ""),
        "good.webp": (encoded(image, "WEBP", lossless=True), ""),
        "good.tif": (encoded(image, "TIFF"), ""),
        "zero_bytes.jpg": (b"", "image-unreadable"),
        "page.jpg": (b"<!DOCTYPE html>\n<html><body>403</body></html>\n", "image-unreadable"),
        "pointer.png": (pointer, "image-unreadable"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "image-unreadable"),
        "truncated.png": (encoded(image, "PNG")[:-3000], "image-unreadable"),
        "garbage.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "image-unreadable"),
        "noise.bin.jpg": (bytes(range(1, 256)) * 8, "image-unreadable"),
        "array.jpg": (b"\x93NUMPY\x01\0" + b"\0" * 100, "image-unreadable"),
        "cmyk.jpg": (encoded(image, "JPEG", "CMYK"), "image-alpha"),
        "alpha.png": (encoded(alpha, "PNG"), "image-alpha"),
        "grey.png": (encoded(grey, "PNG"), "image-grayscale"),
        "grey.jpg": (encoded(grey, "JPEG"), "image-grayscale"),
        "palette.png": (encoded(image, "PNG", "P"), "image-grayscale"),
        "sixteen.png": (sixteen_bits(image), "image-dtype"),
        "exif6.jpg": (
            encoded(np.ascontiguousarray(np.rot90(image)), "JPEG", exif=exif(6), quality=92),
            "image-orientation",
        ),
        "lying.png": (encoded(np.ascontiguousarray(np.rot90(image)), "PNG"), "image-orientation"),
        "swapped.png": (
            encoded(np.ascontiguousarray(image[:, :, ::-1]), "PNG"), "channel-order"
        ),
        "8x8.png": (encoded(np.ascontiguousarray(image[:8, :8]), "PNG"), "image-size"),
        "15x200.png": (encoded(np.ascontiguousarray(image[:200, :15]), "PNG"), "image-size"),
    }  # fmt: skip


def arrays() -> dict[str, tuple[Callable[[], Any], str]]:
    """Arrays by name, each with the id that it is to give; as users have them in memory."""
    image = portrait()
    grey = image.mean(axis=2).astype(np.uint8)

    def with_nan() -> Any:
        bad = image.astype(np.float32)
        bad[3, 4, 1], bad[9, 9, 2] = np.nan, np.inf
        return bad

    return {
        "good": (lambda: image, ""),
        "float32": (lambda: image.astype(np.float32), ""),
        "float64": (lambda: image.astype(np.float64), ""),
        "crop": (lambda: np.pad(image, ((4, 4), (4, 4), (0, 0)))[4:-4, 4:-4], ""),
        "grey": (lambda: grey, "image-grayscale"),
        "one_channel": (lambda: grey[..., None], "image-grayscale"),
        "grey_alpha": (lambda: np.dstack([grey, grey]), "image-grayscale"),
        "rgba": (lambda: np.dstack([image, grey]), "image-alpha"),
        "chw": (lambda: np.ascontiguousarray(image.transpose(2, 0, 1)), "image-shape"),
        "chw_grey": (lambda: grey[None], "image-shape"),
        "batch": (lambda: image[None], "image-shape"),
        "batch_chw": (lambda: np.ascontiguousarray(image.transpose(2, 0, 1))[None], "image-shape"),
        "flat": (lambda: image.reshape(-1), "image-shape"),
        "empty": (lambda: np.zeros((0, 0, 3), np.uint8), "image-shape"),
        "seven": (lambda: np.dstack([image, image, grey]), "image-shape"),
        "uint16": (lambda: image.astype(np.uint16) * 257, "image-dtype"),
        "int64": (lambda: image.astype(np.int64), "image-dtype"),
        "bool": (lambda: image > 127, "image-dtype"),
        "float16": (lambda: image.astype(np.float16), "image-dtype"),
        "big_endian": (lambda: image.astype(">f4"), "image-dtype"),
        "object": (lambda: image[:4, :4].astype(object), "image-dtype"),
        "unit": (lambda: image.astype(np.float32) / 255, "image-range"),
        "signed": (lambda: image.astype(np.float32) / 127.5 - 1, "image-range"),
        "beyond": (lambda: image.astype(np.float32) * 257, "image-range"),
        "nan": (with_nan, "image-nonfinite"),
        "mirrored": (lambda: image[:, ::-1], "image-layout"),
        "reversed": (lambda: np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1], "image-layout"),
        "transposed": (
            lambda: np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
            "image-layout",
        ),
        "tiny": (lambda: image[:8, :8].copy(), "image-size"),
        "bgr": (lambda: np.ascontiguousarray(image[:, :, ::-1]), "channel-order"),
    }


def write(folder: Path) -> dict[str, str]:
    """Write all faults into a folder; return the id that each file is to give."""
    wanted = {}
    for name, (content, id) in files().items():
        (folder / name).write_bytes(content)
        wanted[name] = id
    for name, (make, id) in arrays().items():
        # What lies backwards in memory does not do so in a file.
        np.save(folder / f"{name}.npy", make(), allow_pickle=True)
        wanted[f"{name}.npy"] = "" if id == "image-layout" and name != "transposed" else id
    np.save(folder / "transposed.npy", np.asfortranarray(portrait()))
    return wanted
