"""What the frameworks' networks have in common: three built networks, called one by one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def share_of_threads(threads: int | None, lanes: int) -> int:
    """Threads for each of several simultaneous callers, at least one.

    ``threads``: for all of them, None for as many as there are processors for this process.
    """
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            threads = len(os.sched_getaffinity(0))
        else:
            threads = os.cpu_count() or 1
    return max(1, threads // max(1, lanes))


class BuiltNetworks:
    """Base of a backend whose networks are objects; see :class:`..Networks` for the methods.

    A subclass sets ``_pnet``, ``_rnet`` and ``_onet`` and says in :meth:`_run` how one is called.
    """

    #: How many threads may call at the same time.
    lanes: int = 1

    _pnet: Any
    _rnet: Any
    _onet: Any

    def _run(self, network: Any, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs of a network for images (N, C, H, W), as NumPy arrays."""
        raise NotImplementedError

    def pnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        logits, offsets = self._run(self._pnet, x)
        return logits, offsets

    def rnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        logits, offsets = self._run(self._rnet, x)
        return logits, offsets

    def onet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        logits, offsets, landmarks = self._run(self._onet, x)
        return logits, offsets, landmarks
