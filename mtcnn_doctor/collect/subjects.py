"""The user's own MTCNN packages: which are run, each in a child of its own, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from mtcnn_doctor.backends import Backend
from mtcnn_doctor.collect import native
from mtcnn_doctor.collect.choice import installed_version, is_present
from mtcnn_doctor.collect.images import Album
from mtcnn_doctor.collect.load import LoadWatch
from mtcnn_doctor.collect.request import Collected, Request, ask_child
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Outcome, Run
from mtcnn_doctor.runs import not_installed, run_of
from mtcnn_doctor.subjects import Subject, beside_reference, compare, known

#: Stands for every subject that is installed.
ALL = "all"


def backends_beside(names: Sequence[str], packages: Mapping[str, Any]) -> list[str]:
    """Return the backends that tell whether a subject's fault is its own: NumPy, its framework."""
    return ["numpy", *dict.fromkeys(subject.backend for subject in _present(names, packages))]


def refuse_unknown(names: Sequence[str], packages: Mapping[str, Any]) -> None:
    """Accept the subjects named if there are such, in the target or at all.

    Raises:
        UsageError: a name that is no subject.
    """
    there = known(packages)
    for name in names:
        if name not in (*there, ALL):
            raise UsageError(
                f"no subject '{name}'; there are {', '.join(there)}, 'all' that are installed, "
                "and 'none'"
            )


def _named(names: Sequence[str], packages: Mapping[str, Any]) -> list[Subject]:
    return [s for s in known(packages).values() if ALL in names or s.name in names]


def _present(names: Sequence[str], packages: Mapping[str, Any]) -> list[Subject]:
    modules = packages.get("modules") or {}
    return [subject for subject in _named(names, packages) if is_present(modules, subject.module)]


def installed_subject(name: str, packages: Mapping[str, Any]) -> tuple[Subject | None, str | None]:
    """Return a subject and its version where it is installed, else twice None.

    Raises:
        UsageError: a name that is no subject.
    """
    refuse_unknown([name], packages)
    for subject in _present([name], packages):
        package = Backend(subject.name, subject.module, None, subject.distributions)
        return subject, installed_version(package, packages)
    return None, None


@dataclass(frozen=True)
class Work:
    """What the subjects of an examination share with its backends."""

    request: Request
    collected: Collected
    album: Album
    decoding: Future[list[str]]
    turn: threading.Lock


def start(work: Work, pool: ThreadPoolExecutor) -> list[Future[None]]:
    """Start a child for each subject that is asked for and installed."""
    request, collected = work.request, work.collected
    packages = collected.facts.get("packages") or {}
    present = _present(request.subjects, packages)
    asked = [
        subject
        for subject in _named(request.subjects, packages)
        if subject.name in request.subjects
    ]
    if present or asked:
        collected.facts["subjects"] = {
            "requested": [subject.name for subject in asked],
            "backends": {subject.name: subject.backend for subject in (*present, *asked)},
            "compared": {},
        }
    for subject in asked:
        if subject not in present:
            collected.subjects[subject.name] = replace(not_installed(subject.name), kind="subject")
    return [pool.submit(_run_subject, work, subject) for subject in present]


def _run_subject(work: Work, subject: Subject) -> None:
    request, collected = work.request, work.collected
    orders = _orders(work, subject)
    watch = LoadWatch()
    label = f"package {subject.name}"
    with ExitStack() as until_it_ends:

        def take_turn() -> None:
            work.decoding.result()
            until_it_ends.enter_context(work.turn)

        if request.alone:
            take_turn()
            ending = ask_child(request, label, orders, also=watch.hear)
        else:
            ending = ask_child(request, label, orders, take_turn)
    # It is looked up like a backend: by the distributions that bring it.
    package = Backend(subject.name, subject.module, None, subject.distributions)
    version = installed_version(package, collected.facts.get("packages") or {})
    # A plug-in's adapter says what it adapts.
    told = ending.last("adapter") or {}
    version = told.get("version") or version

    def held(result: Mapping[str, Any], faces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return compare(subject.name, version, faces, result, told.get("profile"))

    run = run_of(
        ending,
        package,
        work.album.pictures,
        given=work.decoding.result(),
        installed=version,
        device="default",
        load=watch.found,
        kind="subject",
        compare=held,
    )
    with collected.lock:
        collected.subjects[subject.name] = run
        if told.get("backend"):
            collected.facts["subjects"]["backends"][subject.name] = told["backend"]


def _orders(work: Work, subject: Subject) -> dict[str, Any]:
    return {
        "task": "subject",
        "subject": subject.name,
        "module": subject.module,
        "plugin": subject.is_plugin,
        "images": work.album.orders(),
        "runs": work.request.runs or (3 if work.request.level >= 3 else 1),
        "warmup": work.request.warmup,
    }


def finish(work: Work) -> None:
    """Trace the subjects that failed, and compare them on the user's images."""
    collected = work.collected
    subjects = known(collected.facts.get("packages") or {})
    for name, run in collected.subjects.items():
        # An exception while it detects may come of a network that answers wrongly.
        stumbled = run.outcome is Outcome.ERROR and run.stage == "detect"
        if run.outcome is Outcome.WRONG_RESULT or stumbled:
            collected.subjects[name] = _traced(work, run, subjects[name])
        orders = _orders(work, subjects[name])
        collected.subjects[name] = native.looked_at(work.request, collected.subjects[name], orders)
    compare_with_reference(work)


def compare_with_reference(work: Work) -> None:
    """Put the subjects' runs in order, and their faces beside those of the NumPy backend."""
    collected = work.collected
    there = known(collected.facts.get("packages") or {})
    collected.subjects = {n: collected.subjects[n] for n in there if n in collected.subjects}
    truth = collected.runs.get("numpy")
    if truth is None or truth.outcome is not Outcome.OK:
        return
    for name, run in collected.subjects.items():
        if run.outcome not in (Outcome.OK, Outcome.WRONG_RESULT):
            continue
        sizes = {image["image"]: image for image in run.images}
        collected.facts["subjects"]["compared"][name] = [
            beside_reference(
                _faces(truth, picture.name),
                {**sizes[picture.name], "detections": _faces(run, picture.name)},
            )
            for picture in work.album.of_unknown_faces()
            if picture.name in sizes
        ]


def _traced(work: Work, run: Run, subject: Subject) -> Run:
    """Return a wrong run with the place where the package departs from the reference."""
    given = set(work.decoding.result())
    ending = ask_child(
        work.request,
        f"package {run.name}, comparing",
        {
            "task": "subject-divergence",
            "subject": run.name,
            "module": subject.module,
            "images": [image for image in work.album.orders() if image["name"] in given],
        },
    )
    found = ending.last("divergence")
    if found is None:
        return run
    found = {key: value for key, value in found.items() if key != "t"}
    run = replace(run, divergence=found)
    if found.get("stage") and run.outcome is Outcome.WRONG_RESULT:
        run = replace(run, stage=found["stage"], step=found.get("step"))
    return run


def _faces(run: Run, image: str) -> list[Mapping[str, Any]]:
    return [face for face in run.detections if face["image"] == image]
