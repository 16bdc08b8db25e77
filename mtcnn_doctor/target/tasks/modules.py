"""Task ``modules``: import one module of the field and say how that went.

Kept apart from the reference runs for modules (such as OpenCV) that no backend needs, so that
a crash in their import spoils nothing else.
"""

from __future__ import annotations

from typing import Any

from ..channel import Channel
from ..imports import import_framework
from ..process import mapped_libraries, memory_mb


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Import ``orders["module"]`` (after ``orders["after"]``) and send its ``loaded`` fact."""
    for name in orders.get("after", []):
        if not import_framework(channel, name, facts=False):
            return
    import_framework(channel, orders["module"], facts=True)
    channel.send("libraries", paths=mapped_libraries())
    channel.send("memory", **memory_mb())
