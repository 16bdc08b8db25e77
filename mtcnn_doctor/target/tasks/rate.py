"""Task ``rate``: how fast this machine multiplies float32 matrices with the target's NumPy."""

from __future__ import annotations

import os
import time
from typing import Any

from ..channel import Channel
from ..imports import import_framework

#: Side of the matrices: large enough to run at full speed, small enough for a slow machine.
_SIDE = 1024
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 200
_SECONDS = 0.5


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``rate``: ``gflops``, the best of several products, and ``cores_busy`` during them.

    The number of threads is BLAS's own affair; the doctor sets it by environment variables.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    import numpy

    channel.send("phase", name="float32 rate")
    channel.enter("rate", "matrix product")
    random = numpy.random.RandomState(0)
    left = random.rand(_SIDE, _SIDE).astype(numpy.float32)
    right = random.rand(_SIDE, _SIDE).astype(numpy.float32)
    out = numpy.empty_like(left)
    numpy.matmul(left, right, out=out)  # starts BLAS's threads
    best = float("inf")
    rounds = 0
    began, used = time.perf_counter(), _cpu_seconds()
    while rounds < _LEAST_ROUNDS or (
        rounds < _MOST_ROUNDS and time.perf_counter() - began < _SECONDS
    ):
        started = time.perf_counter()
        numpy.matmul(left, right, out=out)
        best = min(best, time.perf_counter() - started)
        rounds += 1
    wall = time.perf_counter() - began
    channel.send(
        "rate",
        gflops=round(2.0 * _SIDE**3 / best / 1e9, 1),
        cores_busy=round((_cpu_seconds() - used) / wall, 1),
        rounds=rounds,
        numpy=numpy.__version__,
    )


def _cpu_seconds() -> float:
    return sum(os.times()[:2])
