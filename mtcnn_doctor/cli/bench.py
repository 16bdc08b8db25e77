"""``mtcnn-doctor bench``: find crashes and measure, one backend at a time."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import IO, Annotated, Any

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options, outputs
from mtcnn_doctor.cli.check import exit_code
from mtcnn_doctor.collect.request import Tuning, automatic_lanes
from mtcnn_doctor.errors import EXIT_INTERRUPTED, UsageError
from mtcnn_doctor.examine import Interrupted
from mtcnn_doctor.investigate.bench import BenchRequest
from mtcnn_doctor.investigate.bench import bench as measure
from mtcnn_doctor.investigate.bench_source import source_of
from mtcnn_doctor.investigate.search_bench import DEFAULT_BUDGET_S, SearchRequest
from mtcnn_doctor.targets import resolve


def bench(
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME", help="Backend to measure; repeatable, or 'all'."),
    ] = None,
    subject: options.SubjectOption = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="WHAT",
            help="An image, a folder, a video, a camera's number, rtsp:// or http://, or "
            "'synthetic' (default: the bundled images).",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="WxH", help="Resize to fit into this; 1280x720! is exactly that."
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=1, max=10000, help="Frames of a video (default 10)."),
    ] = None,
    faces: Annotated[
        int | None,
        typer.Option("--faces", min=0, max=100000, help="Faces of the synthetic scene (6)."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, max=10000, help="Runs per image.")] = 10,
    warmup: Annotated[
        int, typer.Option("--warmup", min=0, max=1000, help="Runs before these, not counted.")
    ] = 2,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, max=1024, help="CPU threads (default: the backend's)."),
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option(
            "--lanes",
            min=1,
            max=64,
            help="Parts of an image worked on side by side (default: up to 4 on the CPU).",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="cpu, cuda:0, mps, a provider.")
    ] = "cpu",
    min_face_size: options.MinFaceSizeOption = None,
    scale_factor: options.ScaleFactorOption = None,
    thresholds: options.ThresholdsOption = None,
    weights: options.WeightsOption = None,
    bisect: Annotated[
        bool,
        typer.Option("--bisect", help="Where a backend fails, search for a change that helps."),
    ] = False,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat", min=1, max=1000, metavar="N", help="Run each backend in N fresh processes."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="SECONDS", help="Time for --bisect (default 300)."),
    ] = None,
    import_first: Annotated[
        list[str] | None,
        typer.Option(
            "--import-first",
            metavar="MODULE",
            help="Import this before the framework, as your program does; repeatable.",
        ),
    ] = None,
    keep: options.KeepOption = None,
    native: options.NativeOption = False,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: outputs.ReportFormatOption = None,
    output: outputs.OutputsOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Measure backends: faces, times by stage, memory. A crash gives its certificate."""
    config = configuration.find_here()
    places = outputs.check_outputs(output, format)
    options.check_keep(keep)
    limit = options.timeout(timeout, config.timeout)
    from mtcnn_doctor.report.progress import Progress

    request_source = source_of(source, size, frames, faces)
    place = _device(device)
    tuning = Tuning(
        device=place,
        threads=threads,
        lanes=lanes or automatic_lanes(place, threads),
        settings=settings(min_face_size, scale_factor, thresholds),
        weights=options.weights(weights),
        before=tuple(_modules(import_first or ())),
    )
    search = SearchRequest(bisect=bisect, repeat=repeat, budget_s=_budget(budget, bisect))
    interrupted = False
    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        request = BenchRequest(
            target=resolve(python, kernel),
            checks=registry.load(config.plugins).checks,
            backends=options.backends(backend or config.backends),
            subjects=options.subjects(subject or ()),
            source=request_source,
            tuning=tuning,
            runs=runs,
            warmup=warmup,
            timeout_s=limit,
            command=options.command(),
            listener=progress.hear,
            native=native,
            search=search,
        )
        try:
            report = measure(request)
        except Interrupted as stop:
            report, interrupted = stop.report, True
    report = options.keep(report, keep)
    code = exit_code(report, "error")
    if interrupted or (report.search is not None and report.search["interrupted"]):
        code = EXIT_INTERRUPTED

    def print_to(stream: IO[str]) -> None:
        from mtcnn_doctor.report.bench_text import BenchReporter

        BenchReporter(stream, no_color=no_color, verbose=verbose, quiet=quiet).bench(report, code)

    outputs.show_report(report, code, places, print_to)
    raise typer.Exit(code)


def settings(
    min_face_size: float | None, scale_factor: float | None, thresholds: str | None
) -> dict[str, Any]:
    """Return the cascade's settings that differ from the usual.

    Raises:
        UsageError: a value that the cascade could not work with.
    """
    found: dict[str, Any] = {}
    if min_face_size is not None:
        if not (math.isfinite(min_face_size) and min_face_size >= 1):
            raise UsageError(f"--min-face-size {min_face_size:g}: give pixels, at least 1")
        found["min_face_size"] = min_face_size
    if scale_factor is not None:
        if not 0.1 <= scale_factor <= 0.99:
            raise UsageError(
                f"--scale-factor {scale_factor:g}: give a number from 0.1 to 0.99, such as 0.709"
            )
        found["scale_factor"] = scale_factor
    if thresholds is not None:
        found["thresholds"] = _thresholds(thresholds)
    return found


def _thresholds(text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 3 or not all(0 <= value <= 1 for value in values):
        raise UsageError(
            f"--thresholds {text}: give three numbers from 0 to 1 for P-Net, R-Net and O-Net, "
            "such as 0.6,0.7,0.7"
        )
    return values


def _device(name: str) -> str:
    if not name.strip():
        raise UsageError("--device is empty; give cpu, cuda:0, mps or what the backend calls it")
    return name.strip()


def _budget(given: float | None, bisect: bool) -> float:
    if given is None:
        return DEFAULT_BUDGET_S
    if not bisect:
        raise UsageError("--budget is the time for --bisect; add that, or leave it out")
    if not (math.isfinite(given) and given > 0):
        raise UsageError(f"--budget {given:g}: give a positive number of seconds")
    return given


def _modules(given: Sequence[str]) -> list[str]:
    names = options.split(given)
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"--import-first {name} is no module's name; give one such as cv2")
    return list(dict.fromkeys(names))
