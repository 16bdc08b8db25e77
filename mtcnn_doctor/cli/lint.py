"""``mtcnn-doctor lint``: what in this code will go wrong with MTCNN?"""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from mtcnn_doctor.cli import options, outputs
from mtcnn_doctor.collect.metadata import ask_metadata
from mtcnn_doctor.collect.request import Collected, Request
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE, UsageError
from mtcnn_doctor.report.formats import ReportFormat
from mtcnn_doctor.targets import resolve

if TYPE_CHECKING:
    from mtcnn_doctor.lint import Problem, Rule, Unit


#: What problems of code can be written as; the others are about runs.
_FORMATS = (
    ReportFormat.TEXT,
    ReportFormat.JSON,
    ReportFormat.JUNIT,
    ReportFormat.SARIF,
    ReportFormat.GITHUB,
)


class Threshold(str, Enum):
    """Lowest severity that makes the exit code 1."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


def lint(
    what: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER|NOTEBOOK...", help="Python, or .ipynb.")
    ],
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="ID", help="Only these ids or patterns.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="ID", help="Not these ids or patterns.")
    ] = None,
    fail_on: Annotated[
        Threshold, typer.Option("--fail-on", help="Lowest severity for exit code 1.")
    ] = Threshold.ERROR,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    timeout: options.TimeoutOption = None,
    format: Annotated[
        ReportFormat | None,
        typer.Option(
            "--format",
            metavar="[" + "|".join(_FORMATS) + "]",
            help="Format of the findings (default: by the file's ending, or text).",
        ),
    ] = None,
    output: outputs.OutputsOption = None,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Find in code, without running it, what goes wrong with MTCNN; each with a fix as a diff."""
    # Imported here: the rules are of use to no other command's start.
    from mtcnn_doctor.lint import lint as judge
    from mtcnn_doctor.lint import units_of

    places = outputs.check_outputs(output, format, _FORMATS)
    chosen = _chosen(options.split(select or ()), options.split(ignore or ()))
    # Read first: a wrong path is told before a child is started.
    units, failed = units_of(what, {})
    versions = _versions(python, kernel, options.timeout(timeout)) if _matters(units) else {}
    units = [replace(unit, versions=versions) for unit in units]
    found = [(unit, problem) for unit in units for problem in judge(unit, chosen)]
    order = [one.value for one in Threshold]
    limit = order.index(fail_on.value)
    bad = any(order.index(problem.severity) <= limit for _, problem in found)
    code = EXIT_FINDINGS if bad or (failed and fail_on is not Threshold.ERROR) else EXIT_OK
    if failed.keys() & {str(path) for path in what}:
        code = EXIT_USAGE  # what the user named could not be looked at; the rest is told
    for path, reason in failed.items():
        print(f"not linted: {path}: {reason}", file=sys.stderr)
    _show(units, found, failed, code, fail_on.value, places, quiet=quiet, no_color=no_color)
    raise typer.Exit(code)


def _chosen(select: Sequence[str], ignore: Sequence[str]) -> list[Rule]:
    from mtcnn_doctor.lint import rules

    for pattern in (*select, *ignore):
        if not any(fnmatch.fnmatchcase(rule.id, pattern) for rule in rules()):
            raise UsageError(
                f"no rule fits '{pattern}'; there are {', '.join(rule.id for rule in rules())}"
            )
    return [
        rule
        for rule in rules()
        if (not select or any(fnmatch.fnmatchcase(rule.id, one) for one in select))
        and not any(fnmatch.fnmatchcase(rule.id, one) for one in ignore)
    ]


def _matters(units: Sequence[Unit]) -> bool:
    """Whether any rule could ask for the release of a package."""
    return any("mtcnn" in u.text or "tensorflow" in u.text for u in units)


def _versions(python: str | None, kernel: str | None, limit: float) -> dict[str, str]:
    """Return the releases of what is installed in the target; none where it holds nothing."""
    target = resolve(python, kernel)
    collected = Collected()
    try:
        ask_metadata(Request(target, (), timeout_s=limit), collected)
    except UsageError:
        if python or kernel:
            raise
    packages = collected.facts.get("packages") or {}
    return {
        str(one.get("key")): str(one.get("version")) for one in packages.get("distributions") or ()
    }


def _show(
    units: Sequence[Unit],
    found: Sequence[tuple[Unit, Problem]],
    failed: dict[str, str],
    code: int,
    fail_on: str,
    places: Sequence[outputs.Output],
    *,
    quiet: bool,
    no_color: bool,
) -> None:
    from mtcnn_doctor.lint import rules
    from mtcnn_doctor.report import junit, lint_text, sarif

    def text(format: ReportFormat) -> str:
        if format is ReportFormat.JSON:
            data = lint_text.to_data(units, found, failed)
            return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        if format is ReportFormat.SARIF:
            return sarif.render_lint(found, rules(), failed, code)
        if format is ReportFormat.JUNIT:
            return junit.render_lint(units, found, failed, fail_on)
        return "".join(f"{line}\n" for line in lint_text.commands(found))

    def print_to(stream: IO[str]) -> None:
        lint_text.print_to(stream, units, found, code, quiet=quiet, no_color=no_color)

    outputs.write_all(places, text, print_to)
