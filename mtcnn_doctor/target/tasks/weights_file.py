"""Task ``weights``: whether a weight file can be used, before anything is run with it."""

from __future__ import annotations

from typing import Any

from ..channel import Channel
from ..imports import import_framework


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Read ``orders["weights"]``; send ``weights`` with the ``error``, None where it is usable."""
    if not import_framework(channel, "numpy", facts=False):
        return
    from ..reference import weights

    channel.enter("build", "weights")
    channel.send("phase", name="read the weights")
    try:
        weights.load_weights(orders["weights"])
    except weights.WeightsError as error:
        channel.send("weights", error=str(error))
        return
    channel.send("weights", error=None)
