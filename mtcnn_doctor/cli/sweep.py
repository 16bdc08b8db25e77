"""``mtcnn-doctor sweep``: what a parameter, or the image, does to the faces that are found."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor.cli import options
from mtcnn_doctor.cli.bench import settings
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from mtcnn_doctor.investigate.sweep import PARAMETERS, SweepRequest, values_of
from mtcnn_doctor.investigate.sweep import sweep as run_sweep
from mtcnn_doctor.targets import resolve


class Varied(str, Enum):
    """What can be varied."""

    MIN_FACE_SIZE = "min-face-size"
    SCALE_FACTOR = "scale-factor"
    THRESHOLD_PNET = "threshold-pnet"
    THRESHOLD_RNET = "threshold-rnet"
    THRESHOLD_ONET = "threshold-onet"
    IMAGE_SCALE = "image-scale"
    BRIGHTNESS = "brightness"
    BLUR = "blur"
    JPEG_QUALITY = "jpeg-quality"


def sweep(
    what: Annotated[Varied, typer.Argument(metavar="PARAMETER", help="What is varied.")],
    image: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    values: Annotated[
        str | None, typer.Option("--values", metavar="A,B,C", help="These values.")
    ] = None,
    start: Annotated[
        float | None, typer.Option("--from", metavar="A", help="The lowest value.")
    ] = None,
    end: Annotated[
        float | None, typer.Option("--to", metavar="B", help="The highest value.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=2, max=200, help="How many from --from to --to.")
    ] = 8,
    min_face_size: options.MinFaceSizeOption = None,
    scale_factor: options.ScaleFactorOption = None,
    thresholds: options.ThresholdsOption = None,
    backend: options.OneBackendOption = None,
    subject: options.OneSubjectOption = None,
    runs: Annotated[int, typer.Option("--runs", min=1, max=100, help="Runs for each time.")] = 5,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw it, too.")
    ] = None,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    output: options.OutputOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Vary a setting or the image over a range: faces, confidence of each, time."""
    config = configuration.find_here()
    options.check_output(output)
    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {plot}: plots are written as SVG; name a file that ends in .svg")
    _check_plot(plot)
    limit = options.timeout(timeout, config.timeout)
    if backend is not None and subject is not None:
        raise UsageError("--backend and --subject are two detectors; leave one of them out")
    parameter = PARAMETERS[what.value]
    chosen = values_of(parameter, _values(values, start, end, steps))
    from mtcnn_doctor.report import sweep_svg, sweep_text
    from mtcnn_doctor.report.progress import Progress

    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        result = run_sweep(
            SweepRequest(
                target=resolve(python, kernel),
                parameter=parameter,
                images=list(dict.fromkeys(options.images(image))),
                values=chosen,
                settings=settings(min_face_size, scale_factor, thresholds),
                backend=backend,
                subject=subject,
                runs=runs,
                timeout_s=limit,
                listener=progress.hear,
            )
        )
    if plot is not None:
        options.write(sweep_svg.draw(result), plot)
    if format is options.Format.JSON:
        options.write(sweep_text.render(result), output)
    else:
        options.present(lambda stream: sweep_text.print_to(stream, result), output)
    raise typer.Exit(EXIT_OK if sweep_text.is_good(result) else EXIT_FINDINGS)


def _check_plot(path: Path | None) -> None:
    try:
        options.check_output(path)
    except UsageError as error:
        raise UsageError(str(error).replace("--output", "--plot", 1)) from error


def _values(text: str | None, start: float | None, end: float | None, steps: int) -> list[float]:
    """Return the values asked for, none where the usual ones will do.

    Raises:
        UsageError: no numbers, or half a range.
    """
    if text is not None:
        if start is not None or end is not None:
            raise UsageError("--values and --from/--to are two ranges; leave one of them out")
        try:
            return [float(word) for word in text.split(",")]
        except ValueError as error:
            raise UsageError(f"--values {text}: give numbers, such as 10,20,40") from error
    if start is None and end is None:
        return []
    if start is None or end is None or not start < end:
        raise UsageError("a range needs both ends, the lower one first: --from 10 --to 80")
    return [round(start + (end - start) * step / (steps - 1), 6) for step in range(steps)]
