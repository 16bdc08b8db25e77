"""``mtcnn-doctor inspect``: what is wrong with these images and arrays?"""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import IO, Annotated

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options, outputs
from mtcnn_doctor.cli.check import exit_code
from mtcnn_doctor.errors import EXIT_INTERRUPTED, UsageError
from mtcnn_doctor.examine import Interrupted
from mtcnn_doctor.investigate.inspect import InspectRequest
from mtcnn_doctor.investigate.inspect import inspect as look_at
from mtcnn_doctor.investigate.inspect_source import items_of
from mtcnn_doctor.targets import resolve


class Decoder(str, Enum):
    """A library that decodes image files."""

    CV2 = "cv2"
    PILLOW = "PIL"
    TENSORFLOW = "tensorflow"


def inspect(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, folders, .npy or .npz arrays, videos, a camera's number, rtsp://...",
        ),
    ],
    draw: Annotated[
        Path | None,
        typer.Option(
            "--draw", metavar="OUT.png", help="Draw the faces; a folder for several images."
        ),
    ] = None,
    draw_size: Annotated[
        int | None,
        # For the notebook extension, which keeps the pictures inside the notebook.
        typer.Option("--draw-size", metavar="PIXELS", min=16, hidden=True),
    ] = None,
    frames: Annotated[
        int, typer.Option("--frames", min=1, max=1000, help="Frames of each video or camera.")
    ] = 3,
    decoder: Annotated[
        list[Decoder] | None,
        typer.Option(
            "--decoder", help="Compare only these; repeatable (TensorFlow takes longest)."
        ),
    ] = None,
    subject: options.SubjectOption = None,
    weights: options.WeightsOption = None,
    select: options.SelectOption = None,
    ignore: options.IgnoreOption = None,
    fail_on: options.FailOnOption = None,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: outputs.ReportFormatOption = None,
    output: outputs.OutputsOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Say what is wrong with images and arrays, what each package does with them, and the cure."""
    config = configuration.find_here()
    places = outputs.check_outputs(output, format)
    limit = options.timeout(timeout, config.timeout)
    items = items_of(what, frames)
    _check_draw(draw, len(items), any(item.footage or item.holds_arrays for item in items))
    found = registry.load(config.plugins)
    ignored = options.split([*(ignore or ()), *config.ignore])
    chosen = found.selected(options.split(select or ()), ignored, 3)
    command = options.command()
    for item in items:
        if item.footage is not None:
            command = [item.footage.hide(word) for word in command]
    from mtcnn_doctor.report.inspect_text import InspectReporter
    from mtcnn_doctor.report.progress import Progress

    interrupted = False
    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        request = InspectRequest(
            target=resolve(python, kernel),
            checks=[check for check in chosen if check.family == "input"],
            items=items,
            subjects=options.subjects(subject or (), ("all",)),
            decoders=[one.value for one in decoder or Decoder],
            weights=options.weights(weights),
            draw=None if draw is None else draw.absolute(),
            draw_size=draw_size,
            timeout_s=limit,
            command=command,
            plugin_failures=[] if "plugin-failed" in ignored else list(found.failures),
            listener=progress.hear,
        )
        try:
            report = look_at(request)
        except Interrupted as stop:
            report, interrupted = stop.report, True
    threshold = fail_on.value if fail_on else config.fail_on or "error"
    code = EXIT_INTERRUPTED if interrupted else exit_code(report, threshold)

    def print_to(stream: IO[str]) -> None:
        InspectReporter(stream, no_color=no_color, verbose=verbose, quiet=quiet).inspection(
            report, code
        )

    outputs.show_report(report, code, places, print_to, fail_on=threshold)
    raise typer.Exit(code)


def _check_draw(draw: Path | None, count: int, several: bool) -> None:
    """Fail before the work when the pictures cannot be written.

    Raises:
        UsageError: a folder that is missing or cannot be written to; one file for several images.
    """
    if draw is None:
        return
    if (count > 1 or several) and not draw.is_dir():
        raise UsageError(
            f"--draw {draw}: there may be several images to draw; name a folder that exists"
        )
    folder = draw if draw.is_dir() else draw.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--draw {draw}: its folder does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--draw {draw}: {folder} cannot be written to; name another folder")
    if not draw.is_dir() and draw.suffix.lower() != ".png":
        raise UsageError(f"--draw {draw}: it is written as PNG; give it a name that ends in .png")
