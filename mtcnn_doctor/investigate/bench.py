"""Measuring backends: each alone in a fresh child, on bundled images, the user's, or footage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mtcnn_doctor.collect.request import Tuning
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import Interrupted, Listener, Request, examine
from mtcnn_doctor.investigate.bench_floor import floor_ms, image_flops
from mtcnn_doctor.investigate.bench_source import Source
from mtcnn_doctor.investigate.bench_trust import trust
from mtcnn_doctor.investigate.search_bench import SearchRequest, searched
from mtcnn_doctor.investigate.search_imports import check_imports
from mtcnn_doctor.model import Check, Outcome, Report, Run
from mtcnn_doctor.targets import Target

#: Checks that explain why a backend could not be measured. The rest is the business of `check`.
_FAMILIES = ("interpreter", "packages", "weights", "runs", "subjects", "doctor")
_IDS = ("import-failure", "image-unreadable")


@dataclass(frozen=True)
class BenchRequest:
    """What is to be measured, and how."""

    target: Target
    checks: Sequence[Check]
    backends: Sequence[str]
    subjects: Sequence[str] = ()
    source: Source = field(default_factory=Source)
    tuning: Tuning = field(default_factory=Tuning)
    runs: int = 10
    warmup: int = 2
    timeout_s: float = 120.0
    command: Sequence[str] = ()
    listener: Listener | None = None
    native: bool = False
    search: SearchRequest = field(default_factory=SearchRequest)


def bench(request: BenchRequest) -> Report:
    """Measure each backend in turn and return the report.

    Raises:
        UsageError: the source, the target, the weights or the device cannot be used, no image
            could be decoded, or a module to import first is not there.
        Interrupted: Ctrl-C after something was measured; its report holds that.
        KeyboardInterrupt: Ctrl-C before.
    """
    source = request.source
    examination = Request(
        target=request.target,
        checks=[check for check in request.checks if check.family in _FAMILIES or check.id in _IDS],
        level=2,
        backends=request.backends,
        subjects=request.subjects,
        only_subjects=True,
        images=source.images,
        bundled=not source.images and source.footage is None,
        footage=source.footage,
        size=source.size,
        exact=source.exact,
        tuning=request.tuning,
        rate=True,
        runs=request.runs,
        warmup=request.warmup,
        alone=True,
        timeout_s=request.timeout_s,
        command=[source.hide(word) for word in request.command],
        listener=request.listener,
        native=request.native,
    )
    try:
        report = examine(examination)
    except Interrupted as stop:
        if not stop.report.runs:
            raise KeyboardInterrupt from None
        raise Interrupted(_completed(stop.report, request)) from None
    refused = [image for image in report.facts.get("images") or () if image.get("error")]
    # Where a framework dies while it is imported, so does what decodes, and that is the finding.
    loads = not any(run.failed and run.stage in ("start", "import") for run in report.runs)
    if source.images and len(refused) == len(source.images) and loads:
        first = refused[0]
        raise UsageError(f"--source {first['path']} could not be decoded: {first['error']}")
    _check_device(request.tuning.device, report.runs)
    check_imports(request.tuning.before, report.runs)
    report = _completed(report, request)
    if request.search.bisect or request.search.repeat:
        report = searched(report, examination, request.search)
    if all(run.outcome in (Outcome.OK, Outcome.NOT_INSTALLED) for run in report.runs):
        # What else may be wrong with the environment did no harm here, and is for `check`.
        return replace(
            report,
            findings=tuple(
                finding
                for finding in report.findings
                if not finding.is_problem
                or finding.family in ("runs", "subjects", "input", "weights", "doctor")
            ),
        )
    return report


def _completed(report: Report, request: BenchRequest) -> Report:
    """Return a report with what a measurement needs beside an examination."""
    return replace(
        report,
        runs=tuple(_measured(run, report, request) for run in report.runs),
        facts={**report.facts, "settings": {**report.facts["settings"], **_settings(request)}},
        incomplete=(*report.incomplete, *_too_small(report)),
    )


def _too_small(report: Report) -> list[str]:
    """Say on which images no network had anything to do: their times say nothing."""
    images = {
        f"{image['image']} ({image['width']}x{image['height']})": None
        for run in report.runs
        for image in run.images
        if run.kind == "backend" and not image["levels"]
    }
    if not images:
        return []
    least = report.facts["settings"]["cascade"]["min_face_size"]
    return [
        f"no face of {least:g} pixels fits on {', '.join(images)}, so no network was run there; "
        "give a larger --size or a smaller --min-face-size"
    ]


def _check_device(device: str, runs: Sequence[Run]) -> None:
    """Tell a device that no backend knows from backends that fail.

    Raises:
        UsageError: every backend that was built refused the device by its name.
    """
    built = [
        run for run in runs if run.outcome is not Outcome.NOT_INSTALLED and run.device == device
    ]
    refusals = [
        run
        for run in built
        if run.stage == "build" and run.error and run.error.get("type") == "ValueError"
    ]
    if device.lower() != "cpu" and built and len(refusals) == len(built):
        said = "; ".join(dict.fromkeys(f"{run.name}: {run.reason}" for run in refusals))
        raise UsageError(
            f"--device {device} is known to none of the backends measured ({said}); "
            "give cpu, cuda:0, mps, or what the backend calls its device"
        )


def _settings(request: BenchRequest) -> dict[str, Any]:
    """Return the options that decide what the numbers mean, as a fact."""
    source, tuning = request.source, request.tuning
    return {
        "runs": request.runs,
        "warmup": request.warmup,
        "device": tuning.device,
        "threads": tuning.threads,
        "lanes": tuning.lanes,
        "size": list(source.size) if source.size else None,
        "exact_size": source.exact,
        "weights": None if tuning.weights is None else str(tuning.weights),
    }


def _measured(run: Run, report: Report, request: BenchRequest) -> Run:
    """Return a run with its images' arithmetic, its floor, its trust, and how faces were held."""
    if run.measurement is None:
        return run
    counted = {image["image"]: image["samples_ms"][image["warmup"] :] for image in run.images}
    load = run.measurement["load"]
    measurement = {
        **run.measurement,
        "threads": request.tuning.threads,
        "faces": _faces(run, report, request),
        "trust": trust(counted, load, request.tuning.threads) if run.images else None,
    }
    return replace(
        run,
        images=tuple(_with_floor(image, report, run.device) for image in run.images),
        measurement=measurement,
    )


def _with_floor(image: Any, report: Report, device: str) -> dict[str, Any]:
    if not image["levels"]:
        return dict(image)  # a package does not tell what it computed
    operations = image_flops(image)
    rate: float | None = (report.facts.get("rate") or {}).get("gflops")
    floor = None
    # The rate is the processor's: an accelerator has nothing to do with it.
    if rate is not None and device.lower() == "cpu":
        floor = round(floor_ms(operations, rate), 3)
    return {
        **image,
        "gflop": round(operations / 1e9, 4),
        "floor_ms": floor,
    }


def _faces(run: Run, report: Report, request: BenchRequest) -> str:
    """Return what a run's faces were held against: "expected", "numpy" or "not-compared".

    "reference" where they are what the others are held against.
    """
    if run.agreement is not None and run.outcome is not Outcome.WRONG_RESULT:
        return "expected"
    bundled = not request.source.images and request.source.footage is None
    tuned = request.tuning.settings or request.tuning.weights or request.source.size
    if bundled and not tuned:
        return "expected"
    compared = [other for other in report.runs if other.images and other is not run]
    if run.name == "numpy":
        return "reference" if compared else "not-compared"
    return "numpy" if any(other.name == "numpy" for other in compared) else "not-compared"
