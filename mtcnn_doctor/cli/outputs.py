"""Where a report goes, and in which of its formats: one to stdout, or one for each ``--output``."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import typer

from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Report
from mtcnn_doctor.report.formats import ReportFormat, endings, render

#: What ``--output`` calls stdout, for who wants the report there as well as in a file.
_STDOUT = "-"

ReportFormatOption = Annotated[
    ReportFormat | None,
    typer.Option("--format", help="Format of the report (default: by the file's ending, or text)."),
]
OutputsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help=f"Write the report to a file ({endings()}), or to stdout (-); repeatable.",
    ),
]


@dataclass(frozen=True)
class Output:
    """One place that the report goes to: a file, or stdout (None); and how."""

    path: Path | None
    format: ReportFormat


def check_outputs(
    given: Sequence[Path] | None,
    format: ReportFormat | None,
    available: Collection[ReportFormat] = tuple(ReportFormat),
) -> list[Output]:
    """Return where the report goes, and fail before the work rather than after it.

    ``--format`` decides for stdout, for a file that is alone, and for files whose ending says
    nothing.

    Args:
        given: The values of ``--output``; none for stdout.
        format: The value of ``--format``.
        available: The formats that the command has.

    Raises:
        UsageError: as of :func:`options.check_output`; two reports would go to one place; nothing
            says which format a file is to have, or the command has no such format.
    """
    found: list[Output] = []
    places: set[str] = set()
    for path in given or (Path(_STDOUT),):
        is_stdout = str(path) == _STDOUT
        place = _STDOUT if is_stdout else os.path.realpath(path)
        if place in places:
            raise UsageError(f"--output {path} is given twice; name each place once")
        places.add(place)
        if not is_stdout:
            options.check_output(path)
        alone = len(given or ()) < 2
        found.append(Output(None if is_stdout else path, _format(path, format, alone)))
    for one in found:
        if one.format not in available:
            where = "" if one.path is None else f"--output {one.path}: "
            names = ", ".join(other.value for other in available)
            raise UsageError(f"{where}this command has no {one.format.value}; it has {names}")
    if format is not None and all(one.format is not format for one in found):
        raise UsageError(
            f"--format {format.value} is for none of the files, whose endings say otherwise; "
            "leave it out"
        )
    return found


def _format(path: Path, given: ReportFormat | None, alone: bool) -> ReportFormat:
    if str(path) == _STDOUT:
        return given or ReportFormat.TEXT
    told = ReportFormat.by_ending(path)
    if given is not None and (alone or told is None):
        return given
    if told is not None:
        return told
    if path.exists() and not path.is_file():
        return ReportFormat.TEXT  # a device or a pipe (/dev/stderr), whose name says nothing
    raise UsageError(
        f"--output {path}: its ending says no format; end it in one of {endings()}, "
        "or give --format as well"
    )


def show_report(
    report: Report,
    exit_code: int,
    outputs: Sequence[Output],
    print_to: Callable[[IO[str]], None],
    *,
    fail_on: str = "error",
) -> None:
    """Write a report to its places; one that fails does not stop the others.

    Args:
        report: The report.
        exit_code: What the command ends with.
        outputs: The places.
        print_to: The command's own reporter, for text.
        fail_on: Lowest severity that counts as a failure.

    Raises:
        UsageError: a file could not be written. Where none could, the report went to stdout.
    """

    def text(format: ReportFormat) -> str:
        return render(format, report, exit_code, fail_on)

    write_all(outputs, text, print_to)


def write_all(
    outputs: Sequence[Output],
    text: Callable[[ReportFormat], str],
    print_to: Callable[[IO[str]], None],
) -> None:
    """Write something to each of its places, as :func:`show_report` does.

    Args:
        outputs: The places.
        text: Returns it in a format that is not text.
        print_to: Prints it as text.
    """
    reasons, unwritten = [], []
    for output in outputs:
        if output.path is None and output.format is ReportFormat.TEXT:
            options.present(print_to, None)  # the terminal may have colours, a file has none
            continue
        is_text = output.format is ReportFormat.TEXT
        told = options.printed(print_to) if is_text else text(output.format)
        try:
            options.put(told, output.path)
        except OSError as error:
            reasons.append(f"--output {output.path} cannot be written: {error.strerror}")
            unwritten.append(told)
    if not reasons:
        return
    if len(unwritten) == len(outputs):
        # It may have taken minutes, and is not lost.
        options.put(unwritten[0], None)
    where = "the report is on stdout" if len(unwritten) == len(outputs) else "the others are there"
    raise UsageError(f"{'; '.join(reasons)}; {where}")
