"""Parameters that keep within a limit of memory or time, and what each of them gives up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mtcnn_doctor import pyramid
from mtcnn_doctor.investigate.plan_time import Clock, Detector, operations
from mtcnn_doctor.knowledge import memory as knowledge
from mtcnn_doctor.knowledge.memory import Model, Room, Workload

_STEPS = 60


def fitting(
    work: Workload,
    detector: Detector,
    model: Model | None,
    clock: Clock,
    memory: int | None,
    ms: float | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return ways to stay within the limits, and why there is none where there is none.

    Each way changes one thing: the smallest face looked for, the size of the image, or (for
    memory) the backend. That the work fits as it is, is a way, too.
    """
    if memory is not None and model is None:
        return [], f"nobody measured how much memory {detector.name} takes"
    if ms is not None and clock.ms_per_operation is None:
        return [], f"the time is not known: {clock.how}"

    def fits(one: Workload, by: Model | None = model) -> bool:
        if memory is not None and by is not None and by.peak(one) > memory:
            return False
        if ms is None or clock.ms_per_operation is None:
            return True
        return operations(one) * clock.ms_per_operation <= ms

    if fits(work):
        return [_way("nothing has to change", work, work, model, clock)], None
    ways = [
        _way(what, one, work, model, clock)
        for what, one in (
            ("larger min_face_size", _by_face(work, detector, fits)),
            ("smaller image", _by_image(work, detector, fits)),
        )
        if one is not None
    ]
    if memory is not None and ms is None:
        ways += _by_backend(work, detector, memory, model)
    if ways:
        return ways, None
    return [], _why_none(work, model, memory, ms)


def _way(
    what: str, one: Workload, work: Workload, model: Model | None, clock: Clock
) -> dict[str, Any]:
    back = work.width / one.width
    return {
        "what": what,
        "width": one.width,
        "height": one.height,
        "min_face_size": round(one.min_face_size, 1),
        "smallest_face": round(one.min_face_size * back, 1),
        "peak": None if model is None else model.peak(one),
        "ms": clock.ms(one),
    }


def _usable(one: Workload, detector: Detector) -> bool:
    """Whether a detector looks at the image at all with these parameters."""
    settings = (one.width, one.height, one.min_face_size, one.scale_factor)
    # Release 1 of mtcnn answers [] without a word where its last level is too small.
    if detector.name == "mtcnn" and not (detector.version or "1").startswith("0."):
        return not pyramid.is_silently_empty(*settings)
    return bool(pyramid.levels(*settings))


def _by_face(
    work: Workload, detector: Detector, fits: Callable[[Workload], bool]
) -> Workload | None:
    """Return the work with the smallest min_face_size that fits, to a tenth of a pixel."""
    low, high = work.min_face_size, float(min(work.width, work.height))
    if high <= low or not fits(replace(work, min_face_size=high)):
        return None
    while high - low > 0.05:
        middle = (low + high) / 2
        if fits(replace(work, min_face_size=middle)):
            high = middle
        else:
            low = middle
    tenths = int(high * 10) + (high * 10 > int(high * 10))
    found = replace(work, min_face_size=tenths / 10)
    return found if _usable(found, detector) and fits(found) else None


def _by_image(
    work: Workload, detector: Detector, fits: Callable[[Workload], bool]
) -> Workload | None:
    """Return the work on the largest image of the same shape that fits."""

    def sized(share: float) -> Workload:
        return replace(
            work,
            width=max(1, int(work.width * share)),
            height=max(1, int(work.height * share)),
        )

    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if fits(sized(middle)):
            low = middle
        else:
            high = middle
    found = sized(low)
    # Where no face fits any more nothing is computed, which keeps within any limit of time.
    return found if _usable(found, detector) and fits(found) else None


def _by_backend(
    work: Workload, detector: Detector, memory: int, model: Model | None
) -> list[dict[str, Any]]:
    """Return backends of the reference that keep within a limit of memory without any change."""
    return [
        _way(f"backend {other.contender}", work, work, other, Clock(None, ""))
        for other in knowledge.models()
        if other.kind == "backend"
        and other.contender != detector.name
        and Room(memory, "").fits(other, work)
        and (model is None or other.peak(work) < model.peak(work))
    ]


def _why_none(work: Workload, model: Model | None, memory: int | None, ms: float | None) -> str:
    if memory is not None and model is not None and model.base_mib * knowledge.MIB > memory:
        return (
            f"{model.contender} alone takes about {model.base_mib:.0f} MiB, before it has seen an "
            "image"
        )
    limits = [] if memory is None else [f"{memory / knowledge.MIB:.0f} MiB"]
    limits += [] if ms is None else [f"{ms:g} ms"]
    return f"no image on which a face of {work.min_face_size:g} pixels fits keeps within " + (
        " and ".join(limits)
    )
