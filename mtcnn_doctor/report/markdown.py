"""A report as Markdown to paste into an issue: the findings open, the rest folded away."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Finding, Outcome, Report, Run, Severity
from mtcnn_doctor.registry import FAMILIES
from mtcnn_doctor.report.changes_text import heading, shown
from mtcnn_doctor.report.markup import details, fenced, plain, printable, rows
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.report.summary import values
from mtcnn_doctor.report.words import counted, meaning, runs_belong, steps

#: What GitHub takes of one comment, in characters.
LIMIT = 65_536
_MARKS = {"error": "❌", "warning": "⚠️", "info": "ℹ️"}
_STDERR_LINES = 40


def render(report: Report, exit_code: int, fail_on: str) -> str:
    """Return the report; the last folds give way where it would be longer than :data:`LIMIT`."""
    clean = Redactor().report(report)
    head = "\n".join(_head(clean, exit_code))
    left = LIMIT - 200 - len(head)
    kept, cut = [], []
    for title, lines in _folds(clean):
        text = "\n".join(details(title, lines))
        if len(text) <= left:
            kept.append(text)
            left -= len(text) + 1
        else:
            cut.append(title)
    if cut:
        kept.append(f"Left out, because a comment holds {LIMIT} characters: {', '.join(cut)}.\n")
    return "\n".join([head[: LIMIT - 200], *kept])


def _head(report: Report, exit_code: int) -> list[str]:
    target = report.target
    made = any(run.outcome is not Outcome.NOT_INSTALLED for run in report.runs)
    keys = ("implementation", "version", "platform", "machine", "python")
    lines = [f"## mtcnn-doctor: {report.verdict.value}, {meaning(report)}", ""]
    lines += rows(
        [
            ("target", " ".join(str(target[key]) for key in keys if target.get(key))),
            ("result", f"{counted(report)}, exit code {exit_code}"),
            ("command", shlex.join(report.command)),
            ("made", f"{report.created} by mtcnn-doctor {__version__}"),
            ("runs", "" if made or not runs_belong(report) else "nothing was run for this report"),
            *(("incomplete", reason) for reason in report.incomplete),
        ]
    )
    lines += _changes(report)
    for finding in report.findings:
        if finding.is_problem:
            lines += _finding(finding)
    return lines


def _changes(report: Report) -> list[str]:
    if report.changes is None:
        return []
    texts, more = shown(report.changes)
    told = [*texts, *([f"and {more} more"] if more else [])]
    return [f"**{plain(heading(report.changes))}**", "", *rows(("", text) for text in told)]


def _finding(finding: Finding) -> list[str]:
    mark = _MARKS[finding.severity.value]
    lines = [f"### {mark} `{finding.id}` {plain(finding.title)}", ""]
    remedy = finding.remedy
    lines += _evidence(finding.evidence)
    lines += rows(
        [
            ("effect", finding.effect),
            ("cause", finding.cause),
            ("fix", "" if remedy is None else remedy.text),
        ]
    )
    if remedy is not None and remedy.commands:
        lines += fenced("\n".join(steps(remedy)), "sh")
    return lines


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    for key, value in evidence.items():
        if isinstance(value, (list, tuple)) and len(value) > 1:
            yield f"- **{plain(str(key))}**:"
            yield from (f"  - {plain(str(item))}" for item in value)
        else:
            one = value[0] if isinstance(value, (list, tuple)) and value else value
            yield f"- **{plain(str(key))}**: {plain(str(one))}"


def _folds(report: Report) -> Iterator[tuple[str, list[str]]]:
    made = [run for run in report.runs if run.outcome is not Outcome.NOT_INSTALLED]
    yield "Runs", _runs(made)
    for run in made:
        if run.failed:
            yield f"{run.name}: traceback and stderr", _traces(run)
    lines = [(family, " · ".join(values(family, report))) for family in FAMILIES]
    yield "The machine in a few lines", rows(lines)
    notes = [f for f in report.findings if f.severity is Severity.INFO]
    yield "Worth knowing", rows((f"`{note.id}`", note.title) for note in notes)
    yield "Installed packages", _packages(report.facts)
    variables = (report.facts.get("environment") or {}).get("variables") or {}
    yield (
        "Environment variables",
        fenced("\n".join(f"{k}={v}" for k, v in variables.items())) if (variables) else [],
    )


def _runs(runs: list[Run]) -> list[str]:
    if not runs:
        return []
    lines = ["| | version | device | outcome | median | peak memory | faces |", "|" + "---|" * 7]
    for run in runs:
        median = run.timings_ms.get("median")
        cells = [
            run.name,
            run.version or "",
            run.device,
            f"{run.outcome.value} {run.signal or ''}".strip(),
            "" if median is None else f"{median:.0f} ms",
            "" if run.peak_rss_mb is None else f"{run.peak_rss_mb:.0f} MiB",
            "" if run.failed else str(len(run.detections)),
        ]
        lines.append("| " + " | ".join(plain(cell) for cell in cells) + " |")
    return [*lines, ""]


def _traces(run: Run) -> list[str]:
    frames = [f"{row['file']}:{row['line']} {row['function']}" for row in run.python_traceback]
    lines = fenced("\n".join(frames)) if frames else []
    tail = run.stderr_tail.splitlines()[-_STDERR_LINES:]
    return lines + (fenced(printable("\n".join(tail))) if tail else [])


def _packages(facts: Mapping[str, Any]) -> list[str]:
    found = (facts.get("packages") or {}).get("distributions") or ()
    names = sorted(f"{one.get('key')}=={one.get('version')}" for one in found)
    return fenced("\n".join(names)) if names else []
