"""Task ``trials``: the user's own package given arrays as they are, whatever is wrong with them."""

from __future__ import annotations

from typing import Any

from ..channel import Channel
from ..failures import describe
from ..imports import import_framework


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``tried`` for each of ``items``: ``faces`` found, or the ``error`` that was raised.

    Orders: ``subject`` and ``module``, as for the task ``subject``; ``items`` (``{"index", "name",
    "array", "largest"}``: .npy files, and how many values they may have to be tried).
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    if not import_framework(channel, orders["module"], facts=False):
        return
    channel.enter("build", "the detector of " + orders["subject"])
    channel.send("phase", name="build")
    import numpy

    from .. import subjects

    adapter = subjects.create(orders["subject"])
    for item in orders["items"]:
        channel.send("phase", name="detect " + item["name"])
        channel.enter("detect", item["name"])
        # Loaded beforehand: what fails here is the package's doing.
        if numpy.load(item["array"], "r", allow_pickle=False).size > item["largest"]:
            channel.send("tried", index=item["index"], skipped=True)
            continue
        array = numpy.load(item["array"], allow_pickle=False)
        try:
            faces = adapter.detect(array)
        except Exception as error:
            channel.send("tried", index=item["index"], faces=None, error=describe(error))
            continue
        channel.send("tried", index=item["index"], faces=len(faces), error=None)
