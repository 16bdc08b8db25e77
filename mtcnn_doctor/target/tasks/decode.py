"""Task ``decode``: what one library makes of image files, as people load them.

One library a child: what another does in the same process, or a crash, is not this one's fault.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Callable

from ..channel import Channel
from ..failures import describe as described
from ..imports import import_framework
from ..probes.array import describe

#: The call that users write, by decoder.
CALLS = {
    "cv2": "cv2.imread(path)",
    "PIL": "np.asarray(Image.open(path))",
    "tensorflow": "tf.io.decode_image(tf.io.read_file(path))",
}


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Load each of ``files`` (``{"name", "path"}``) by ``decoder``; send ``decoded`` for each.

    ``<folder>/<index>-<decoder>.npy`` is the array as the call gives it, ``<index>-<decoder>-rgb``
    the same picture as RGB. Sends the path as None where there is none.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    if not import_framework(channel, orders["decoder"], facts=False):
        return
    load = _LOADERS[orders["decoder"]]
    for file in orders["files"]:
        channel.enter("decode", file["name"])
        channel.send("phase", name=f"{orders['decoder']} decodes {file['name']}")
        answer: dict[str, Any] = {"index": file["index"], "call": CALLS[orders["decoder"]]}
        try:
            raw, rgb, said = load(file["path"])
        except Exception as error:
            channel.send("decoded", error=described(error), **answer)
            continue
        answer["array"] = describe(raw, file["name"])
        answer["warnings"] = said
        if raw is not None:
            stem = os.path.join(orders["folder"], f"{file['index']}-{orders['decoder']}")
            answer["raw"], answer["rgb"] = _saved(stem, raw), _saved(stem + "-rgb", rgb)
        channel.send("decoded", error=None, **answer)


def _saved(stem: str, array: Any) -> str | None:
    """Write an array and return where, None where there is nothing that could be written."""
    import numpy

    if array is None or array.dtype.hasobject:
        return None
    numpy.save(stem + ".npy", array)
    return stem + ".npy"


def _cv2(path: str) -> tuple[Any, Any, list[str]]:
    import cv2

    raw = cv2.imread(path)
    return raw, None if raw is None else raw[:, :, ::-1], []


def _pillow(path: str) -> tuple[Any, Any, list[str]]:
    import numpy
    from PIL import Image, ImageOps

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with Image.open(path) as image:
            raw = numpy.asarray(image)
            # The picture as it is meant to be seen: comparing a turned one says nothing.
            rgb = numpy.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return raw, rgb, [str(one.message).splitlines()[0] for one in heard]


def _tensorflow(path: str) -> tuple[Any, Any, list[str]]:
    import numpy
    import tensorflow as tf

    raw = tf.io.decode_image(tf.io.read_file(path), expand_animations=False).numpy()
    channels = raw.shape[2] if raw.ndim == 3 else 0
    if channels == 1:
        return raw, numpy.repeat(raw, 3, axis=2), []
    return raw, raw[:, :, :3] if channels >= 3 and raw.dtype == numpy.uint8 else None, []


_LOADERS: dict[str, Callable[[str], tuple[Any, Any, list[str]]]] = {
    "cv2": _cv2,
    "PIL": _pillow,
    "tensorflow": _tensorflow,
}
