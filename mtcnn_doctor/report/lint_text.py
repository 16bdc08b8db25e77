"""What ``lint`` found: as text with diffs, as JSON, as annotations of GitHub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from mtcnn_doctor import __version__
from mtcnn_doctor.lint.edits import diff
from mtcnn_doctor.lint.model import SEVERITIES, Problem, Unit
from mtcnn_doctor.report.github import command
from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

Found = Sequence[tuple[Unit, Problem]]


def print_to(
    stream: IO[str],
    units: Sequence[Unit],
    found: Found,
    exit_code: int,
    *,
    quiet: bool,
    no_color: bool,
) -> None:
    """Write what was found for people."""
    look, redact = Look.of(stream, no_color), Redactor()

    def line(text: str) -> None:
        stream.write(look.fit(redact.text(text)).rstrip() + "\n")

    for unit, problem in found:
        mark = look.mark(problem.severity)
        line(f"{mark} {unit.place(problem.line)}  {problem.rule}  [{problem.severity}]")
        line(f"    {problem.message}")
        if problem.fix:
            line(f"    fix: {problem.fix}")
        for text in diff(unit, problem).splitlines()[2:]:
            line(f"      {text}")
        line("")
    counts = Counter(problem.severity for _, problem in found)
    if not quiet or found:
        told = ", ".join(
            f"{counts[one]} {one}{'' if counts[one] == 1 or one == 'info' else 's'}"
            for one in SEVERITIES
        )
        files = f"{len(units)} file{'' if len(units) == 1 else 's'}"
        line(f"{told} in {files}. Exit {exit_code}.")


def to_data(units: Sequence[Unit], found: Found, failed: Mapping[str, str]) -> dict[str, Any]:
    """Return what was found as plain data."""
    redact = Redactor()
    problems = []
    for unit, problem in found:
        cell, inside = unit.places.get(problem.line, (None, problem.line))
        problems.append(
            {
                "rule": problem.rule,
                "severity": problem.severity,
                "path": unit.path,
                "cell": cell,
                "line": inside,
                "message": problem.message,
                "fix": problem.fix or None,
                "diff": diff(unit, problem) or None,
            }
        )
    data: dict[str, Any] = redact.data(
        {
            "schema_version": 1,
            "tool": {"name": "mtcnn-doctor", "version": __version__},
            "files": [unit.path for unit in units],
            "not_linted": dict(failed),
            "problems": problems,
        }
    )
    return data


def commands(found: Found) -> Iterator[str]:
    """Yield a workflow command of GitHub Actions for each problem."""
    for unit, problem in found:
        place = {"file": unit.path, "line": str(problem.line), "title": problem.rule}
        message = problem.message + (f"; fix: {problem.fix}" if problem.fix else "")
        if problem.line in unit.places:
            cell, inside = unit.places[problem.line]
            place["line"] = "1"  # a line of the JSON would point nowhere
            message = f"cell {cell}, line {inside}: {message}"
        yield command(problem.severity, message, place)
