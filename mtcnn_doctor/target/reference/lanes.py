"""Several threads that run pieces of one image side by side.

NumPy and the frameworks release Python's lock while they compute. Two lanes, each with networks
that use one thread, keep two cores busy through the whole cascade; one network that uses two
threads leaves one of them idle during everything else.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Iterable, TypeVar

from .scratch import Scratch

if TYPE_CHECKING:
    from .networks import Networks

__all__ = ["Lanes"]

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Lanes:
    """As many threads as the networks can serve at once; with one lane the caller's own thread.

    ``networks``: their attribute ``lanes`` (1 where it is missing) says how many callers they can
    serve; their method ``enter_lane``, if there is one, is called first in each new thread. The
    threads live until :meth:`close`, and so does ``scratch``, the memory they work in.
    ``channels_last``: the order in memory that the networks like (see :class:`.networks.Networks`).

    ``turn``: a lock for work that consists of many short NumPy calls. Each gives up Python's lock
    and asks for it back; two threads that do so at once take it from each other and get no further
    than one would (measured with resampling: 15 ms alone, 30 ms each side by side). So one does
    that, and the other runs a network meanwhile.
    """

    def __init__(self, networks: Networks | None) -> None:
        self.scratch = Scratch()
        self.turn = threading.Lock()
        self.count = int(getattr(networks, "lanes", 1))
        self.channels_last = bool(getattr(networks, "channels_last", False))
        self._pool: ThreadPoolExecutor | None = None
        if self.count > 1:
            prepare = getattr(networks, "enter_lane", _nothing)
            self._pool = ThreadPoolExecutor(self.count, "mtcnn-lane", initializer=prepare)

    @classmethod
    def none(cls) -> Lanes:
        """No threads at all: everything is done by the caller, one piece after the other."""
        return cls(None)

    def map(self, work: Callable[[_Item], _Answer], items: Iterable[_Item]) -> list[_Answer]:
        """Answers in the order of the items; raises the first exception, when all have ended."""
        if self._pool is None:
            return [work(item) for item in items]
        futures: list[Future[_Answer]] = [self._pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def close(self) -> None:
        """End the threads, as soon as they are done with what they are doing."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


def _nothing() -> None:
    """Stand-in for networks that need no preparation."""
