"""What is to be examined, what was collected of it so far, and asking one child of the target."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Request:
    """What is to be examined, and how deep.

    ``bundled`` includes the reference images beside those given. ``runs`` counts per image after
    the ``warmup`` runs (default: one, at level 3 three). ``alone`` starts no child before the one
    before it has ended, so that even import times are undisturbed.
    """

    target: Target
    checks: Sequence[Check]
    level: int = 2
    backends: Sequence[str] = ()
    images: Sequence[Path] = ()
    bundled: bool = True
    runs: int | None = None
    warmup: int = 0
    alone: bool = False
    timeout_s: float = 120.0
    expect_gpu: bool = False
    command: Sequence[str] = ()
    plugin_failures: Sequence[Finding] = ()
    listener: Listener | None = None
    #: When the user's wait began (``time.monotonic()``).
    started: float = field(default_factory=time.monotonic)


@dataclass
class Collected:
    """What the children told so far. Guarded by ``lock``: children report from threads."""

    facts: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    probes_failed: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

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
) -> Ending:
    """Send a child into the target and return its ending.

    Raises:
        UsageError: the target is no Python, or too old.
    """
    launch = Launch(
        request.target.python,
        orders,
        label,
        timeout_s=request.timeout_s,
        environment=request.target.environment,
    )
    return run_in_target(request, launch, before_go)


def run_in_target(
    request: Request, launch: Launch, before_go: Callable[[], None] | None = None
) -> Ending:
    """Run a child with ready orders; errors as :func:`ask_child`."""
    try:
        return Child(launch, request.listener, before_go).run()
    except (NotPython, TargetTooOld) as problem:
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
