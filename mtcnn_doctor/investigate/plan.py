"""What a detection will see, take and cost, before it is run: arithmetic, and one measurement."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from mtcnn_doctor import pyramid
from mtcnn_doctor.collect.metadata import ask_host, ask_metadata
from mtcnn_doctor.collect.request import Collected, Request
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import KillingChildren, Listener
from mtcnn_doctor.investigate.plan_detector import detector_of
from mtcnn_doctor.investigate.plan_fit import fitting
from mtcnn_doctor.investigate.plan_time import Clock, Detector, measure
from mtcnn_doctor.knowledge import memory as knowledge
from mtcnn_doctor.knowledge.memory import Model, Workload
from mtcnn_doctor.targets import Target

#: Where nobody names a backend: the first of these that is installed.
_FASTEST_FIRST = ("openvino", "torch", "litert", "onnxruntime", "opencv", "tensorflow", "numpy")
#: Shorter sides of a level of which a convolution of P-Net leaves exactly nothing.
_LEAVES_NOTHING = (1, 2, 5, 6, 9, 10)


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned.

    ``size`` is width and height where no ``image`` is given. ``resize`` is a size that the image
    would be brought to first. ``memory`` (bytes) and ``ms`` are limits to find parameters for.
    """

    target: Target
    size: tuple[int, int] | None = None
    image: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    backend: str | None = None
    subject: str | None = None
    resize: tuple[int, int] | None = None
    suggest: bool = False
    memory: int | None = None
    ms: float | None = None
    measured: bool = True
    timeout_s: float = 120.0
    listener: Listener | None = None


def plan(request: PlanRequest) -> dict[str, Any]:
    """Return the plan as plain data (see docs/plan.md).

    Raises:
        UsageError: the image cannot be read, the detector is not there, or the target cannot be
            used.
    """
    asked = Request(
        request.target,
        (),
        images=[request.image] if request.image is not None else [],
        timeout_s=request.timeout_s,
        listener=request.listener,
    )
    collected = Collected()
    with KillingChildren():
        ask_metadata(asked, collected)
        ask_host(asked, collected)
        packages = collected.facts.get("packages") or {}
        width, height = request.size or _size_of(collected.facts.get("images") or (), request.image)
        detector = detector_of(request.target, request.backend, request.subject, packages)
        work = Workload(
            width,
            height,
            float(request.settings.get("min_face_size", pyramid.MIN_FACE_SIZE)),
            float(request.settings.get("scale_factor", pyramid.SCALE_FACTOR)),
        )
        clock = Clock(None, "not measured (--no-time)")
        if request.measured:
            final = _resized(work, request.resize)
            with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
                clock = measure(asked, detector, final, request.settings, Path(folder))
    memory = collected.facts.get("memory") or {}
    model = knowledge.model_of(detector.name, detector.version)
    return _planned(request, work, detector, model, memory, clock)


def _size_of(images: Sequence[Mapping[str, Any]], path: Path | None) -> tuple[int, int]:
    image = images[0] if images else {}
    if not image.get("width") or not image.get("height"):
        reason = image.get("error") or "its size is nowhere to be read"
        raise UsageError(f"{path} is no image that can be planned for: {reason}; give WxH instead")
    if image.get("error"):
        raise UsageError(f"{path} cannot be decoded: {image['error']}; give WxH instead")
    return int(image["width"]), int(image["height"])


def _resized(work: Workload, size: tuple[int, int] | None) -> Workload:
    return work if size is None else replace(work, width=size[0], height=size[1])


def _planned(
    request: PlanRequest,
    work: Workload,
    detector: Detector,
    model: Model | None,
    memory: Mapping[str, Any],
    clock: Clock,
) -> dict[str, Any]:
    final = _resized(work, request.resize)
    space = knowledge.room(memory)
    levels = levels_of(final, detector)
    result: dict[str, Any] = {
        "image": None if request.image is None else str(request.image),
        "width": work.width,
        "height": work.height,
        "settings": {
            "min_face_size": work.min_face_size,
            "scale_factor": work.scale_factor,
            **(
                {"thresholds": list(request.settings["thresholds"])}
                if "thresholds" in request.settings
                else {}
            ),
        },
        "detector": {
            "name": detector.name,
            "kind": detector.kind,
            "version": detector.version,
            "python": request.target.python,
        },
        "resize": None if request.resize is None else _distortion(work, final),
        "levels": [
            {"width": level.width, "height": level.height, "face": round(level.face, 1)}
            for level in levels
        ],
        "faces": _faces(levels, work, final),
        "memory": _memory(model, final, space),
        "time": {"ms": clock.ms(final), "how": clock.how, "failed": clock.failed},
        "mtcnn_1": _mtcnn_1(final),
        "suggestions": [],
    }
    if request.suggest:
        result["limits"] = {"memory": request.memory, "ms": request.ms}
        result["suggestions"], result["unmet"] = fitting(
            work, detector, model, clock, request.memory, request.ms
        )
    return result


def levels_of(work: Workload, detector: Detector) -> list[pyramid.Level]:
    """Return the pyramid as a detector counts it."""
    count = pyramid.levels_of_mtcnn_1 if is_mtcnn_1(detector) else pyramid.levels
    return count(work.width, work.height, work.min_face_size, work.scale_factor)


def is_mtcnn_1(detector: Detector) -> bool:
    """Whether a detector is the package mtcnn, release 1, which counts levels its own way."""
    if detector.kind != "subject" or detector.name != "mtcnn":
        return False
    try:
        return Version(detector.version or "").major >= 1
    except InvalidVersion:
        return False


def _faces(
    levels: Sequence[pyramid.Level], work: Workload, final: Workload
) -> dict[str, float | None]:
    """Return the smallest and largest face in pixels of the original image, by its height."""
    if not levels:
        return {"smallest": None, "largest": None}
    back = max(work.width / final.width, work.height / final.height)
    return {
        "smallest": round(levels[0].face * back, 1),
        "largest": round(pyramid.largest_face(list(levels)) * back, 1),
    }


def _distortion(work: Workload, final: Workload) -> dict[str, Any]:
    across, down = final.width / work.width, final.height / work.height
    ratio = across / down
    fit = min(across, down)
    return {
        "width": final.width,
        "height": final.height,
        "scale_x": across,
        "scale_y": down,
        "aspect": ratio,
        # A pixel more or less by rounding squeezes nobody.
        "distorts": abs(work.width * down - final.width) >= 1 and abs(ratio - 1) > 0.005,
        "enlarges": max(across, down) > 1,
        "pixels_kept": min(1.0, across) * min(1.0, down),
        "same_shape": [max(1, round(work.width * fit)), max(1, round(work.height * fit))],
        # In the direction that shrinks more a face must be so large to fill the window.
        "smallest_face": final.min_face_size / fit,
    }


def _memory(
    model: Model | None, work: Workload, space: knowledge.Room | None
) -> dict[str, Any] | None:
    if model is None:
        return None
    found: dict[str, Any] = {
        "peak": model.peak(work),
        "address_space": model.address_space(work),
        "within_percent": max(15.0, model.worst_percent),
        "measured": model.measured,
        "room": None,
    }
    if space is not None:
        image = knowledge.largest_image(model, work, space)
        found.update(
            room=space.bytes,
            bound=space.bound,
            fits=space.fits(model, work),
            processes=knowledge.workers(model, work, space),
            largest_image=None if image is None else list(image),
            smallest_face=knowledge.smallest_face(model, work, space),
        )
    return found


def _mtcnn_1(work: Workload) -> dict[str, Any]:
    size = (work.width, work.height)
    levels = pyramid.levels_of_mtcnn_1(*size, work.min_face_size, work.scale_factor)
    first = next((min(one.width, one.height) for one in levels
                  if min(one.width, one.height) < pyramid.LEAST_INPUT), None)  # fmt: skip
    return {
        "always_empty": pyramid.is_silently_empty(*size, work.min_face_size, work.scale_factor),
        # Measured with Keras 3.15: it refuses a convolution that leaves nothing at all by an error
        # of its own, which the package lets pass; one that would leave less than nothing is
        # TensorFlow's to refuse, and that error the package takes for "no face".
        "keras_refuses": first in _LEAVES_NOTHING,
        "last_level": [levels[-1].width, levels[-1].height] if levels else None,
        "largest_face": round(pyramid.largest_face(levels), 1),
        "largest_safe_min_face": pyramid.largest_safe_min_face(*size, work.scale_factor),
    }
