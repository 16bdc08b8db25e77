"""What is to be examined, what was collected of it so far, and asking one child of the target."""

from __future__ import annotations

import copy
import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Check, Finding, Run
from mtcnn_doctor.sandbox import Child, Ending, Launch, NotPython, TargetTooOld
from mtcnn_doctor.targets import Target

Listener = Callable[[str, dict[str, Any]], None]

#: Lanes where nobody asked for a number: with more, what cannot be shared takes most of the time.
_MOST_LANES = 4


def automatic_lanes(device: str, threads: int | None) -> int:
    """Return how many lanes suit a device: one, or on the CPU a few for its threads."""
    if device.lower() != "cpu":
        return 1  # a device works at one thing at a time
    return max(1, min(threads or usable_cpus(), _MOST_LANES))


def usable_cpus() -> int:
    """Return how many processors this process, and so its children, may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Tuning:
    """How the reference is run; the defaults are how the expected faces were made.

    ``lanes``: parts of an image worked on side by side. ``settings`` holds only what differs from
    the usual: ``min_face_size``, ``scale_factor``, ``thresholds``. ``weights`` replaces the
    bundled ones. ``before`` are modules that are imported before a backend's own.
    """

    device: str = "cpu"
    threads: int | None = None
    lanes: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Footage:
    """Pictures that are taken out of something or made up, rather than read from image files.

    ``name`` is what may be shown of it: an address may hold a password, which stays in
    ``address``. ``count`` pictures are wanted. ``kind`` is "video", "camera", "stream" or
    "synthetic" (``faces`` of them, at ``Request.size``).
    """

    kind: str
    name: str
    address: str | int = ""
    count: int = 1
    faces: int = 0
    seed: int = 1

    @property
    def names(self) -> list[str]:
        """The names of the pictures, whether or not all of them will come."""
        if self.kind == "synthetic":
            return [self.kind]
        return [f"{self.name} #{number}" for number in range(1, self.count + 1)]

    def hide(self, text: str) -> str:
        """Return a text without the address."""
        return text.replace(self.address, self.name) if isinstance(self.address, str) else text


@dataclass(frozen=True)
class Request:
    """What is to be examined, and how deep.

    ``bundled`` includes the reference images beside those given. ``runs`` counts per image after
    the ``warmup`` runs (default: one, at level 3 three). ``alone`` starts no child before the one
    before it has ended, so that even import times are undisturbed. ``size`` (width, height)
    resizes every image, to exactly that if ``exact``. ``subjects`` are the user's own packages to
    run, or "all" that are installed; with ``only_subjects`` they choose the backends beside them.
    ``rate`` measures the machine's own speed. ``native`` runs what crashed or hung once more under
    a debugger.
    """

    target: Target
    checks: Sequence[Check]
    level: int = 2
    backends: Sequence[str] = ()
    subjects: Sequence[str] = ()
    only_subjects: bool = False
    images: Sequence[Path] = ()
    bundled: bool = True
    footage: Footage | None = None
    size: tuple[int, int] | None = None
    exact: bool = False
    tuning: Tuning = field(default_factory=Tuning)
    rate: bool = False
    runs: int | None = None
    warmup: int = 0
    alone: bool = False
    timeout_s: float = 120.0
    expect_gpu: bool = False
    native: bool = False
    command: Sequence[str] = ()
    plugin_failures: Sequence[Finding] = ()
    listener: Listener | None = None
    #: Facts that were collected elsewhere, by name.
    given: Mapping[str, Any] = field(default_factory=dict)
    #: When the user's wait began (``time.monotonic()``).
    started: float = field(default_factory=time.monotonic)


@dataclass
class Collected:
    """What the children told so far. Guarded by ``lock``: children report from threads."""

    facts: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    subjects: dict[str, Run] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    probes_failed: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: What was known when the work was interrupted.
    known: Collected | None = None

    def interrupt(self) -> Collected:
        """Return what is known at an interruption, apart from what comes in later.

        The children are killed next, which must not be taken for their own way to end.
        """
        with self.lock:
            if self.known is None:
                facts, failed = copy.deepcopy((self.facts, self.probes_failed))
                runs, subjects = dict(self.runs), dict(self.subjects)
                self.known = Collected(facts, runs, subjects, list(self.incomplete), failed)
            return self.known

    def take(self, ending: Ending) -> None:
        """Take the facts out of an ending, and remember which probes did not answer."""
        with self.lock:
            for message in ending.of("fact"):
                self.facts[message["name"]] = message["value"]
            for message in ending.of("probe-failed"):
                self.probes_failed.append(
                    {"probe": message["name"], "reason": message["error"]["last_line"]}
                )


def ask_child(
    request: Request,
    label: str,
    orders: Mapping[str, Any],
    before_go: Callable[[], None] | None = None,
    *,
    limit_s: float | None = None,
    environment: Mapping[str, str] | None = None,
    also: Listener | None = None,
    debugger: str | None = None,
) -> Ending:
    """Send a child into the target and return its ending.

    Args:
        request: Names the target and who listens.
        label: What the child is called in progress messages.
        orders: Its task and what belongs to it.
        before_go: See :class:`mtcnn_doctor.sandbox.Child`.
        limit_s: A shorter limit of each phase than the request's.
        environment: Variables to set on top of the target's.
        also: Another listener, for this child alone.
        debugger: Path of a native debugger to run it under.

    Raises:
        UsageError: the target is no Python, or too old.
    """
    launch = Launch(
        request.target.python,
        orders,
        label,
        timeout_s=min(request.timeout_s, limit_s or request.timeout_s),
        environment={**request.target.environment, **(environment or {})},
        debugger=debugger,
    )
    return run_in_target(request, launch, before_go, also)


def run_in_target(
    request: Request,
    launch: Launch,
    before_go: Callable[[], None] | None = None,
    also: Listener | None = None,
) -> Ending:
    """Run a child with ready orders; arguments and errors as :func:`ask_child`."""
    listeners = [listener for listener in (also, request.listener) if listener is not None]

    def hear(label: str, message: dict[str, Any]) -> None:
        for listener in listeners:
            listener(label, message)

    try:
        return Child(launch, hear, before_go).run()
    except (NotPython, TargetTooOld) as problem:
        cause = problem.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            raise UsageError(f"{problem}; raise ulimit -n") from problem
        raise UsageError(f"{problem}; name a Python interpreter with --python") from problem


def wait_for(futures: Sequence[Future[None]]) -> None:
    """Wait for all futures, then raise the first exception among them, if any.

    In short turns, so that Ctrl-C is heard on every platform.
    """
    pending: set[Future[None]] = set(futures)
    while pending:
        _, pending = wait(pending, timeout=0.2)
    for future in futures:
        future.result()
