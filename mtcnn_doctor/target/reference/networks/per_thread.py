"""Something of its own for every thread that calls the networks."""

from __future__ import annotations

import threading
from typing import Callable, Generic, TypeVar

__all__ = ["PerThread"]

Thing = TypeVar("Thing")


class PerThread(Generic[Thing]):
    """Makes one thing a thread, when the thread first asks for it; it goes when the thread ends.

    For networks whose framework allows one caller at a time.
    """

    def __init__(self, make: Callable[[], Thing]) -> None:
        self._make = make
        self._local = threading.local()

    def get(self) -> Thing:
        """Return the calling thread's own."""
        try:
            thing: Thing = self._local.thing
        except AttributeError:
            thing = self._local.thing = self._make()
        return thing
