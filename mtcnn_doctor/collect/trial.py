"""One backend in one fresh child, as often as asked, each time under other changes."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mtcnn_doctor import gallery
from mtcnn_doctor.backends import BACKENDS, Backend
from mtcnn_doctor.collect.choice import installed_version
from mtcnn_doctor.collect.images import album_of, decode
from mtcnn_doctor.collect.rate import blas_threads
from mtcnn_doctor.collect.request import Collected, Request
from mtcnn_doctor.collect.runs import compare_with_numpy
from mtcnn_doctor.gallery import Picture
from mtcnn_doctor.model import Outcome, Run
from mtcnn_doctor.runs import run_of
from mtcnn_doctor.sandbox import Child, Launch, NotPython, TargetTooOld


class OutOfTime(Exception):
    """The time for all trials was over before this one ended."""


@dataclass(frozen=True)
class Manner:
    """How often and how broadly a backend is run in one child; ``image``: on that one alone."""

    lanes: int = 1
    runs: int = 1
    warmup: int = 0
    image: str | None = None


@dataclass(frozen=True)
class Change:
    """What is different from the ordinary run: variables and orders."""

    set: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    orders: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What became of one child. ``checked``: its faces were held against known ones."""

    run: Run
    seconds: float
    checked: bool


#: Orders that a child takes beside its ``mitigations``.
_OWN = ("threads", "lanes", "device", "min_face_size")
_OK = Change()


class Laboratory(AbstractContextManager["Laboratory"]):
    """Decodes the images once, then runs backends on them.

    ``facts`` are those of the examination before. Leaving it removes the decoded images.
    """

    def __init__(self, request: Request, facts: Mapping[str, Any]) -> None:
        self._request = request
        self._packages: Mapping[str, Any] = facts.get("packages") or {}
        self._collected = Collected(facts={"opencv": facts.get("opencv") or {}})
        # Ended by whoever deletes it, should __exit__ never be reached.
        self._folder = tempfile.TemporaryDirectory(prefix="mtcnn-doctor-")
        self._given: list[str] | None = None
        self._truths: dict[str, Run] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def prepare(self) -> None:
        """Decode the images, or take the pictures out of the footage.

        Raises:
            UsageError: footage that gives no picture.
        """
        self._album = album_of(self._request, Path(self._folder.name))
        opencv: Future[None] = Future()
        opencv.set_result(None)
        self._given = decode(self._request, self._collected, self._album, opencv)

    def _decode_under(self, change: Change, limit_s: float, until: float) -> None:
        """Decode the images under a change: without one, NumPy itself may not load."""
        request = self._request
        # An empty variable stands for one that is taken away.
        variables = {**dict.fromkeys(change.without, ""), **change.set}
        target = request.target
        changed = replace(
            request,
            target=replace(target, environment={**target.environment, **variables}),
            timeout_s=max(1.0, min(limit_s, until - time.monotonic())),
        )
        opencv: Future[None] = Future()
        opencv.set_result(None)
        self._given = decode(changed, self._collected, self._album, opencv)

    def images(self) -> list[str]:
        """Return the names of the images that were decoded, in the order of running."""
        if self._given is None:
            self.prepare()
        return list(self._given or ())

    def run(
        self, backend: Backend, change: Change, manner: Manner, limit_s: float, until: float
    ) -> Trial:
        """Run a backend in a fresh child.

        Args:
            backend: What to run, with the module it imports.
            change: What is different this time.
            manner: How often, and in how many lanes.
            limit_s: Limit of each phase.
            until: When it must have ended at the latest (``time.monotonic()``).

        Raises:
            OutOfTime: it had not ended by then; every process of it has.
        """
        if self._given is None:
            self.prepare()
        began = time.monotonic()
        run = self._child(backend, change, manner, limit_s, until)
        run, checked = self._check(run, backend, change, manner, limit_s, until)
        return Trial(run, time.monotonic() - began, checked)

    def _child(
        self, backend: Backend, change: Change, manner: Manner, limit_s: float, until: float
    ) -> Run:
        request, tuning = self._request, self._request.tuning
        if not self._given:
            self._decode_under(change, limit_s, until)
        orders = dict(change.orders)
        threads = orders.get("threads", tuning.threads) or None
        device = orders.get("device", tuning.device)
        settings = {**gallery.settings(), **tuning.settings}
        if "min_face_size" in orders:
            settings["min_face_size"] = max(orders["min_face_size"], settings["min_face_size"])
        variables = blas_threads(threads) if backend.module == "numpy" else {}
        launch = Launch(
            request.target.python,
            {
                "task": "reference",
                "backend": backend.name,
                "module": backend.module,
                "images": [
                    order for order in self._album.orders() if manner.image in (None, order["name"])
                ],
                "runs": manner.runs,
                "warmup": manner.warmup,
                "threads": threads,
                "lanes": orders.get("lanes", manner.lanes),
                "device": device,
                "settings": settings,
                "weights": None if tuning.weights is None else str(tuning.weights),
                "mitigations": {
                    "import_first": list(tuning.before),
                    **{key: value for key, value in orders.items() if key not in _OWN},
                },
            },
            backend.name,
            timeout_s=limit_s,
            environment={**request.target.environment, **variables, **change.set},
            without=change.without,
        )
        child = Child(launch)
        over = threading.Event()

        def stop() -> None:
            over.set()
            child.cancel()

        left = min(until - time.monotonic(), threading.TIMEOUT_MAX)
        alarm = threading.Timer(max(0.0, left), stop)
        alarm.daemon = True
        alarm.start()
        try:
            ending = child.run()
        except (NotPython, TargetTooOld) as problem:
            # It was a Python without these changes.
            return Run(name=backend.name, outcome=Outcome.CRASH, reason=str(problem), stage="start")
        finally:
            alarm.cancel()
        if over.is_set():
            raise OutOfTime
        return run_of(
            ending,
            backend,
            self._pictures(change, manner),
            gallery.tolerance(backend.name),
            given=[name for name in self._given or () if manner.image in (None, name)],
            installed=installed_version(backend, self._packages),
            device=device,
        )

    def _pictures(self, change: Change, manner: Manner) -> list[Picture]:
        """Return the images; what is on them is known only as they are."""
        pictures = [p for p in self._album.pictures if manner.image in (None, p.name)]
        if change.orders.keys() & {"shrink", "min_face_size"}:
            return [replace(picture, faces=None) for picture in pictures]
        return pictures

    def _check(
        self,
        run: Run,
        backend: Backend,
        change: Change,
        manner: Manner,
        limit_s: float,
        until: float,
    ) -> tuple[Run, bool]:
        """Hold faces that nobody knows against those of NumPy; say whether all were held."""
        unknown = [picture for picture in self._pictures(change, manner) if picture.faces is None]
        if not unknown or run.outcome is not Outcome.OK:
            return run, run.outcome is Outcome.OK
        numpy = BACKENDS["numpy"]
        if backend.name == numpy.name:
            return run, False
        kept = {k: v for k, v in change.orders.items() if k in ("shrink", "min_face_size")}
        key = repr(sorted(kept.items()))
        if key not in self._truths:
            same = replace(_OK, orders=kept)
            self._truths[key] = self._child(numpy, same, Manner(), limit_s, until)
        truth = self._truths[key]
        if truth.outcome is not Outcome.OK:
            return run, False
        both = Collected(runs={numpy.name: truth, run.name: run})
        compare_with_numpy(both, unknown)
        return both.runs[run.name], True
