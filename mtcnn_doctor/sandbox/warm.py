"""A child that stays: started once, it answers requests until it is ended, or dies of one.

Its life is :meth:`Child.run`, in a thread of its own; the requests go over a line of their own
(see :mod:`.line`), so that an answer costs no more than two messages.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from dataclasses import replace
from typing import Any

from mtcnn_doctor.sandbox import places
from mtcnn_doctor.sandbox.child import Child
from mtcnn_doctor.sandbox.ending import Ending, NotPython, TargetTooOld
from mtcnn_doctor.sandbox.launch import Launch
from mtcnn_doctor.sandbox.line import Line, LineBroken
from mtcnn_doctor.sandbox.shared import Shared

#: How long a child that was killed, or hung up, may take to be buried.
_BURIAL_S = 10.0
#: The phase that the child calls its serving, and how often its memory is looked at meanwhile.
SERVING, _SELDOM_S = "serve", 2.0

#: Where the pixels begin in the memory.
OFFSET = places.PLACES_BYTES

_staying: set[Warm] = set()


Place = tuple[str, str, str]


class Hung(Exception):
    """The child gave no answer within the limit, and was ended; ``ending`` has its stacks.

    ``places``: thread, stage and step of each thread that was at work on a request.
    """

    def __init__(self, ending: Ending | None, places: list[Place]) -> None:
        super().__init__("no answer within the limit")
        self.ending, self.places = ending, places


class Died(Exception):
    """The child died; ``ending`` is None where even that could not be found out.

    ``places``: as of :class:`Hung`.
    """

    def __init__(self, ending: Ending | None, places: list[Place]) -> None:
        super().__init__("the child died")
        self.ending, self.places = ending, places


class Warm(Child):
    """A child whose task says "ready" and then answers requests over the line in its orders."""

    def __init__(self, launch: Launch, line: Line | None = None) -> None:
        """Prepare a child; ``line``: another one than this system's best."""
        self._line = line or Line()
        self._told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        orders = {**launch.orders, "line": self._line.address}
        super().__init__(replace(launch, orders=orders), self._take)
        self._owner = os.getpid()
        self._memory: Shared | None = None
        #: Whether the child has yet to be told of that memory.
        self._fresh = False
        self._sampled = 0.0
        self._over = threading.Event()
        self._refusal: Exception | None = None
        self._end: Ending | None = None
        self._life = threading.Thread(target=self._live, name="mtcnn-doctor-child", daemon=True)

    @property
    def pid(self) -> int | None:
        """The number of the process, None when it does not live."""
        return None if self._process is None or self._over.is_set() else self._process.pid

    def start(self) -> list[dict[str, Any]]:
        """Start the process, wait until it is ready, and return what it has said until then.

        Raises:
            Died: it ended before it was ready; its ending says why.
            NotPython: the interpreter cannot be started, or is no Python.
            TargetTooOld: the interpreter is older than Python 3.8.
        """
        _staying.add(self)
        said: list[dict[str, Any]] = []
        try:
            self._life.start()
            while not said or said[-1]["t"] != "ready":
                try:
                    said.append(self._told.get(timeout=0.1))
                except queue.Empty:
                    if self._over.is_set() and self._told.empty():
                        raise LineBroken from None
            self._line.accept(self.lives)
        except LineBroken:
            self.end()
            if self._refusal is not None:
                raise self._refusal from None
            raise Died(self._end, []) from None
        except BaseException:
            self.end()
            raise
        return said

    def lives(self) -> bool:
        """Whether the process has not ended, as far as is known."""
        return not self._over.is_set()

    def idle(self) -> bool:
        """Whether the process is there and waits for a request."""
        return self.lives() and self._line.idle()

    def bury(self) -> Ending | None:
        """End a process that is dead, or of no use; return how it ended, as far as is known."""
        self._over.wait(_BURIAL_S)
        self.end()
        return self._end

    def memory(self, size: int) -> Shared:
        """Return memory for pixels of that size, to be filled before :meth:`ask`.

        They begin at :data:`OFFSET`; what lies before is the child's.
        """
        if self._memory is None or self._memory.size < size + OFFSET:
            larger = Shared(size + OFFSET, self._line.folder)
            if self._memory is not None:
                self._memory.close()
            self._memory, self._fresh = larger, True
        return self._memory

    def ask(self, request: dict[str, Any], limit_s: float | None) -> dict[str, Any]:
        """Return the answer to a request about what lies in :meth:`memory`.

        Raises:
            Died: the process died, or hung up.
            Hung: it gave no answer within the limit, and was ended.
        """
        memory, descriptor = self._memory, None
        assert memory is not None
        if self._fresh:
            descriptor = memory.descriptor
            request = {**request, "memory": {"size": memory.size, "path": memory.path}}
        try:
            answer = self._line.ask(request, descriptor, self.lives, limit_s)
        except LineBroken:
            # It is dying, if it is not dead; whoever only hung up is of no use either.
            where = places.read(memory.memory)
            raise Died(self.bury(), where) from None
        except TimeoutError:
            where = places.read(memory.memory)
            self._stop_hanging()
            self.end()
            raise Hung(self._end, where) from None
        except BaseException:
            # Ctrl-C: the answer that is under way must not be taken for another's.
            self.end()
            raise
        if self._fresh:
            memory.handed_over()
            self._fresh = False
        return answer

    def end(self) -> None:
        """End the process and everything it started, and leave nothing behind."""
        self.abandon()
        if os.getpid() != self._owner:
            return
        if self._life.is_alive() and self._life is not threading.current_thread():
            self._life.join(_BURIAL_S)
        _staying.discard(self)

    def abandon(self) -> None:
        """End the process without waiting until it is over."""
        if os.getpid() != self._owner:
            return  # a fork has a copy of all of this, but the child is not its own
        self.cancel()
        self._line.close()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _sample(self, phase: str) -> None:
        # The processor is the child's; what a dying one holds is looked at once more then.
        now = time.monotonic()
        if phase != SERVING or now - self._sampled > _SELDOM_S:
            self._sampled = now
            super()._sample(phase)

    def _take(self, label: str, message: dict[str, Any]) -> None:
        self._told.put(message)

    def _live(self) -> None:
        try:
            self._end = self.run()
        except (NotPython, TargetTooOld, OSError) as error:
            self._refusal = error
        finally:
            _staying.discard(self)
            self._over.set()


def _end_all() -> None:
    """End every child that stays, at the end of the interpreter."""
    for warm in list(_staying):
        warm.end()


atexit.register(_end_all)
