"""Reads an image file as RGB, with whatever decoder works.

Ordinary PNG files, the bundled images among them, need no decoder but :mod:`.png`. Everything else
goes to OpenCV, Pillow or TensorFlow, the first that is importable; a decoder that fails to load is
passed over and named in the error if none is left.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np

from . import png

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PictureError", "read_rgb", "read_rgb_with_decoder"]


class PictureError(ValueError):
    """The file is missing, is no image, or no decoder for it works here."""


def read_rgb(path: str) -> NDArray[np.uint8]:
    """Read an image file: uint8 (height, width, 3) RGB, alpha dropped, gray repeated.

    An orientation in the EXIF data is applied, as cv2.imread does (not where TensorFlow is the
    only decoder). Raises :class:`PictureError` naming the file and the remedy.
    """
    return read_rgb_with_decoder(path)[0]


def read_rgb_with_decoder(path: str, avoid: Sequence[str] = ()) -> tuple[NDArray[np.uint8], str]:
    """As :func:`read_rgb`, and who decoded it: "builtin", "cv2", "PIL" or "tensorflow".

    The decoders named in ``avoid`` are not tried (their import is known to crash).
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not content:
        raise PictureError(f"{path}: the file is empty")
    parsed: png.Png | None = None
    if content.startswith(png.SIGNATURE):
        try:
            parsed = png.parse(content)
        except png.UnsupportedPngError:
            pass  # left to the decoders below
        except png.PngError as error:
            raise PictureError(f"{path}: damaged PNG: {error}. Get the file again.") from error
    if parsed is not None and not parsed.slow:
        return png.pixels(parsed), "builtin"

    refusals: list[str] = []
    for name, decode in _DECODERS.items():
        if name in avoid:
            continue
        # Broken installations raise nearly anything on import, not only ImportError.
        try:
            return _as_rgb(decode(content)), name
        except ImportError as error:
            refusals.append(f"{name} is not usable ({_first_line(error)})")
        except Exception as error:
            refusals.append(f"{name} cannot read it ({_first_line(error)})")
    if parsed is not None:
        return png.pixels(parsed), "builtin"
    raise PictureError(
        f"{path}: no decoder could read it: {'; '.join(refusals)}. "
        "Convert it to an 8-bit RGB PNG, or install opencv-python-headless or Pillow."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    # TensorFlow puts a page of its inner names before and after what it has to say.
    return lines[0][:120] if lines else type(error).__name__


def _as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"decoded to {image.dtype} {image.shape}")
    return np.ascontiguousarray(image)


def _cv2(content: bytes) -> NDArray[np.uint8]:
    import cv2

    # From memory: cv2.imread cannot open every path on Windows.
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("unknown or damaged format")
    rgb: NDArray[np.uint8] = image[:, :, ::-1]
    return rgb


def _pillow(content: bytes) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _tensorflow(content: bytes) -> NDArray[np.uint8]:
    import tensorflow as tf

    image: NDArray[np.uint8] = tf.io.decode_image(
        content, channels=3, expand_animations=False
    ).numpy()
    return image


_DECODERS: dict[str, Callable[[bytes], NDArray[np.uint8]]] = {
    "cv2": _cv2,
    "PIL": _pillow,
    "tensorflow": _tensorflow,
}
