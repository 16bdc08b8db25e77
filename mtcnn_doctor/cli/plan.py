"""``mtcnn-doctor plan``: what a detection will see, take and cost, before it is run."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor.cli import options
from mtcnn_doctor.cli.bench import settings
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from mtcnn_doctor.investigate.plan import PlanRequest
from mtcnn_doctor.investigate.plan import plan as make_plan
from mtcnn_doctor.targets import resolve

_SIZE = re.compile(r"(\d{1,6})[x×X](\d{1,6})")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B?)", re.IGNORECASE)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def plan(
    what: Annotated[str, typer.Argument(metavar="IMAGE|WxH", help="An image file, or a size.")],
    min_face_size: options.MinFaceSizeOption = None,
    scale_factor: options.ScaleFactorOption = None,
    thresholds: options.ThresholdsOption = None,
    backend: options.OneBackendOption = None,
    subject: options.OneSubjectOption = None,
    resize: Annotated[
        str | None,
        typer.Option("--resize", metavar="WxH", help="What bringing it to this size would do."),
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Parameters that keep within --memory or --ms.")
    ] = False,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Limit such as 512M or 2G.")
    ] = None,
    ms: Annotated[
        float | None, typer.Option("--ms", metavar="MS", help="Limit of time for an image.")
    ] = None,
    measured: Annotated[
        bool, typer.Option("--time/--no-time", help="Whether to measure how fast it is here.")
    ] = True,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    output: options.OutputOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Show the pyramid, the faces it finds, memory and time; find parameters for a limit."""
    config = configuration.find_here()
    options.check_output(output)
    limit = options.timeout(timeout, config.timeout)
    if backend is not None and subject is not None:
        raise UsageError("--backend and --subject are two detectors; leave one of them out")
    if suggest and memory is None and ms is None:
        raise UsageError("--suggest needs a limit: --memory 2G or --ms 50")
    if not suggest and (memory is not None or ms is not None):
        raise UsageError("--memory and --ms are limits for --suggest; add that")
    if ms is not None and not measured:
        raise UsageError("--ms needs a measurement; leave --no-time out")
    if ms is not None and not (math.isfinite(ms) and ms > 0):
        raise UsageError(f"--ms {ms:g}: give a positive number of milliseconds")
    size, image = _subject_of_plan(what)
    from mtcnn_doctor.report import plan_text
    from mtcnn_doctor.report.progress import Progress

    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        result = make_plan(
            PlanRequest(
                target=resolve(python, kernel),
                size=size,
                image=image,
                settings=settings(min_face_size, scale_factor, thresholds),
                backend=backend,
                subject=subject,
                resize=None if resize is None else size_of("--resize", resize),
                suggest=suggest,
                memory=None if memory is None else bytes_of(memory),
                ms=ms,
                measured=measured,
                timeout_s=limit,
                listener=progress.hear,
            )
        )
    if format is options.Format.JSON:
        options.write(plan_text.render(result), output)
    else:
        options.present(lambda stream: plan_text.print_to(stream, result), output)
    raise typer.Exit(EXIT_OK if plan_text.is_good(result) else EXIT_FINDINGS)


def _subject_of_plan(what: str) -> tuple[tuple[int, int] | None, Path | None]:
    """Return a size, or an image file that is there."""
    if _SIZE.fullmatch(what) and not Path(what).exists():
        return size_of("the size", what), None
    if not Path(what).exists():
        raise UsageError(f"no file {what}; name an image file, or give a size such as 1920x1080")
    return None, options.images([Path(what)])[0]


def size_of(name: str, text: str) -> tuple[int, int]:
    """Return width and height.

    Raises:
        UsageError: no size, or one without a pixel.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or "0" in (match[1].lstrip("0") or "0", match[2].lstrip("0") or "0"):
        raise UsageError(f"{name} {text}: give width and height in pixels, such as 1280x720")
    return int(match[1]), int(match[2])


def bytes_of(text: str) -> int:
    """Return an amount of memory in bytes; 2G is 2 GiB.

    Raises:
        UsageError: no amount, or none above zero.
    """
    match = _MEMORY.fullmatch(text.strip())
    amount = 0 if match is None else int(float(match[1]) * 1024 ** _UNITS[match[2].upper()])
    if amount <= 0:
        raise UsageError(f"--memory {text}: give an amount such as 512M or 2G")
    return amount
