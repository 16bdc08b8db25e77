"""How long each stage of the cascade kept the threads busy, and what every thread is doing."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Callable, Iterable

from ..channel import Channel

#: Before the JSON list of [thread, stage, step] that stands for a step when several threads work;
#: the doctor takes it apart (``runs.py``).
SEVERAL = "several:"
#: The breadcrumb has room for 2000 characters, quotes of the list being doubled in it.
_MOST_PLACES = 12


class _Work:
    """What one thread is at: a stage and a step, and since when (``time.perf_counter()``)."""

    __slots__ = ("since", "stage", "step")

    def __init__(self, stage: str, step: str, since: float) -> None:
        self.stage, self.step, self.since = stage, step, since


class StageClock:
    """Adds up the milliseconds that threads spend in each stage; writes the breadcrumbs.

    Several threads may call it at once. With one thread the stages add up to the time of the
    image; with several they add up to more, because each thread's time counts.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        #: By thread, in the order of their last entering; a thread that waits is not in here.
        self._working: dict[int, _Work] = {}
        #: Where an exception came from, once :meth:`fail` was told.
        self.failed_at: tuple[str, str] | None = None
        self.stages: dict[str, float] = {}

    def enter(self, stage: str, step: str = "") -> None:
        """Let the calling thread leave its stage and enter another (the cascade's callback)."""
        thread = threading.get_ident()
        now = time.perf_counter()
        with self._lock:
            self._close(thread, now)
            self._working[thread] = _Work(stage, step, now)
            self._write_breadcrumb()
            # What it took to write it is no work of the stage.
            self._working[thread].since = time.perf_counter()

    def leave(self) -> str | None:
        """Let the calling thread stop working; return the stage it was in, if any."""
        with self._lock:
            work = self._close(threading.get_ident(), time.perf_counter())
            # A death from here on is the doing of the threads that still work.
            self._write_breadcrumb()
        return work.stage if work is not None else None

    def fail(self) -> None:
        """Remember where the calling thread is, because it raised an exception."""
        with self._lock:
            work = self._working.get(threading.get_ident())
            if work is not None and self.failed_at is None:
                self.failed_at = (work.stage, work.step)

    def finish(self, now: float | None = None) -> dict[str, float]:
        """Stop all threads' clocks, as of ``now`` if given; return milliseconds by stage."""
        now = time.perf_counter() if now is None else now
        with self._lock:
            for thread in list(self._working):
                self._close(thread, now)
        return {name: round(value, 3) for name, value in self.stages.items()}

    def _close(self, thread: int, now: float) -> _Work | None:
        work = self._working.pop(thread, None)
        if work is not None:
            spent = (now - work.since) * 1000
            self.stages[work.stage] = self.stages.get(work.stage, 0.0) + spent
        return work

    def _write_breadcrumb(self) -> None:
        if len(self._working) > 1:
            # Which thread will die is told afterwards by its number, in the fault handler's words.
            places = [
                ["0x%x" % thread, work.stage, work.step]  # noqa: UP031
                for thread, work in self._working.items()
            ]
            self._channel.enter(places[-1][1], SEVERAL + json.dumps(places[-_MOST_PLACES:]))
        elif self._working:
            (work,) = self._working.values()
            self._channel.enter(work.stage, work.step)


class Stopwatch:
    """Makes lanes (see ``reference/lanes.py``) tell a clock when a thread works and when it waits.

    Stands in for the lanes it was given.
    """

    def __init__(self, lanes: Any, clock: StageClock) -> None:
        self._lanes = lanes
        self.clock = clock

    def __getattr__(self, name: str) -> Any:
        """Everything else is as the lanes have it."""
        return getattr(self._lanes, name)

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Do what the lanes' own ``map`` does."""
        if self._lanes.count == 1:
            return list(self._lanes.map(work, items))

        def piece(item: Any) -> Any:
            try:
                return work(item)
            except BaseException:
                self.clock.fail()
                raise
            finally:
                self.clock.leave()

        stage = self.clock.leave()
        answers: list[Any] = self._lanes.map(piece, items)
        if stage is not None:
            # The caller goes on where it was until the cascade says otherwise.
            self.clock.enter(stage, "what the lanes found")
        return answers
