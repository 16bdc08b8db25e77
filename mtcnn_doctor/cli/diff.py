"""``mtcnn-doctor diff``: why does it work there and not here?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options
from mtcnn_doctor.cli.check import recorded
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from mtcnn_doctor.examine import judge_facts
from mtcnn_doctor.history.diff import diff as compare


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A JSON report, or a facts file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another, of any machine.")],
    format: options.FormatOption = options.Format.TEXT,
    output: options.OutputOption = None,
    verbose: options.VerboseOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Compare two reports: findings, runs, and the packages and settings that can explain them.

    Exit code 0: no difference that matters. 1: there is one. 2: a file that cannot be read.
    """
    options.check_output(output)
    result = compare(_report(first), _report(second), (str(first), str(second)))
    if format is options.Format.JSON:
        from mtcnn_doctor.report.redact import Redactor

        data = Redactor().data(result)
        options.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n", output)
    else:

        def print_to(stream: IO[str]) -> None:
            from mtcnn_doctor.report import diff_text

            diff_text.print_to(stream, result, verbose=verbose, no_color=no_color)

        options.present(print_to, output)
    raise typer.Exit(EXIT_OK if result["same"] else EXIT_FINDINGS)


def _refuse_a_damaged(document: dict[str, Any], path: Path) -> None:
    """Refuse a report that lacks what is compared.

    Raises:
        UsageError: it does, as no report does that was written by the doctor.
    """
    tables = {"findings": ("id", "about", "severity", "title"), "runs": ("name", "outcome")}
    sound = isinstance(document["target"], dict)
    for name, keys in tables.items():
        rows = document[name]
        sound = sound and isinstance(rows, list)
        sound = sound and all(isinstance(row, dict) and {*keys} <= {*row} for row in rows)
        sound = sound and all(isinstance(row[keys[0]], str) for row in rows)
    if not sound:
        raise UsageError(
            f"{path} is a damaged report; make it afresh with check --format json --output FILE"
        )


def _report(path: Path) -> dict[str, Any]:
    """Return a report; bare facts are judged first."""
    from mtcnn_doctor.report import json_report

    document = recorded(path, "")
    if all(key in document for key in ("findings", "runs", "target", "verdict", "created")):
        _refuse_a_damaged(document, path)
        return document
    checks = registry.load(configuration.find_here().plugins).checks
    chosen = [check for check in checks if "declared" not in registry.parameters(check)[0]]
    report = judge_facts(
        document, chosen, expect_gpu=False, command=options.command(), plugin_failures=()
    )
    return json_report.to_data(report)
