"""Which checks exist, and how they are asked: built-in ones, entry points, files of the user.

All three go the same way: a module is loaded and every :class:`~mtcnn_doctor.model.Check` in it
is taken. A plug-in that fails to load, or raises while judging, becomes a visible finding
(``plugin-failed``, ``check-failed``), and the rest goes on.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Check, Finding, Severity, error, placed, skip

ENTRY_POINT_GROUP = "mtcnn_doctor.checks"
DOCS_URL = "mtcnn-doctor explain {id}"

#: Families in the order in which their faults are best mended.
FAMILIES = (
    "interpreter",
    "packages",
    "frameworks",
    "gpu",
    "machine",
    "jupyter",
    "input",
    "weights",
    "runs",
    "subjects",
    "doctor",
)


@dataclass(frozen=True)
class Registry:
    """The checks that were found, and what went wrong in finding them."""

    checks: tuple[Check, ...]
    failures: tuple[Finding, ...] = field(default=())

    def selected(self, select: Sequence[str], ignore: Sequence[str], level: int) -> list[Check]:
        """Return the checks to run at a level.

        ``select`` and ``ignore`` hold ids, families, or patterns with ``*``. An id that is
        selected by its full name runs at any level that has its facts.

        Raises:
            UsageError: a pattern fits no check at all.
        """
        for pattern in (*select, *ignore):
            if not any(_fits(check, pattern) for check in self.checks):
                raise UsageError(f"no check or family fits '{pattern}'; see mtcnn-doctor list")
        return [
            check
            for check in self.checks
            if check.level <= level
            and (not select or any(_fits(check, pattern) for pattern in select))
            and not any(_fits(check, pattern) for pattern in ignore)
        ]


def _fits(check: Check, pattern: str) -> bool:
    return fnmatch.fnmatchcase(check.id, pattern) or check.family == pattern


def load(plugin_files: Iterable[Path] = ()) -> Registry:
    """Find all checks: built-in, by entry point, and in the given files."""
    checks: dict[str, Check] = {}
    failures: list[Finding] = []

    def add(module: object, origin: str) -> None:
        for check in _checks_in(module):
            earlier = checks.get(check.id)
            if earlier is not None:
                if earlier.function is not check.function:
                    failures.append(
                        _plugin_failed(origin, f"{check.id} is already defined by {earlier.origin}")
                    )
                continue
            checks[check.id] = replace(check, origin=origin)

    for name, load_module in _sources(plugin_files):
        try:
            add(load_module(), name)
        except (Exception, SystemExit) as problem:
            failures.append(_plugin_failed(name, _last_line(problem)))
    ordered = sorted(checks.values(), key=lambda check: _family_rank(check.family))
    return Registry(tuple(ordered), tuple(failures))


def _sources(plugin_files: Iterable[Path]) -> Iterable[tuple[str, Any]]:
    package = importlib.import_module("mtcnn_doctor.checks")
    for module in pkgutil.iter_modules(package.__path__):
        name = f"mtcnn_doctor.checks.{module.name}"
        yield "built-in", lambda name=name: importlib.import_module(name)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        owner = entry.dist.name if entry.dist else "unknown"
        yield f"{owner} (entry point {entry.name})", entry.load
    for path in plugin_files:
        yield str(path), lambda path=path: _load_file(path)


def _load_file(path: Path) -> ModuleType:
    name = f"mtcnn_doctor_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _checks_in(source: object) -> list[Check]:
    if isinstance(source, Check):
        return [source]
    if isinstance(source, (list, tuple)):
        return [check for item in source for check in _checks_in(item)]
    if inspect.ismodule(source):
        return [value for value in vars(source).values() if isinstance(value, Check)]
    raise TypeError(f"{source!r} is neither a Check, a list of Checks nor a module with Checks")


def _plugin_failed(origin: str, reason: str) -> Finding:
    return replace(
        error(
            f"plug-in {origin} could not be loaded",
            about=origin,
            evidence={"reason": reason},
            effect="its checks were not made",
            fix="mend or remove the plug-in; CONTRIBUTING.md shows a working one",
        ),
        id="plugin-failed",
        family="doctor",
    )


def _last_line(problem: BaseException) -> str:
    return traceback.format_exception_only(type(problem), problem)[-1].strip()


def _family_rank(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def judge(checks: Iterable[Check], facts: Mapping[str, Any]) -> list[Finding]:
    """Ask each check about the facts; return the findings, roots first, consequences skipped.

    A check whose facts are missing is skipped, one that raises is reported as ``check-failed``,
    one that yields nothing has passed.
    """
    findings: list[Finding] = []
    for check in checks:
        findings.extend(_ask(check, facts))
    return _in_order(_settled(findings))


def parameters(check: Check) -> tuple[set[str], set[str]]:
    """Return the names of the facts that a check needs, and of those it can do without."""
    needed: set[str] = set()
    optional: set[str] = set()
    for name, parameter in inspect.signature(check.function).parameters.items():
        (needed if parameter.default is inspect.Parameter.empty else optional).add(name)
    return needed, optional


def _ask(check: Check, facts: Mapping[str, Any]) -> list[Finding]:
    docs = DOCS_URL.format(id=check.id)
    try:
        needed, optional = parameters(check)
        missing = sorted(name for name in needed if facts.get(name) is None)
        if missing:
            reason = f"no facts about {', '.join(missing)}"
            return [placed(skip(reason), check, docs)]
        known = {name: facts[name] for name in needed | optional if facts.get(name) is not None}
        found = [placed(finding, check, docs) for finding in check.function(**known) or ()]
    except Exception as problem:
        return [_check_failed(check, problem)]
    if not found:
        return [placed(Finding(title=check.title, severity=Severity.PASS), check, docs)]
    return found


def _check_failed(check: Check, problem: Exception) -> Finding:
    frame = traceback.extract_tb(problem.__traceback__)[-1]
    mine = check.origin == "built-in"
    return replace(
        error(
            f"the check {check.id} failed",
            about=check.id,
            evidence={
                "error": _last_line(problem),
                "where": f"{Path(frame.filename).name}:{frame.lineno} {frame.name}",
                "from": check.origin,
            },
            effect="what it would have found is not known",
            fix="report it with the output of check --format json"
            if mine
            else f"report it to the author of {check.origin}, or use --ignore {check.id}",
        ),
        id="check-failed",
        family="doctor",
    )


def _settled(findings: list[Finding]) -> list[Finding]:
    """Turn the findings that a fired root cause explains into skips that name it.

    Suppression follows errors only, and a cause that is itself explained away still explains:
    a chain ends at its first link.
    """
    fired = {
        key
        for finding in findings
        if finding.severity is Severity.ERROR
        for key in ((finding.id, f"{finding.id}:{finding.about}") if finding.id else ())
    }
    settled = []
    for finding in findings:
        own = {finding.id, f"{finding.id}:{finding.about}"}
        roots = tuple(r for r in finding.requires if r in fired and r not in own)
        if finding.is_problem and roots:
            finding = replace(finding, severity=Severity.SKIP, requires=roots)
        settled.append(finding)
    return settled


def _in_order(findings: list[Finding]) -> list[Finding]:
    """Sort by severity, then by what is best mended first: family, and causes before effects."""
    depths = _depths([finding for finding in findings if finding.is_problem])
    return sorted(
        findings,
        key=lambda finding: (
            finding.severity.rank,
            _family_rank(finding.family),
            depths.get((finding.id, finding.about), 0),
        ),
    )


def _depths(problems: list[Finding]) -> dict[tuple[str, str], int]:
    """Return how many other problems stand behind each, by the longest chain of ``requires``."""
    by_name: dict[str, list[Finding]] = {}
    for finding in problems:
        for name in (finding.id, f"{finding.id}:{finding.about}"):
            by_name.setdefault(name, []).append(finding)
    depths: dict[tuple[str, str], int] = {}

    def depth(finding: Finding, seen: frozenset[tuple[str, str]]) -> int:
        key = (finding.id, finding.about)
        if key not in depths:
            behind = [
                other
                for name in finding.requires
                for other in by_name.get(name, ())
                if (other.id, other.about) not in seen
            ]
            found = (1 + depth(other, seen | {(other.id, other.about)}) for other in behind)
            depths[key] = max(found, default=0)
        return depths[key]

    for finding in problems:
        depth(finding, frozenset({(finding.id, finding.about)}))
    return depths
