"""Task ``facts``: run the named probes one after another and send what each collected."""

from __future__ import annotations

import importlib
import time
from typing import Any

from ..channel import Channel
from ..failures import describe


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send a ``fact`` for each probe in ``orders["probes"]``, or ``probe-failed``."""
    for name in orders["probes"]:
        channel.enter("probe", name)
        channel.send("phase", name="probe " + name)
        started = time.perf_counter()
        try:
            probe = importlib.import_module("..probes." + name, __package__)
            value = _collect(channel, name, probe, orders)
        except Exception as error:
            channel.send("probe-failed", name=name, error=describe(error))
            continue
        elapsed = (time.perf_counter() - started) * 1000
        channel.send("fact", name=name, value=value, took_ms=round(elapsed, 1))


def _collect(channel: Channel, name: str, probe: Any, orders: dict[str, Any]) -> Any:
    """Return what a probe collects; one that asks step by step is heard after each of them."""
    if not hasattr(probe, "steps"):
        return probe.collect(orders)
    value = None
    for value in probe.steps(orders, lambda step: channel.enter(name, step)):
        # What is known now outlives a driver that never returns. Each step has its own limit.
        channel.send("fact", name=name, value=value)
        channel.send("phase", name="probe " + name)
    return value
