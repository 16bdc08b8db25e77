"""``mtcnn-doctor bench``: find crashes and measure, one backend at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options
from mtcnn_doctor.cli.check import exit_code
from mtcnn_doctor.investigate.bench import BenchRequest
from mtcnn_doctor.investigate.bench import bench as measure
from mtcnn_doctor.targets import resolve


def bench(
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME", help="Backend to measure; repeatable, or 'all'."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--source", metavar="PATH", help="An image or a folder (default: bundled)."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, max=10000, help="Runs per image.")] = 10,
    warmup: Annotated[
        int, typer.Option("--warmup", min=0, max=1000, help="Runs before these, not counted.")
    ] = 2,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: options.FormatOption = options.Format.TEXT,
    output: options.OutputOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Measure backends: faces, times by stage, memory. A crash gives its certificate."""
    config = configuration.find(Path.cwd())
    options.check_output(output)
    limit = options.timeout(timeout, config.timeout)
    from mtcnn_doctor.report.progress import Progress

    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        report = measure(
            BenchRequest(
                target=resolve(python, kernel),
                checks=registry.load(config.plugins).checks,
                backends=options.backends(backend or config.backends),
                source=source,
                runs=runs,
                warmup=warmup,
                timeout_s=limit,
                command=["mtcnn-doctor", *sys.argv[1:]],
                listener=progress.hear,
            )
        )
    code = exit_code(report, "error")
    if format is options.Format.JSON:
        from mtcnn_doctor.report import json_report

        options.write(json_report.render(report), output)
    else:
        from mtcnn_doctor.report.bench_text import BenchReporter

        def print_to(stream: IO[str]) -> None:
            BenchReporter(stream, no_color=no_color, verbose=verbose, quiet=quiet).bench(
                report, code
            )

        options.present(print_to, output)
    raise typer.Exit(code)
