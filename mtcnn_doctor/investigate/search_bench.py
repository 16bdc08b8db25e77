"""``bench --repeat`` and ``--bisect``: what is added to a measurement's report."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mtcnn_doctor.backends import Backend, known
from mtcnn_doctor.collect.choice import is_present, ready
from mtcnn_doctor.collect.request import Request
from mtcnn_doctor.collect.trial import Change, Laboratory, Manner, OutOfTime, Trial
from mtcnn_doctor.examine import KillingChildren, judge_facts
from mtcnn_doctor.investigate import flaky
from mtcnn_doctor.investigate.fault import fault_of
from mtcnn_doctor.investigate.search import Attempt, Runner, Search
from mtcnn_doctor.knowledge.mitigations import (
    Circumstances,
    Mitigation,
    Provocation,
    candidates,
    curable,
    provocations,
)
from mtcnn_doctor.model import Exhibit, Outcome, Report, Run
from mtcnn_doctor.runs import run_to_dict

DEFAULT_BUDGET_S = 300.0
#: Where a backend hangs, each phase of a trial gets so many times what phases took that ended.
_PATIENCE = 10
_LEAST_LIMIT_S = 10.0
#: Runs without the other import that must work before that import is blamed.
_CONTROLS = 3
#: An import that hangs says nothing of how long it would have taken.
_IMPORT_LIMIT_S = 30.0
_SEARCHABLE = (
    Outcome.CRASH, Outcome.TIMEOUT, Outcome.ERROR, Outcome.OUT_OF_MEMORY, Outcome.WRONG_RESULT,
)  # fmt: skip


@dataclass(frozen=True)
class SearchRequest:
    """What is wanted beyond the measurement. ``repeat``: fresh processes a backend."""

    bisect: bool = False
    repeat: int | None = None
    budget_s: float = DEFAULT_BUDGET_S


@dataclass
class _Work:
    """One search over all backends of a report: what it needs, and what it found so far."""

    request: Request
    wanted: SearchRequest
    report: Report
    laboratory: Laboratory
    until: float
    repeats: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    further: list[Run] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Tell the person who waits."""
        if self.request.listener is not None:
            if self.wanted.bisect and not text.startswith(" "):
                text += f" ({max(0.0, self.until - time.monotonic()):.0f} s left)"
            self.request.listener("search", {"t": "note", "text": text})

    def remember(self, run: Run, note: str, options: tuple[str, ...] = ()) -> None:
        """Remember a failed run as evidence, where its fault was not seen before."""
        faults = [(other.name, fault_of(other)) for other in (*self.report.runs, *self.further)]
        if (run.name, fault_of(run)) not in faults:
            exhibit = replace(run.exhibit or Exhibit(), note=note, options=options)
            self.further.append(replace(run, exhibit=exhibit))

    @property
    def packages(self) -> Mapping[str, Any]:
        """What is installed in the target."""
        found: Mapping[str, Any] = self.report.facts.get("packages") or {}
        return found

    def backend(self, run: Run) -> Backend:
        """Return the backend of a run, with the module that it imports."""
        backend = known(self.packages)[run.name]
        return ready(backend, self.packages)[0] or backend


def searched(report: Report, request: Request, wanted: SearchRequest) -> Report:
    """Return the report with what repeating and searching found.

    Interrupted (Ctrl-C) it ends every child and returns what is known so far.

    Raises:
        UsageError: the footage gave no picture this time.
    """
    began = time.monotonic()
    interrupted = False
    work = _Work(
        request, wanted, report, Laboratory(request, report.facts), began + wanted.budget_s
    )
    try:
        with KillingChildren(), work.laboratory:
            _all_backends(work)
    except KeyboardInterrupt:
        interrupted = True
    spent = time.monotonic() - began
    search = {
        "budget_s": wanted.budget_s,
        "spent_s": round(spent, 1),
        "interrupted": interrupted,
        "repeats": work.repeats,
        "backends": work.searches,
    }
    document = {
        "facts": {**report.facts, "search": search},
        "runs": [run_to_dict(run) for run in report.runs],
    }
    judged = judge_facts(
        document,
        request.checks,
        expect_gpu=request.expect_gpu,
        command=request.command,
        plugin_failures=request.plugin_failures,
    )
    return replace(
        report,
        findings=judged.findings,
        search=search,
        further=tuple(work.further),
        duration_s=report.duration_s + spent,
    )


def _all_backends(work: _Work) -> None:
    for run in work.report.runs:
        if run.kind != "backend" or run.outcome is Outcome.NOT_INSTALLED:
            continue
        loads = run.outcome is not Outcome.NOT_LOADABLE or _searchable(run)
        seen = _repeat(work, run) if work.wanted.repeat and loads else None
        if not work.wanted.bisect:
            continue
        if _searchable(run) or (seen is not None and seen.failed):
            before = work.request.tuning.before
            _search(work, run, before, seen if seen is not None and seen.failed else None)
        elif run.outcome is Outcome.OK:
            _provoke(work, run)
        else:
            # Most import errors name what is missing, which no change of the process brings.
            work.searches.append(_without_search(run, "not-searched", run.outcome.value))


def _searchable(run: Run, module: str | None = None) -> bool:
    """Whether a fault is of a kind that a change in the process may cure.

    With ``module`` an import error counts only where it is that module's.
    """
    if run.outcome is not Outcome.NOT_LOADABLE:
        return run.outcome in _SEARCHABLE
    return run.error is not None and curable(_said(run)) and module in (None, run.step)


def _said(run: Run) -> str:
    error = run.error or {}
    return f"{error.get('type')}: {error.get('message')}"


# -- how often ---------------------------------------------------------------------------------


def _repeat(work: _Work, run: Run) -> Attempt:
    """Run a backend in as many fresh processes as were asked for."""
    attempt = Attempt(())
    asked = work.wanted.repeat or 0
    # Without a search the number is the limit, not the time.
    until = work.until if work.wanted.bisect else math.inf
    runner = _runner(work, run, work.request.tuning.before, until)
    manner = Manner(lanes=work.request.tuning.lanes)
    try:
        for number in range(1, asked + 1):
            so_far = f", {attempt.failed} failed so far" if number > 1 else ""
            work.note(f"{run.name}: fresh process {number} of {asked}{so_far}")
            ended = runner((), manner).run
            attempt.faults.append(fault_of(ended))
            if ended.failed:
                work.remember(ended, f"in fresh process {number} of {asked}")
    except OutOfTime:
        pass  # the number of runs tells
    finally:
        work.repeats.append({"backend": run.name, "asked": asked, **_tally(attempt)})
    return attempt


def _tally(attempt: Attempt) -> dict[str, Any]:
    distinct = dict.fromkeys(fault for fault in attempt.faults if fault is not None)
    return {
        **_counted(attempt),
        "faults": [
            {**fault.to_data(), "said": fault.describe(), "count": attempt.faults.count(fault)}
            for fault in distinct
        ],
    }


def _counted(attempt: Attempt) -> dict[str, Any]:
    low, high = flaky.wilson(attempt.failed, attempt.runs)
    return {
        "runs": attempt.runs,
        "failed": attempt.failed,
        "interval": [round(low, 4), round(high, 4)],
    }


# -- which change ------------------------------------------------------------------------------


def _search(
    work: _Work,
    run: Run,
    before: tuple[str, ...],
    seen: Attempt | None = None,
    provocation: Provocation | None = None,
    failed: Run | None = None,
    alone: Attempt | None = None,
) -> None:
    """Search for what cures a backend that failed; what was found goes into ``work``.

    ``failed`` is the run that did, where it is not ``run``; ``alone`` are runs that show that it
    works without the provocation.
    """
    tuning = work.request.tuning
    lanes = Manner(lanes=tuning.lanes)
    measured = Manner(tuning.lanes, work.request.runs or 1, work.request.warmup)
    manners = [Manner(image=_failing_image(work, run)), Manner(), lanes, measured]
    if provocation is not None:
        manners = manners[1:]
    if seen is not None:
        manners = [lanes]
    search = Search(
        _runner(work, run, before, work.until),
        candidates(_circumstances(work, failed or _failure(work, run), before)),
        list(dict.fromkeys(manners)),
        seen=seen,
        repeat=work.wanted.repeat,
        note=lambda text: work.note(text if text.startswith(" ") else f"{run.name}: {text}"),
    )
    try:
        search.go()
    finally:
        work.searches.append(
            {
                "backend": run.name,
                "provoked_by": None if provocation is None else provocation.id,
                "imported_before": list(before),
                **({} if alone is None else {"alone": _counted(alone)}),
                "limit_s": _limit_s(work, run),
                "manner": asdict(search.manner),
                **_filled(search.to_data(), work.backend(run).module),
            }
        )


def _failure(work: _Work, run: Run) -> Run:
    """Return the run that tells most of a fault: where the measurement worked, a repeated one."""
    if run.failed:
        return run
    return next((other for other in work.further if other.name == run.name), run)


def _failing_image(work: _Work, run: Run) -> str | None:
    """Return the image on which a run failed, None where that is not known."""
    for image in (run.agreement or {}).get("disagreeing") or ():
        return str(image["image"])
    done = {image["image"] for image in run.images}
    left = (name for name in work.laboratory.images() if name not in done)
    return next(left, None)


def _filled(found: dict[str, Any], module: str) -> dict[str, Any]:
    """Put the framework's name into the lines of code of an answer."""
    for change in (found["answer"] or {}).get("changes", ()):
        change["code"] = change["code"].replace("{module}", module)
    return found


def _provoke(work: _Work, run: Run) -> None:
    """Do what programs do beside using a backend that works; search where that makes it fail."""
    modules = work.packages.get("modules") or {}
    backend = work.backend(run)
    before = work.request.tuning.before
    alone = Attempt(())
    tried = []
    for row in provocations():
        others = [name for name in row.modules if name != backend.module and name not in before]
        if not others or not all(is_present(modules, name) for name in others):
            continue
        named = ", ".join(others)
        try:
            # The measurement had other lanes and other numbers of runs: that it worked says
            # nothing of one run in one lane.
            if not alone.runs and not _works_alone(work, run, alone, 1):
                return
            work.note(f"{run.name}: works; with {named} imported before it")
            trial = _runner(work, run, (*before, *others), work.until)((), Manner())
            tried.append(row.id)
            # What cannot be imported beside it is another package's fault, told by `check`.
            if not _searchable(trial.run, backend.module):
                continue
            if not _works_alone(work, run, alone, _CONTROLS):
                return
        except OutOfTime:
            break
        options = tuple(word for name in others for word in ("--import-first", name))
        work.remember(trial.run, f"after an import of {named}; it works alone", options)
        _search(work, run, (*before, *others), None, row, trial.run, alone)
        return
    work.searches.append({**_without_search(run, "no-fault", ""), "provocations": tried})


def _works_alone(work: _Work, run: Run, alone: Attempt, runs: int) -> bool:
    """Run a backend as it is provoked, only without that; search at once where it fails.

    Raises:
        OutOfTime: there was no time for so many runs.
    """
    before = work.request.tuning.before
    runner = _runner(work, run, before, work.until)
    while alone.runs < runs:
        work.note(f"{run.name}: works; once more alone, in one lane")
        ended = runner((), Manner()).run
        alone.faults.append(fault_of(ended))
        if ended.failed:
            work.remember(ended, "alone, one run an image in one lane; the measurement worked")
            _search(work, run, before, failed=ended)
            return False
    return True


def _without_search(run: Run, verdict: str, said: str) -> dict[str, Any]:
    return {"backend": run.name, "verdict": verdict, "provoked_by": None, "said": said}


def _circumstances(work: _Work, run: Run, before: Sequence[str]) -> Circumstances:
    target = work.request.target
    present = work.packages.get("modules") or {}
    return Circumstances(
        backend=run.name,
        module=work.backend(run).module,
        platform=str((work.report.facts.get("python") or {}).get("platform") or sys.platform),
        device=work.request.tuning.device,
        modules=frozenset(name for name in present if is_present(present, name)),
        environment={**os.environ, **target.environment},
        before=tuple(before),
        said=_said(run),
        frames=_foreign_files(run),
    )


def _foreign_files(run: Run) -> tuple[str, ...]:
    """Return the files of the frames of a fault, without those that are ours in any case."""
    files = (str(frame.get("file") or "") for frame in run.python_traceback)
    return tuple(f for f in files if "mtcnn_doctor/target/" not in f.replace("\\", "/"))


def _runner(work: _Work, run: Run, before: Sequence[str], until: float) -> Runner:
    """Return what runs a backend once under changes."""
    backend, limit_s = work.backend(run), _limit_s(work, run)

    def once(changes: Sequence[Mitigation], manner: Manner) -> Trial:
        return work.laboratory.run(backend, merged(changes, before), manner, limit_s, until)

    return once


def merged(changes: Sequence[Mitigation], before: Sequence[str] = ()) -> Change:
    """Return several changes as one; they do not contradict each other."""
    variables: dict[str, str] = {}
    removed: list[str] = []
    orders: dict[str, Any] = {}
    for row in changes:
        variables.update(row.set)
        removed += row.remove
        orders.update(row.orders)
    orders["import_first"] = [*orders.get("import_first", ()), *before]
    return Change(variables, tuple(removed), orders)


def _limit_s(work: _Work, run: Run) -> float:
    """Return the limit of each phase of a trial: shorter than the user's where it would hang."""
    limit = work.request.timeout_s
    if run.outcome is not Outcome.TIMEOUT:
        return limit
    times = [run.timings_ms.get(name) for name in ("import", "build", "first")]
    known_s = max((time for time in times if time is not None), default=0.0) / 1000
    least = _IMPORT_LIMIT_S if run.stage in ("start", "import") else _LEAST_LIMIT_S
    return min(limit, max(least, _PATIENCE * known_s))
