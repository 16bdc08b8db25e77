"""The places of a serving child's threads, read out of the memory that it shared.

The layout is the one of ``mtcnn_doctor/target/tasks/places.py``, which cannot be imported from
here: a slot a thread, with the thread's number, stage and step between tabs.
"""

from __future__ import annotations

from typing import Any

SLOTS, SLOT_BYTES = 64, 128
PLACES_BYTES = SLOTS * SLOT_BYTES


def read(memory: Any) -> list[tuple[str, str, str]]:
    """Return thread, stage and step of each thread that was at work."""
    found = []
    for start in range(0, PLACES_BYTES, SLOT_BYTES):
        text = bytes(memory[start : start + SLOT_BYTES]).partition(b"\0")[0]
        parts = text.decode("utf-8", "replace").split("\t")
        if len(parts) == 3:
            found.append((parts[0], parts[1], parts[2]))
    return found
