"""Two reports on one target, before and after: what is gone, what is new, and is it worse."""

from __future__ import annotations

from dataclasses import dataclass

from mtcnn_doctor.investigate.fix_plan import name_of
from mtcnn_doctor.model import Finding, Outcome, Report, Severity


@dataclass(frozen=True)
class Comparison:
    """What a change of the target did to its findings and runs.

    ``worse`` says in words what makes the second report the worse one; empty where nothing does.
    ``runs`` are those that ended differently: name, before, after.
    """

    gone: tuple[str, ...]
    remaining: tuple[str, ...]
    new: tuple[str, ...]
    runs: tuple[tuple[str, str, str], ...]
    worse: tuple[str, ...]


def compare(before: Report, after: Report) -> Comparison:
    """Compare two reports on one target."""
    first, second = _problems(before), _problems(after)
    untold = {name for name, finding in first.items() if _is_untold(name, finding, after)}
    outcomes = {run.name: run.outcome for run in before.runs}
    later = {run.name: run.outcome for run in after.runs}
    changed = [
        (name, outcomes.get(name), later.get(name))
        for name in dict.fromkeys([*outcomes, *later])
        if outcomes.get(name) is not later.get(name)
    ]
    worse = [
        f"{name} ran before, and now: {_word(now)}"
        for name, was, now in changed
        if was is Outcome.OK
    ]
    worse += [
        f"new error {name}: {finding.title}"
        for name, finding in second.items()
        if finding.severity is Severity.ERROR and not _was_there(name, finding, before, outcomes)
    ]
    return Comparison(
        gone=tuple(name for name in first if name not in second and name not in untold),
        remaining=tuple(name for name in first if name in second or name in untold),
        new=tuple(name for name in second if name not in first),
        runs=tuple((name, _word(was), _word(now)) for name, was, now in changed),
        worse=tuple(worse),
    )


def _word(outcome: Outcome | None) -> str:
    return "not run" if outcome is None else outcome.value


def _problems(report: Report) -> dict[str, Finding]:
    return {name_of(finding): finding for finding in report.findings if finding.is_problem}


def _is_untold(name: str, finding: Finding, after: Report) -> bool:
    """Whether nothing can be said of a finding any more: hidden by another, or without facts."""
    return any(
        later.severity is Severity.SKIP
        and (name_of(later) == name or (later.id == finding.id and not later.about))
        for later in after.findings
    )


def _was_there(name: str, finding: Finding, before: Report, outcomes: dict[str, Outcome]) -> bool:
    """Whether an error was one before, or hidden behind another that is mended now."""
    if finding.id.startswith(("backend-", "subject-", "import-failure")):
        # What could not even be loaded, or crashed, can fail in other ways once it can.
        return outcomes.get(finding.about) not in (Outcome.OK, None)
    for earlier in before.findings:
        if earlier.severity is Severity.SKIP and earlier.id == finding.id and not earlier.about:
            return True  # nothing could be said about it
        if name_of(earlier) == name:
            hidden = earlier.severity is Severity.SKIP and bool(earlier.requires)
            if earlier.severity is Severity.ERROR or hidden:
                return True
    return False
