"""One parameter over a range on the user's images: faces, their confidence, time."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.metadata import ask_metadata
from mtcnn_doctor.collect.request import Collected, Request, ask_child
from mtcnn_doctor.collect.trouble import trouble
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import KillingChildren, Listener
from mtcnn_doctor.investigate.plan_detector import detector_of
from mtcnn_doctor.investigate.plan_time import Detector
from mtcnn_doctor.investigate.sweep_course import course, course_of_times, tracks
from mtcnn_doctor.targets import Target


@dataclass(frozen=True)
class Parameter:
    """Something that can be varied: its usual values, and between which it makes sense."""

    name: str
    values: tuple[float, ...]
    least: float
    most: float
    unit: str = ""
    of_image: bool = False


#: Confidences are compared to so many decimals.
DIGITS = 4

_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("min-face-size", (12, 16, 20, 28, 40, 56, 80), 6, 4000, "px"),
        Parameter("scale-factor", (0.5, 0.6, 0.65, 0.709, 0.75, 0.8, 0.85), 0.1, 0.95),
        Parameter("threshold-pnet", _THRESHOLDS, 0, 1),
        Parameter("threshold-rnet", _THRESHOLDS, 0, 1),
        Parameter("threshold-onet", _THRESHOLDS, 0, 1),
        Parameter("image-scale", (0.25, 0.35, 0.5, 0.71, 1, 1.41, 2), 0.01, 8, "x", True),
        Parameter("brightness", (0.25, 0.4, 0.6, 0.8, 1, 1.25, 1.6, 2), 0, 20, "x", True),
        Parameter("blur", (0, 0.5, 1, 1.5, 2, 3, 4, 6), 0, 100, "px", True),
        Parameter("jpeg-quality", (5, 10, 20, 35, 50, 70, 85, 95), 1, 100, "", True),
    )
}


@dataclass(frozen=True)
class SweepRequest:
    """What is to be varied, on which images, and with which detector."""

    target: Target
    parameter: Parameter
    images: Sequence[Path]
    values: Sequence[float] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    backend: str | None = None
    subject: str | None = None
    runs: int = 5
    timeout_s: float = 120.0
    listener: Listener | None = None


def values_of(parameter: Parameter, given: Sequence[float]) -> list[float]:
    """Return the values of a sweep, rising and once each.

    Raises:
        UsageError: a value that the parameter cannot have, or fewer than two.
    """
    values = sorted(set(given or parameter.values))
    for value in values:
        if not (math.isfinite(value) and parameter.least <= value <= parameter.most):
            raise UsageError(
                f"{parameter.name} {value:g}: give values from {parameter.least:g} to "
                f"{parameter.most:g}"
            )
        if parameter.name == "jpeg-quality" and value != int(value):
            raise UsageError(f"{parameter.name} {value:g}: give whole numbers")
    if len(values) < 2:
        raise UsageError("a sweep needs two different values at least, such as --values 10,20,40")
    return values


def sweep(request: SweepRequest) -> dict[str, Any]:
    """Run the sweep and return what was found as plain data (see docs/sweep.md).

    Raises:
        UsageError: an image cannot be decoded, or the detector is not there.
    """
    if request.subject is not None and not request.parameter.of_image:
        raise UsageError(
            f"--subject runs a package with its own settings; {request.parameter.name} can be "
            "varied with --backend only"
        )
    values = values_of(request.parameter, request.values)
    asked = Request(request.target, (), timeout_s=request.timeout_s, listener=request.listener)
    collected = Collected()
    with KillingChildren(), tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        ask_metadata(asked, collected)
        packages = collected.facts.get("packages") or {}
        detector = detector_of(request.target, request.backend, request.subject, packages)
        images = _decoded(asked, request.images, folder)
        ending = ask_child(asked, detector.name, _orders(request, detector, images, values))
    times = {(one["image"], one["value"]): one["samples_ms"] for one in ending.of("times")}
    steps = [
        {**step, "samples_ms": times.get((step["image"], step["value"]), [])}
        for step in ending.of("step")
    ]
    failure = trouble(ending, f"running {detector.name}")
    return {
        "parameter": request.parameter.name,
        "unit": request.parameter.unit,
        "values": values,
        "detector": {
            "name": detector.name,
            "kind": detector.kind,
            "version": detector.version,
            "python": request.target.python,
        },
        "settings": dict(request.settings),
        "runs": request.runs,
        "failure": failure,
        "images": [
            _told(image["name"], values, [step for step in steps if step["image"] == number])
            for number, image in enumerate(images)
        ],
    }


def _decoded(asked: Request, paths: Sequence[Path], folder: str) -> list[dict[str, str]]:
    ending = ask_child(
        asked,
        "images",
        {"task": "pictures", "images": [str(path) for path in paths], "folder": folder},
    )
    told = {message["path"]: message for message in ending.of("picture")}
    found = []
    for path in paths:
        message = told.get(str(path))
        if message is None:
            reason = trouble(ending, "decoding it") or "nothing was decoded"
            raise UsageError(f"{path} could not be decoded: {reason}")
        if not message.get("array"):
            raise UsageError(f"{path} could not be decoded: {message['error']['last_line']}")
        found.append({"name": path.name, "array": message["array"]})
    return found


def _orders(
    request: SweepRequest,
    detector: Detector,
    images: Sequence[Mapping[str, str]],
    values: Sequence[float],
) -> dict[str, Any]:
    who = (
        {"subject": detector.name, "plugin": detector.plugin}
        if detector.kind == "subject"
        else {"backend": detector.name}
    )
    return {
        "task": "sweep",
        **who,
        "module": detector.module,
        "images": list(images),
        "parameter": request.parameter.name,
        "values": list(values),
        "runs": request.runs,
        "settings": dict(request.settings),
    }


def _told(name: str, values: Sequence[float], steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the steps of one image, its faces followed through them, and what they show."""
    good = [step for step in steps if "error" not in step]
    reached = [step["value"] for step in good]
    faces = tracks(reached, [step["faces"] for step in good])
    for face in faces:
        known = [
            # As they are printed: the last digits of a confidence near 1 are no course.
            (value, round(confidence, DIGITS))
            for value, confidence in zip(reached, face["confidence"], strict=True)
            if confidence is not None
        ]
        face["course"] = course([pair[0] for pair in known], [pair[1] for pair in known])
        by_value = dict(zip(reached, face["confidence"], strict=True))
        face["confidence"] = [by_value.get(value) for value in values]
    return {
        "name": name,
        "steps": [
            {
                "value": step["value"],
                "faces": len(step["faces"]),
                "width": step["width"],
                "height": step["height"],
                "ms": round(statistics.median(step["samples_ms"]), 1)
                if step["samples_ms"]
                else None,
                "samples_ms": step["samples_ms"],
            }
            if "error" not in step
            else {"value": step["value"], "error": step["error"]}
            for step in steps
        ],
        "faces": faces,
        "courses": {
            "faces": course(reached, [float(len(step["faces"])) for step in good]),
            "ms": course_of_times(reached, [step["samples_ms"] for step in good]),
        },
    }
