"""Drawing faces into an image and writing it as PNG, with NumPy and zlib alone."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["drawn", "encoded", "reduced"]

#: Digits of 3 by 5 dots, a row of bits each.
_DIGITS = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 7, 1, 7),
    "4": (5, 5, 7, 1, 1), "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 1, 1, 1),
    "8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7), ".": (0, 0, 0, 0, 2),
}  # fmt: skip
_SURE, _UNSURE, _POINT = (0, 255, 0), (255, 220, 0), (255, 0, 0)


def drawn(image: NDArray[Any], faces: Sequence[dict[str, Any]]) -> NDArray[np.uint8]:
    """Return a copy of an RGB image with boxes, keypoints and confidences.

    Boxes are green from a confidence of 0.9 on, yellow below.
    """
    import numpy

    out: NDArray[np.uint8] = numpy.clip(image, 0, 255).astype(numpy.uint8)
    thick = max(1, min(out.shape[:2]) // 300)
    for face in reversed(faces):  # the surest comes on top
        colour = _SURE if face["confidence"] >= 0.9 else _UNSURE
        x, y, width, height = (round(value) for value in face["box"])
        for row in (y, y + height):
            _fill(out, row, row + thick, x, x + width + thick, colour)
        for column in (x, x + width):
            _fill(out, y, y + height + thick, column, column + thick, colour)
        for px, py in face["keypoints"].values():
            row, column = round(py), round(px)
            _fill(out, row - thick, row + thick + 1, column - thick, column + thick + 1, _POINT)
        _write(out, f"{face['confidence']:.3f}", x, y, thick, colour)
    return out


def reduced(
    image: NDArray[Any], faces: Sequence[dict[str, Any]], longest: int
) -> tuple[NDArray[Any], list[dict[str, Any]]]:
    """Return an image whose longer side has at most ``longest`` pixels, and its faces.

    Blocks of pixels become their mean; what is left over at the edges is cut off.
    """
    import numpy

    by = -(-max(image.shape[:2]) // longest)
    by = min(by, *image.shape[:2])
    if by <= 1:
        return image, list(faces)
    height, width = image.shape[0] // by, image.shape[1] // by
    small = numpy.zeros((height, width, image.shape[2]), numpy.float32)
    for row in range(by):  # block by block would copy the whole image as floats
        for column in range(by):
            small += image[row : height * by : by, column : width * by : by]
    moved = [
        {
            **face,
            "box": [value / by for value in face["box"]],
            "keypoints": {
                name: [value / by for value in point] for name, point in face["keypoints"].items()
            },
        }
        for face in faces
    ]
    return small / (by * by), moved


def _fill(image: Any, top: int, bottom: int, left: int, right: int, colour: Any) -> None:
    image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = colour


def _write(image: Any, text: str, x: int, y: int, dot: int, colour: Any) -> None:
    """Write a number above a place, or below it where there is no room, on a dark ground."""
    top = y - 7 * dot if y >= 7 * dot else y + 2 * dot
    x = max(0, min(x, image.shape[1] - 4 * dot * len(text)))
    _fill(image, top, top + 7 * dot, x, x + (4 * len(text) + 1) * dot, (0, 0, 0))
    for number, letter in enumerate(text):
        for row, bits in enumerate(_DIGITS[letter]):
            for column in range(3):
                if bits >> (2 - column) & 1:
                    left, up = x + (4 * number + column + 1) * dot, top + (row + 1) * dot
                    _fill(image, up, up + dot, left, left + dot, colour)


def encoded(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image as a PNG file."""
    import numpy

    height, width = image.shape[:2]
    rows = numpy.zeros((height, 1 + 3 * width), numpy.uint8)
    rows[:, 0] = 2  # each row as the difference from the one above
    rows[:, 1:] = image.reshape(height, -1)
    rows[1:, 1:] -= image.reshape(height, -1)[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(rows.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )
