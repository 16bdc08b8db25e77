"""``mtcnn-doctor export``: the reference networks as model files."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK
from mtcnn_doctor.investigate.export import KINDS, ExportRequest
from mtcnn_doctor.investigate.export import export as write_models
from mtcnn_doctor.targets import resolve


class ModelFormat(str, Enum):
    """A format that models are written in."""

    ONNX = "onnx"
    TFLITE = "tflite"
    TORCHSCRIPT = "torchscript"
    SAVEDMODEL = "savedmodel"


def export(
    kind: Annotated[ModelFormat, typer.Argument(metavar="FORMAT", help="Format of the models.")],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder, made where missing.")
    ],
    weights: options.WeightsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    quiet: options.QuietOption = False,
) -> None:
    """Write P-Net, R-Net and O-Net as onnx, tflite, torchscript or savedmodel, and try them.

    The files are read again by another process, with what the target has for it, and compared
    with a float64 computation at several sizes and batches.
    """
    own = options.weights(weights)
    limit = options.timeout(timeout)
    from mtcnn_doctor.report import export_text
    from mtcnn_doctor.report.progress import Progress

    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        result = write_models(
            ExportRequest(
                target=resolve(python, kernel),
                kind=KINDS[kind.value],
                folder=folder.absolute(),
                weights=own,
                force=force,
                timeout_s=limit,
                listener=progress.hear,
            )
        )
    if format is options.Format.JSON:
        options.write(export_text.render(result), None)
    else:
        options.present(lambda stream: export_text.print_to(stream, result), None)
    good = result["state"] in ("verified", "not-verified")
    raise typer.Exit(EXIT_OK if good else EXIT_FINDINGS)
