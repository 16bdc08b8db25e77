"""Task ``export``: write the networks as model files."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from ..channel import Channel
from ..imports import import_framework


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Write the networks and send ``written`` for each.

    Orders: ``kind`` (see :data:`..reference.model_files.FILES`), ``modules`` to import first,
    ``folder`` (exists, and is empty), ``weights`` (a file; None for the bundled ones).
    """
    for module in orders["modules"]:
        if not import_framework(channel, module, facts=False):
            return
    from ..reference import model_files, weights

    channel.enter("build", "weights")
    channel.send("phase", name="write")
    try:
        arrays = weights.load_weights(orders.get("weights"))
    except weights.WeightsError as error:
        channel.send("weights", error=str(error))
        return
    channel.enter("build", orders["kind"])
    names = model_files.write(orders["kind"], arrays, orders["folder"])
    for network, name in names.items():
        path = os.path.join(orders["folder"], name)
        size, digest = _measure(path)
        channel.send(
            "written",
            network=network,
            name=name,
            bytes=size,
            sha256=digest,
            weights_sha256=weights.canonical_digest(arrays[network]),
            published=weights.canonical_digest(arrays[network])
            == weights.PUBLISHED_DIGESTS[network],
        )


def _measure(path: str) -> tuple[int, str | None]:
    """Return the size of a file or folder, and a file's SHA-256."""
    if not os.path.isdir(path):
        with open(path, "rb") as stream:
            data = stream.read()
        return len(data), hashlib.sha256(data).hexdigest()
    inside = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sum(os.path.getsize(file) for file in inside), None
