"""How long a detection takes here: one measurement in a child, carried over by operations."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcnn_doctor import pyramid
from mtcnn_doctor.collect.request import Request, ask_child
from mtcnn_doctor.collect.trouble import trouble
from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.investigate.bench_floor import PNET, flops
from mtcnn_doctor.knowledge.memory import Workload

#: A larger image is not measured but carried over to: the measurement should take seconds.
_MOST_PIXELS = 1280 * 720
_FACES, _RUNS = 6, 3


@dataclass(frozen=True)
class Detector:
    """What is planned for: a backend of the reference, or a package."""

    name: str
    kind: str
    module: str
    version: str | None = None
    plugin: bool = False


@dataclass(frozen=True)
class Clock:
    """Milliseconds for each operation of P-Net; the rest of the cascade goes along with it."""

    ms_per_operation: float | None
    how: str
    failed: bool = False

    def ms(self, work: Workload) -> float | None:
        """Return the estimate for a detection, None where nothing could be measured."""
        if self.ms_per_operation is None:
            return None
        return round(operations(work) * self.ms_per_operation, 1)


def operations(work: Workload) -> int:
    """Return what P-Net computes on all levels."""
    return sum(
        flops(PNET, level.height, level.width)
        for level in pyramid.levels(work.width, work.height, work.min_face_size, work.scale_factor)
    )


def measure(
    request: Request,
    detector: Detector,
    work: Workload,
    settings: Mapping[str, Any],
    folder: Path,
) -> Clock:
    """Run the detector on a made-up scene with a few faces, or on the image itself if it is small.

    A package is run with its own settings; what others cost is worked out by operations, too.
    """
    small = work.width * work.height <= _MOST_PIXELS
    images = list(request.images)
    shrunk = (_MOST_PIXELS / (work.width * work.height)) ** 0.5
    size = (
        (work.width, work.height)
        if small
        else (max(1, int(work.width * shrunk)), max(1, int(work.height * shrunk)))
    )
    if images:
        orders: dict[str, Any] = {
            "task": "pictures",
            "images": [str(images[0])],
            "folder": str(folder),
            "size": size,
            "exact": True,
        }
    else:
        portrait = next(picture for picture in bundled() if picture.name == "portrait.png")
        assert portrait.faces is not None
        orders = {
            "task": "scene",
            "portrait": str(portrait.path),
            "face": portrait.faces[0]["box"],
            "size": size,
            "faces": _FACES,
            "seed": 1,
            "folder": str(folder),
            "name": "scene",
        }
    made = ask_child(request, "image", orders)
    picture = made.last("picture")
    if picture is None or not picture.get("array"):
        said = ((picture or {}).get("error") or {}).get("last_line")
        return Clock(None, said or trouble(made, "making an image") or "no image was made", True)
    ending = ask_child(request, detector.name, _orders(detector, picture["array"], settings))
    result = ending.last("result")
    if result is None:
        return Clock(None, trouble(ending, f"running {detector.name}") or "no answer came", True)
    ms = statistics.median(result["samples_ms"][1:])
    run = Workload(size[0], size[1], *_run_settings(detector, work))
    done = operations(run)
    if not done:
        return Clock(None, f"no face of {work.min_face_size:g} pixels fits on {size[0]}x{size[1]}")
    what = f"{'the image' if images else 'a scene'} of {size[0]}x{size[1]}"
    how = f"measured here: {ms:.0f} ms with {detector.name} on {what}"
    asked = operations(work)
    if asked != done:
        how += f", carried over to {asked / done:.2g} times the operations"
    return Clock(ms / done, how)


def _run_settings(detector: Detector, work: Workload) -> tuple[float, float]:
    if detector.kind == "subject":
        return pyramid.MIN_FACE_SIZE, pyramid.SCALE_FACTOR
    return work.min_face_size, work.scale_factor


def _orders(detector: Detector, array: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    shared = {
        "module": detector.module,
        "images": [{"name": "image", "array": array}],
        "runs": _RUNS,
        "warmup": 1,
    }
    if detector.kind == "subject":
        return {"task": "subject", "subject": detector.name, "plugin": detector.plugin, **shared}
    return {
        "task": "reference",
        "backend": detector.name,
        "settings": dict(settings),
        "device": "cpu",
        **shared,
    }
