"""Where a report goes, and in which of its formats: one to stdout, or one for each ``--output``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import IO, Annotated

import typer

from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Report


class ReportFormat(str, Enum):
    """Format of a report; those of :mod:`mtcnn_doctor.report.formats`, and text."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"
    PROMETHEUS = "prometheus"


#: What the end of a file's name says of its format. ``github`` goes to a log, never to a file.
ENDINGS = {
    ".txt": ReportFormat.TEXT,
    ".log": ReportFormat.TEXT,
    ".json": ReportFormat.JSON,
    ".md": ReportFormat.MARKDOWN,
    ".markdown": ReportFormat.MARKDOWN,
    ".html": ReportFormat.HTML,
    ".htm": ReportFormat.HTML,
    ".xml": ReportFormat.JUNIT,
    ".sarif": ReportFormat.SARIF,
    ".prom": ReportFormat.PROMETHEUS,
}

ReportFormatOption = Annotated[
    ReportFormat | None,
    typer.Option(
        "--format", help="Format of the report (default: text, or what the file's ending says)."
    ),
]
OutputsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the report to a file; repeatable (.json .md .html .xml .sarif .prom .txt).",
    ),
]


def check_outputs(outputs: Sequence[Path] | None) -> list[Path]:
    """Fail before the work rather than after it when a report cannot be written.

    Raises:
        UsageError: as of :func:`options.check_output`, or two reports would go to one file.
    """
    seen: set[str] = set()
    for path in outputs or ():
        options.check_output(path)
        real = os.path.realpath(path)
        if real in seen and not (path.exists() and not path.is_file()):
            raise UsageError(f"--output {path} is given twice; name each file once")
        seen.add(real)
    return list(outputs or ())


def format_of(path: Path, given: ReportFormat | None, alone: bool) -> ReportFormat:
    """Return the format that a file is written in.

    ``--format`` decides for a file that is alone; of several, the endings do, and it counts for
    those whose ending says nothing.
    """
    by_ending = ENDINGS.get(path.suffix.lower())
    if alone and given is not None:
        return given
    return by_ending or given or ReportFormat.TEXT


def show_report(
    report: Report,
    exit_code: int,
    format: ReportFormat | None,
    outputs: Sequence[Path],
    print_to: Callable[[IO[str]], None],
    *,
    fail_on: str = "error",
) -> None:
    """Write a report to stdout, or to each of the files; one that fails does not stop the others.

    Args:
        report: The report.
        exit_code: What the command ends with.
        format: What ``--format`` said.
        outputs: The files; none for stdout.
        print_to: The command's own reporter, for text.
        fail_on: Lowest severity that counts as a failure.

    Raises:
        UsageError: a file could not be written; its report went to stdout.
    """
    if not outputs:
        _write(report, exit_code, format or ReportFormat.TEXT, None, print_to, fail_on)
        return
    failed: UsageError | None = None
    for path in outputs:
        chosen = format_of(path, format, len(outputs) == 1)
        try:
            _write(report, exit_code, chosen, path, print_to, fail_on)
        except UsageError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _write(
    report: Report,
    exit_code: int,
    format: ReportFormat,
    output: Path | None,
    print_to: Callable[[IO[str]], None],
    fail_on: str,
) -> None:
    if format is ReportFormat.TEXT:
        options.present(print_to, output)
        return
    # Imported here: most runs print text, and need none of it.
    from mtcnn_doctor.report.formats import render

    options.write(render(format.value, report, exit_code, fail_on), output)
