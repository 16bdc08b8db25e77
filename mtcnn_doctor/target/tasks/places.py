"""Where each thread of a serving child is, in memory that outlives it.

For the same purpose as the breadcrumb of :mod:`..channel`, and the clock of :mod:`.stages`, but
without a lock and with one short copy a step: lanes that wait for each other at every step cost an
image more than its transfer does.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any

#: In front of the pixels: as many threads as anybody has lanes, and room for a stage and a step.
SLOTS, SLOT_BYTES = 64, 128
PLACES_BYTES = SLOTS * SLOT_BYTES
_FREE = bytes(SLOT_BYTES)


class Places:
    """Notes the threads' places; stands in for a ``StageClock`` in a ``Stopwatch``.

    ``memory``: of the layout that ``mtcnn_doctor/sandbox/places.py`` reads: a slot a thread, with
    its number, stage and step between tabs, or a zero where it does not work.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._slots: dict[int, int] = {}
        self._numbers = itertools.count()
        self._working: dict[int, tuple[str, str]] = {}
        #: Where an exception came from, once :meth:`fail` was told.
        self.failed_at: tuple[str, str] | None = None

    def enter(self, stage: str, step: str = "") -> None:
        """Let the calling thread leave its place and take another (the cascade's callback)."""
        thread = threading.get_ident()
        start = self._slots.get(thread)
        if start is None:
            start = self._slots[thread] = next(self._numbers) * SLOT_BYTES
        self._working[thread] = (stage, step)
        if start < PLACES_BYTES:
            text = "0x%x\t%s\t%s" % (thread, stage, step)  # noqa: UP031
            data = text.encode("utf-8")[: SLOT_BYTES - 1]
            self._memory[start : start + SLOT_BYTES] = data.ljust(SLOT_BYTES, b"\0")

    def leave(self) -> str | None:
        """Let the calling thread stop working; return the stage it was in, if any."""
        thread = threading.get_ident()
        place = self._working.pop(thread, None)
        if place is None:
            return None
        start = self._slots[thread]
        if start < PLACES_BYTES:
            self._memory[start] = 0
        return place[0]

    def fail(self) -> None:
        """Remember where the calling thread is, because it raised an exception."""
        place = self._working.get(threading.get_ident())
        if place is not None and self.failed_at is None:
            self.failed_at = place

    def finish(self) -> None:
        """Let all threads stop working."""
        for start in self._slots.values():
            if start < PLACES_BYTES:
                self._memory[start : start + SLOT_BYTES] = _FREE
