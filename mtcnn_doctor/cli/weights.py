"""``mtcnn-doctor weights``: what is in weight files, and writing them for another program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options, outputs
from mtcnn_doctor.cli.check import exit_code
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from mtcnn_doctor.investigate.weights import (
    FORMATS,
    MERGED,
    ConvertRequest,
    WeightsRequest,
)
from mtcnn_doctor.investigate.weights import convert as write_weights
from mtcnn_doctor.investigate.weights import diff as compare_weights
from mtcnn_doctor.investigate.weights import inspect as inspect_weights
from mtcnn_doctor.model import Report
from mtcnn_doctor.targets import resolve

WeightFormat = Enum("WeightFormat", {name: name for name in FORMATS}, type=str)  # type: ignore[misc]
MergedFormat = Enum("MergedFormat", {name: name for name in MERGED}, type=str)  # type: ignore[misc]

FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Weight files.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
RepairOption = Annotated[
    bool,
    typer.Option("--repair", help="Turn kernels that are not oriented as their format demands."),
]


def inspect(
    files: FilesArgument,
    tried: Annotated[
        bool,
        typer.Option("--try/--no-try", help="Run networks that differ from the published ones."),
    ] = True,
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
    """Say what weight files hold and what is wrong with them. Nothing in them is run."""
    places = outputs.check_outputs(output, format)
    config = configuration.find_here()
    report = _judged(files, python, kernel, timeout, quiet, tried=tried)
    code = exit_code(report, fail_on.value if fail_on else config.fail_on or "error")
    _show(report, code, places, verbose=verbose, quiet=quiet, no_color=no_color)
    raise typer.Exit(code)


def verify(
    files: FilesArgument,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: outputs.ReportFormatOption = None,
    output: outputs.OutputsOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Exit with 0 only if every network in the files is the published one."""
    places = outputs.check_outputs(output, format)
    report = _judged(files, python, kernel, timeout, quiet, tried=False)
    networks = [
        facts for file in report.facts["weights"] for facts in (file.get("networks") or {}).values()
    ]
    same = bool(networks) and all(facts.get("published") for facts in networks)
    code = exit_code(report, "error") if same else EXIT_FINDINGS
    _show(report, code, places, verbose=verbose, quiet=quiet, no_color=no_color)
    raise typer.Exit(code)


def diff(
    first: Annotated[Path, typer.Argument(metavar="FILE", help="A weight file.")],
    second: Annotated[Path, typer.Argument(metavar="FILE", help="Another, of any format.")],
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    output: options.OutputOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Compare the networks of two files layer by layer; exit code 1 if they differ."""
    options.check_output(output)
    result = _work(
        lambda listener: compare_weights(
            _request([first, second], python, kernel, timeout, listener)
        ),
        timeout,
        quiet,
    )
    from mtcnn_doctor.report import weights_text

    if format is options.Format.JSON:
        options.write(weights_text.render(result), output)
    else:
        options.present(lambda out: weights_text.print_diff(out, result, verbose), output)
    raise typer.Exit(EXIT_OK if result["equal"] else EXIT_FINDINGS)


def convert(
    files: FilesArgument,
    to: Annotated[WeightFormat, typer.Option("--to", help="Program that is to read them.")],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder, made where missing.")
    ],
    repair: RepairOption = False,
    force: ForceOption = False,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    quiet: options.QuietOption = False,
) -> None:
    """Write weights as another program wants them, the numbers bit for bit the same."""
    _write(files, to.value, folder, False, repair, force, python, kernel, timeout, format, quiet)


def merge(
    files: FilesArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The one file.")],
    to: Annotated[
        MergedFormat | None, typer.Option("--to", help="Format (default: by the file's name).")
    ] = None,
    repair: RepairOption = False,
    force: ForceOption = False,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    quiet: options.QuietOption = False,
) -> None:
    """Put P-Net, R-Net and O-Net of several files into one; which is which is found out."""
    kind = to.value if to is not None else "mtcnn-0.1" if output.suffix == ".npy" else "safetensors"
    _write(files, kind, output, True, repair, force, python, kernel, timeout, format, quiet)


def application() -> Any:
    """Return the group of commands."""
    app = typer.Typer(
        help="What is in weight files (.npy, .lz4, .pt, .caffemodel, .onnx, .h5, ...).",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (inspect, verify, diff, convert, merge):
        app.command(command.__name__)(command)
    return app


def _write(
    files: list[Path],
    kind: str,
    destination: Path,
    merged: bool,
    repair: bool,
    force: bool,
    python: str | None,
    kernel: str | None,
    timeout: float | None,
    format: options.Format,
    quiet: bool,
) -> None:
    result = _work(
        lambda listener: write_weights(
            ConvertRequest(
                _request(files, python, kernel, timeout, listener),
                kind,
                destination.absolute(),
                merged,
                force,
                repair,
            )
        ),
        timeout,
        quiet,
    )
    from mtcnn_doctor.report import weights_text

    if format is options.Format.JSON:
        options.write(weights_text.render(result), None)
    elif not quiet:
        options.present(lambda out: weights_text.print_written(out, result), None)


def _judged(
    files: list[Path],
    python: str | None,
    kernel: str | None,
    timeout: float | None,
    quiet: bool,
    *,
    tried: bool,
) -> Report:
    config = configuration.find_here()
    checks = registry.load(config.plugins).checks

    def work(listener: Any) -> Report:
        return inspect_weights(
            _request(files, python, kernel, timeout, listener, checks=checks, tried=tried)
        )

    report: Report = _work(work, timeout, quiet)
    return report


def _work(work: Callable[[Any], Any], timeout: float | None, quiet: bool) -> Any:
    from mtcnn_doctor.report.progress import Progress

    with Progress(sys.stderr, options.timeout(timeout), enabled=not quiet) as progress:
        return work(progress.hear)


def _request(
    files: list[Path],
    python: str | None,
    kernel: str | None,
    timeout: float | None,
    listener: Any,
    **more: Any,
) -> WeightsRequest:
    return WeightsRequest(
        target=resolve(python, kernel),
        files=[_file(path) for path in files],
        timeout_s=options.timeout(timeout),
        command=options.command(),
        listener=listener,
        **more,
    )


def _file(path: Path) -> Path:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name the weight files in it")
    if not path.exists():
        raise UsageError(f"no file {path}; name a weight file")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file; name a weight file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} cannot be read; check its permissions")
    return path.absolute()


def _show(
    report: Report,
    code: int,
    places: list[outputs.Output],
    *,
    verbose: bool,
    quiet: bool,
    no_color: bool,
) -> None:
    def print_to(stream: IO[str]) -> None:
        from mtcnn_doctor.report.weights_text import WeightsReporter

        WeightsReporter(stream, no_color=no_color, verbose=verbose, quiet=quiet).weights(
            report, code
        )

    outputs.show_report(report, code, places, print_to)
