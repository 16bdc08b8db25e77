"""Measuring backends: each alone in a fresh child, on the bundled images or on the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import Listener, Request, examine
from mtcnn_doctor.model import Check, Outcome, Report
from mtcnn_doctor.targets import Target

#: File name endings taken from a folder given as source.
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")
#: Checks that explain why a backend could not be measured. The rest is the business of `check`.
_FAMILIES = ("interpreter", "packages", "runs", "doctor")
_IDS = ("import-failure", "image-unreadable")


@dataclass(frozen=True)
class BenchRequest:
    """What is to be measured."""

    target: Target
    checks: Sequence[Check]
    backends: Sequence[str]
    source: Path | None = None
    runs: int = 10
    warmup: int = 2
    timeout_s: float = 120.0
    command: Sequence[str] = ()
    listener: Listener | None = None


def images_of(source: Path) -> list[Path]:
    """Return the image files that a source names, sorted.

    Raises:
        UsageError: there is nothing of that name, or a folder without image files.
    """
    if source.is_dir():
        found = sorted(
            path.absolute()
            for path in source.iterdir()
            if path.is_file() and path.suffix.lower() in IMAGE_ENDINGS
        )
        if not found:
            raise UsageError(f"--source {source} holds no image files ({', '.join(IMAGE_ENDINGS)})")
        return found
    if not source.is_file():
        raise UsageError(f"no file or folder {source}; give --source an image or a folder")
    return [source.absolute()]


def bench(request: BenchRequest) -> Report:
    """Measure each backend in turn and return the report.

    Raises:
        UsageError: the source or the target cannot be used, or no image could be decoded.
    """
    images = images_of(request.source) if request.source is not None else []
    report = examine(
        Request(
            target=request.target,
            checks=[
                check for check in request.checks if check.family in _FAMILIES or check.id in _IDS
            ],
            level=2,
            backends=request.backends,
            images=images,
            bundled=not images,
            runs=request.runs,
            warmup=request.warmup,
            alone=True,
            timeout_s=request.timeout_s,
            command=request.command,
            listener=request.listener,
        )
    )
    refused = [image for image in report.facts.get("images") or () if image.get("error")]
    if images and len(refused) == len(images):
        first = refused[0]
        raise UsageError(f"--source {first['path']} could not be decoded: {first['error']}")
    if all(run.outcome in (Outcome.OK, Outcome.NOT_INSTALLED) for run in report.runs):
        # What else may be wrong with the environment did no harm here, and is for `check`.
        return replace(
            report,
            findings=tuple(
                finding
                for finding in report.findings
                if not finding.is_problem or finding.family in ("runs", "input", "doctor")
            ),
        )
    return report
