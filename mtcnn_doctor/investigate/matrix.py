"""The reference, and the user's packages, in one environment for each combination of releases."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packaging.version import InvalidVersion, Version

from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import Listener, Request, examine
from mtcnn_doctor.investigate.environments import NOT_INSTALLED, Installer, python_in
from mtcnn_doctor.investigate.fault import fault_of
from mtcnn_doctor.investigate.matrix_bisect import Bisection, search
from mtcnn_doctor.investigate.matrix_cache import Cache, Results
from mtcnn_doctor.investigate.matrix_plan import Combination, Plan
from mtcnn_doctor.investigate.matrix_pythons import Interpreter
from mtcnn_doctor.model import Check, Finding, Outcome, Report, Run, Severity
from mtcnn_doctor.runs import run_to_dict
from mtcnn_doctor.targets import Target

#: What a combination of releases can be at fault for; the machine is the same in all of them.
_FAMILIES = ("interpreter", "packages", "frameworks", "runs", "subjects", "doctor")
#: Of a run, the bulk that no table needs.
_BULK = ("detections", "images", "measurement")

#: A plan or a result, ready for a report.
Data = dict[str, Any]

OK, FAILED, NOT_RUN = "ok", "failed", "not-run"


@dataclass(frozen=True)
class MatrixRequest:
    """What is wanted of each environment.

    ``backends``: those that must be there (none: all that are installed). ``subjects``: packages
    that must be there; others are run where they are installed. ``identity`` is what makes an
    interrupted matrix the same one when it goes on.
    """

    checks: Sequence[Check]
    backends: Sequence[str] = ()
    subjects: Sequence[str] = ()
    bisect: str | None = None
    timeout_s: float = 120.0
    install_timeout_s: float = 1800.0
    keep: bool = False
    fresh: bool = False
    identity: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[str] = ()
    plugin_failures: Sequence[Finding] = ()
    listener: Listener | None = None


@dataclass
class _Work:
    """A matrix being run: what was found is by the key of each exact set of releases."""

    plan: Plan
    request: MatrixRequest
    installer: Installer
    cache: Cache
    results: Results
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    resumed: int = 0

    def note(self, text: str) -> None:
        """Tell the person who waits."""
        if self.request.listener is not None:
            self.request.listener("matrix", {"t": "note", "text": text})


def described(plan: Plan, bisect: str | None) -> Data:
    """Return what a plan comes to as plain data, as ``run`` does with what was found."""
    most = None
    if bisect is not None:
        sizes = [len(row) for _, _, _, row in _groups(plan, bisect)]
        # Both ends, and the halvings between them.
        most = sum(min(size, 2 + max(0, size - 2).bit_length()) for size in sizes)
    return {
        "created": _now(),
        "plan": {**plan.to_data(), "bisect": most},
        "packages": [axis.name for axis in plan.axes],
        "combinations": [_row({}, combination) for combination in plan.combinations],
    }


def run(plan: Plan, request: MatrixRequest, installer: Installer, cache: Cache) -> Data:
    """Make the environments of a plan, examine each, and return the table as plain data.

    Interrupted (Ctrl-C) it returns what is known; called again it goes on from there.

    Raises:
        UsageError: a backend that does not exist; results that cannot be kept.
    """
    results = cache.results(request.identity)
    work = _Work(plan, request, installer, cache, results)
    if request.fresh:
        results.forget()
    for combination in plan.resolved:
        earlier = results.load(combination.key)
        if earlier is not None:
            work.found[combination.key] = {**earlier, "resumed": True}
    work.resumed = len(work.found)
    if work.resumed:
        work.note(
            f"going on where an earlier run stopped: {work.resumed} of {len(plan.resolved)} "
            "are known (--fresh runs them again)"
        )
    bisections: list[dict[str, Any]] = []
    interrupted = False
    try:
        if request.bisect is None:
            for combination in plan.resolved:
                _result(work, combination)
        else:
            _bisect_all(work, request.bisect, bisections)
    except KeyboardInterrupt:
        interrupted = True
    else:
        # Who tries again after a fault of the network gets what was missing, and no more.
        if all(one["state"] != NOT_INSTALLED for one in work.found.values()):
            results.forget()
    return {
        **described(plan, request.bisect),
        "command": list(request.command),
        "backends_requested": list(request.backends),
        "subjects_requested": list(request.subjects),
        "resumed": work.resumed,
        "interrupted": interrupted,
        "combinations": [_row(work.found, combination) for combination in plan.combinations],
        "bisections": bisections,
    }


def _row(found: Mapping[str, Mapping[str, Any]], combination: Combination) -> dict[str, Any]:
    """Return the row of a combination, whether or not it was run."""
    refusal = combination.refusal
    row: dict[str, Any] = {
        "name": combination.name,
        "python": combination.python.version,
        "interpreter": combination.python.path,
        "requested": dict(combination.requested),
        "resolved": {pin.name: pin.version for pin in combination.pins},
        "state": NOT_RUN,
        "reason": None,
        "fault": None,
        "said": None,
        "runs": [],
        "findings": [],
        "incomplete": [],
        "environment": None,
        "at": None,
        "resumed": False,
    }
    if refusal is not None:
        return {**row, "state": refusal.state, "reason": refusal.reason, "said": refusal.said}
    return {**row, **found.get(combination.key, {})}


def _result(work: _Work, combination: Combination) -> dict[str, Any]:
    """Run a combination unless it has been; keep what was found at once."""
    known = work.found.get(combination.key)
    if known is None:
        number, count = len(work.found) + 1, len(work.plan.resolved)
        of = f"{number} of {count}" if work.request.bisect is None else f"run {number}"
        work.note(f"{of}: {combination.name}")
        known = _examined(work, combination)
        known["at"] = _now()
        # What could not be had may be had the next time: only what ran is kept.
        if known["state"] in (OK, FAILED):
            work.results.save(combination.key, known)
        work.found[combination.key] = known
        work.note(f"  {known['state']}" + (f": {known['reason']}" if known["reason"] else ""))
    return known


def _examined(work: _Work, combination: Combination) -> dict[str, Any]:
    """Make the environment, examine it, and remove it again."""
    request = work.request
    environment = work.cache.environment(f"python{combination.python.version}")
    kept = False
    try:
        refusal = work.installer.make(
            environment, combination.python.path, combination.pins, request.install_timeout_s
        )
        if refusal is not None:
            reason = refusal.reason
            return {
                "state": NOT_INSTALLED, "reason": reason, "fault": reason, "said": refusal.said
            }  # fmt: skip
        if request.keep:
            work.cache.keep(environment)
            kept = True
        found = _asked(Target(python_in(environment)), combination, request)
        return {**found, "environment": str(environment) if kept else None}
    finally:
        if not kept:
            work.cache.remove(environment)


def _asked(target: Target, combination: Combination, request: MatrixRequest) -> dict[str, Any]:
    """Examine an environment and return the part of its row that tells what was found."""
    try:
        report = examine(
            Request(
                target=target,
                checks=[check for check in request.checks if check.family in _FAMILIES],
                level=2,
                backends=request.backends,
                subjects=(*request.subjects, "all"),
                timeout_s=request.timeout_s,
                command=request.command,
                plugin_failures=request.plugin_failures,
                listener=request.listener,
            )
        )
    except UsageError as problem:
        # There is no module of the packages in it: to somebody's own environment that would be a
        # wrong option, but here it is what this combination comes to.
        said = str(problem).partition("; name another interpreter")[0]
        return {"state": FAILED, "reason": said, "fault": said}
    return _judged(report, combination, request)


def _judged(report: Report, combination: Combination, request: MatrixRequest) -> dict[str, Any]:
    """Return what an examination found, as the part of a row."""
    named = (*request.backends, *request.subjects)
    runs = [
        run
        for run in report.runs
        if run.outcome is not Outcome.NOT_INSTALLED or run.name in named or "all" in named
    ]
    bad = [run for run in runs if run.outcome is not Outcome.OK]
    problems = [finding for finding in report.findings if finding.is_problem]
    errors = [finding for finding in problems if finding.severity is Severity.ERROR]
    others = [said for run in runs for said in _another_release(run, combination)]
    # No run at all is no evidence, so no green; nor is the run of something else.
    state = FAILED if bad or errors or others or not runs else OK
    reason = fault = None
    if state == FAILED:
        # The first error is the root of the others.
        known = [*others, *map(_said, bad)] or [finding.id for finding in errors]
        fault = "; ".join(known) or "nothing could be run"
        reason = others[0] if others else errors[0].title if errors else fault
    return {
        "state": state,
        "reason": reason,
        "fault": fault,
        "runs": [_run(run) for run in runs],
        "findings": [_finding(finding) for finding in problems],
        "incomplete": list(report.incomplete),
    }


def _another_release(run: Run, combination: Combination) -> Iterator[str]:
    """Say it where not the release of this combination was run, but one from elsewhere."""
    names = BACKENDS[run.name].distributions if run.name in BACKENDS else (run.name,)
    wanted = next(filter(None, map(combination.version, names)), None)
    try:
        told, meant = Version(run.version or "").release, Version(wanted or "").release
    except InvalidVersion:
        return
    # What a module calls itself may be shorter (cv2 4.10.0 of 4.10.0.84), or longer.
    shared = min(len(told), len(meant))
    if told[:shared] != meant[:shared]:
        yield (
            f"{run.name} {run.version} was run, not the {wanted} that is installed: PYTHONPATH or "
            "a .pth file brings another"
        )


def _said(run: Run) -> str:
    fault = fault_of(run)
    return f"{run.name}: {fault.describe()}" if fault is not None else run.name


def _run(run: Run) -> dict[str, Any]:
    data = {key: value for key, value in run_to_dict(run).items() if key not in _BULK}
    fault = fault_of(run)
    return {**data, "said": None if fault is None else fault.describe()}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "family": finding.family,
        "about": finding.about,
        "severity": finding.severity.value,
        "title": finding.title,
        "cause": finding.cause,
        "fix": None if finding.remedy is None else finding.remedy.text,
    }


# -- the first bad release -----------------------------------------------------------------------


def _bisect_all(work: _Work, package: str, bisections: list[dict[str, Any]]) -> None:
    """Bisect the releases of a package, for each combination of everything else."""
    for python, others, members, row in _groups(work.plan, package):
        unresolved = [one for one in members if one.refusal is not None]
        found = Bisection(
            len(row),
            {
                place: work.found[one.key]["state"] == OK
                for place, one in enumerate(row)
                if one.key in work.found
            },
        )

        def probe(
            place: int, row: Sequence[Combination] = row, found: Bisection = found
        ) -> bool | None:
            for low, high in found.changes():
                low_version, high_version = row[low].version(package), row[high].version(package)
                work.note(f"  it changes between {package} {low_version} and {high_version}")
            state = _result(work, row[place])["state"]
            return None if state == NOT_INSTALLED else state == OK

        try:
            search(found, probe)
        finally:
            name = ", ".join([python.name, *(f"{name}{text}" for name, text in others)])
            bisections.append(
                _bisection(work, package, name, row, found)
                | {"unresolvable": [dict(one.requested)[package] for one in unresolved]}
            )


def _groups(
    plan: Plan, package: str
) -> list[tuple[Interpreter, tuple[tuple[str, str], ...], list[Combination], list[Combination]]]:
    """Return each combination of everything else: its members, and what is to be searched."""
    groups: dict[tuple[Interpreter, tuple[tuple[str, str], ...]], list[Combination]] = {}
    for combination in plan.combinations:
        others = tuple(pair for pair in combination.requested if pair[0] != package)
        groups.setdefault((combination.python, others), []).append(combination)
    return [(*key, members, _in_order(members, package)) for key, members in groups.items()]


def _in_order(members: Sequence[Combination], package: str) -> list[Combination]:
    """Return what could be resolved, by release, the oldest first and each once."""
    found: dict[str, Combination] = {}
    for one in members:
        if one.refusal is None:
            found.setdefault(str(one.version(package)), one)
    return [found[version] for version in sorted(found, key=Version)]


def _bisection(
    work: _Work, package: str, name: str, row: Sequence[Combination], found: Bisection
) -> dict[str, Any]:
    versions = [str(one.version(package)) for one in row]
    good: dict[str, Any] = {}
    if found.verdict == "found" and found.before is not None and found.after is not None:
        begins = bool(found.known[found.before])
        good = {
            "begins": begins,
            "last_good" if begins else "last_bad": versions[found.before],
            "first_bad" if begins else "first_good": versions[found.after],
            "untold_between": versions[found.before + 1 : found.after],
        }
    return {
        "package": package,
        "beside": name,
        "verdict": found.verdict,
        **good,
        "releases": versions,
        "run": [
            {
                "version": versions[place],
                "good": state,
                "fault": work.found[row[place].key]["fault"],
                "root": _root(work.found[row[place].key]),
            }
            for place, state in sorted(found.known.items())
        ],
        "changes": [[versions[i], versions[j]] for i, j in found.changes()],
    }


def _root(result: Mapping[str, Any]) -> str | None:
    """Return the id of the finding that explains a result, None where it only says how it ended."""
    errors = [one for one in result.get("findings", ()) if one["severity"] == "error"]
    first = errors[0] if errors else None
    return None if first is None or first["family"] in ("runs", "subjects") else str(first["id"])


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
