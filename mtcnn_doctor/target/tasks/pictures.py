"""Task ``pictures``: decode image files once, for all backends, into plain arrays on disk."""

from __future__ import annotations

import os
from typing import Any

from ..channel import Channel
from ..failures import describe
from ..imports import import_framework


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Decode each of ``orders["images"]`` to ``<folder>/<index>.npy`` (H×W×3 uint8 RGB).

    Further orders, all optional: ``avoid`` (decoders), ``size`` and ``exact`` (see
    :func:`.pixels.fitted`). Sends ``picture`` with the array's path, or with the reason why the
    file was not decoded.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    from ..reference import picture
    from .pixels import fitted

    for index, path in enumerate(orders["images"]):
        name = os.path.basename(path)
        channel.enter("decode", name)
        channel.send("phase", name="decode " + name)
        try:
            pixels, decoder = picture.read_rgb_with_decoder(path, orders.get("avoid", ()))
            pixels = fitted(pixels, orders.get("size"), orders.get("exact", False))
            target = os.path.join(orders["folder"], "%d.npy" % index)  # noqa: UP031
            _save(target, pixels)
        except Exception as error:
            channel.send("picture", path=path, array=None, error=describe(error))
            continue
        gray = bool((pixels[..., 0] == pixels[..., 1]).all()) and bool(
            (pixels[..., 1] == pixels[..., 2]).all()
        )
        channel.send(
            "picture",
            path=path,
            array=target,
            decoder=decoder,
            width=int(pixels.shape[1]),
            height=int(pixels.shape[0]),
            equal_channels=gray,
        )


def _save(path: str, pixels: Any) -> None:
    """Write an array, or nothing: half a file would be taken for an image later."""
    import numpy

    try:
        numpy.save(path, pixels)
    except OSError as error:
        if os.path.exists(path):
            os.remove(path)
        raise OSError(
            f"no room for the decoded image in {os.path.dirname(path)} ({error.strerror}); make "
            "room, set TMPDIR, or measure on fewer or smaller images"
        ) from error
