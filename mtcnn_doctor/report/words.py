"""Words that several formats of a report use."""

from __future__ import annotations

from mtcnn_doctor.model import Remedy, Report, Severity, Verdict

_HERE = {
    Verdict.FAIL: "MTCNN will not work here as it is",
    Verdict.WARN: "it works, with something to look at",
    Verdict.PASS: "nothing is wrong",
}
_INPUT = {**_HERE, Verdict.FAIL: "something is wrong with what goes in"}
_DECLARED = {**_HERE, Verdict.FAIL: "these releases do not go together"}


def meaning(report: Report) -> str:
    """Return what the verdict of a report means, in a few words."""
    if "inspected" in report.facts:
        return _INPUT[report.verdict]
    if "declared" in report.facts:
        return _DECLARED[report.verdict]
    return _HERE[report.verdict]


def runs_belong(report: Report) -> bool:
    """Whether the lack of runs is worth telling: who looks at images or weights expects none."""
    return not ({"inspected", "weights"} & set(report.facts))


def steps(remedy: Remedy) -> list[str]:
    """Return the commands of a remedy as lines of a shell; of alternatives one is enough."""
    if not remedy.alternatives:
        return list(remedy.commands)
    return [line for command in remedy.commands for line in ("# or", command)][1:]


def counted(report: Report) -> str:
    """Return how many errors and warnings there are."""
    errors = sum(finding.severity is Severity.ERROR for finding in report.findings)
    warnings = sum(finding.severity is Severity.WARNING for finding in report.findings)
    return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
