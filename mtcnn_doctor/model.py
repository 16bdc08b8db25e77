"""The words of the house as types: findings, remedies, runs, reports. Frozen, and nothing else.

Checks are written against this module alone::

    from mtcnn_doctor.model import Findings, check, error

    @check("numpy-abi", family="packages", title="binary packages match the installed NumPy")
    def numpy_abi(packages: Packages) -> Findings:
        '''What it checks ... (see CONTRIBUTING.md for the fixed sections)'''
        if ...:
            yield error("torch 2.2.2 was built for NumPy 1.x", about="torch", fix="...")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

SCHEMA_VERSION = 1


class Severity(str, Enum):
    """How much a finding matters: an error stops you, a warning may, an info will not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    PASS = "pass"
    SKIP = "skip"

    @property
    def rank(self) -> int:
        """Position in the order of urgency, 0 being the most urgent."""
        return list(Severity).index(self)


class Outcome(str, Enum):
    """How a run in the target ended."""

    OK = "ok"
    WRONG_RESULT = "wrong-result"
    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    NOT_INSTALLED = "not-installed"
    NOT_LOADABLE = "not-loadable"


@dataclass(frozen=True)
class Remedy:
    """What to do about a finding.

    ``commands`` holds only commands that destroy nothing. ``verified`` is True only after a run
    on the target that proved the remedy, False after one that disproved it, None if untried.
    With ``alternatives`` any one of the commands is enough; otherwise they are steps.
    """

    text: str
    commands: tuple[str, ...] = ()
    verified: bool | None = None
    alternatives: bool = False


@dataclass(frozen=True)
class Finding:
    """One fault with one cause (or one check that passed or was skipped).

    ``id`` and ``family`` are filled in by the registry from the check that yielded the finding.
    ``about`` names what the finding is about (a package, a backend, an image) and together with
    ``id`` makes it unique. ``requires`` lists root causes as ``id`` or ``id:about``: when one of
    them fired as an error, this finding is its consequence and is shown as skipped.
    """

    title: str
    severity: Severity
    id: str = ""
    family: str = ""
    about: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    effect: str = ""
    cause: str = ""
    remedy: Remedy | None = None
    docs: str = ""
    requires: tuple[str, ...] = ()

    @property
    def is_problem(self) -> bool:
        """Whether this is an error or a warning."""
        return self.severity in (Severity.ERROR, Severity.WARNING)


Findings = Iterable[Finding]


class _Finder:
    """Makes findings of one severity: ``error``, ``warning`` and ``info`` below."""

    def __init__(self, severity: Severity) -> None:
        self._severity = severity

    def __call__(
        self,
        title: str,
        *,
        about: str = "",
        evidence: Mapping[str, Any] | None = None,
        effect: str = "",
        cause: str = "",
        fix: str = "",
        commands: Sequence[str] = (),
        alternatives: bool = False,
        requires: Sequence[str] = (),
    ) -> Finding:
        """Return a finding; ``fix``, ``commands`` and ``alternatives`` make its remedy."""
        return Finding(
            title=title,
            severity=self._severity,
            about=about,
            evidence=dict(evidence or {}),
            effect=effect,
            cause=cause,
            remedy=Remedy(fix, tuple(commands), alternatives=alternatives) if fix else None,
            requires=tuple(requires),
        )


#: A finding that will stop the user.
error = _Finder(Severity.ERROR)
#: A finding that may stop the user.
warning = _Finder(Severity.WARNING)
#: A finding that is worth knowing and never counts as a problem.
info = _Finder(Severity.INFO)


def skip(reason: str, *, about: str = "", requires: Sequence[str] = ()) -> Finding:
    """Return the statement that a check could not be made, and why."""
    return Finding(title=reason, severity=Severity.SKIP, about=about, requires=tuple(requires))


@dataclass(frozen=True)
class Check:
    """A judge of facts: a pure function with a name, a place and its documentation.

    Facts reach ``function`` by parameter name (see :mod:`mtcnn_doctor.facts`); a check whose
    facts were not collected is skipped, unless the parameter has a default.
    """

    id: str
    family: str
    title: str
    function: Callable[..., Findings | None]
    level: int = 1
    requires: tuple[str, ...] = ()
    documentation: str = ""
    origin: str = "built-in"


def check(
    id: str,
    *,
    family: str,
    title: str,
    level: int = 1,
    requires: Sequence[str] = (),
) -> Callable[[Callable[..., Findings | None]], Check]:
    """Turn a function into a :class:`Check`; its docstring becomes the documentation.

    Args:
        id: Stable kebab-case name, never re-used.
        family: Heading under which the report shows it.
        title: What holds when the check passes, in a few words.
        level: Lowest run level whose facts it needs (1 metadata, 2 imports and runs, 3 stress).
        requires: Root causes (``id`` or ``id:about``) that explain this check's findings away.
    """

    def wrap(function: Callable[..., Findings | None]) -> Check:
        return Check(
            id=id,
            family=family,
            title=title,
            function=function,
            level=level,
            requires=tuple(requires),
            documentation=function.__doc__ or "",
        )

    return wrap


@dataclass(frozen=True)
class Exhibit:
    """A run's traces word for word, as they were heard: what a crash folder is made of.

    ``process_map`` is the memory map when it was looked at last, ``native`` what a debugger said.
    ``note`` tells what was special about the run, ``options`` repeat that on the command line.
    """

    fault: str = ""
    stderr: str = ""
    stdout: str = ""
    process_map: str = ""
    native: str = ""
    note: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One backend (or the user's package) run in the target, in the words of the report.

    Times are milliseconds, memory MiB, boxes ``[x, y, width, height]`` in pixels of the image as
    given. ``exit_code`` follows the shell's habit (139 for SIGSEGV). ``native`` is what a debugger
    showed of the fault, where one was asked for. ``exhibit`` is no part of the report.
    """

    name: str
    outcome: Outcome
    kind: str = "backend"
    version: str | None = None
    device: str = "cpu"
    exit_code: int | None = None
    signal: str | None = None
    stage: str | None = None
    step: str | None = None
    reason: str | None = None
    python_traceback: tuple[Mapping[str, Any], ...] = ()
    python_threads: tuple[Mapping[str, Any], ...] = ()
    native: Mapping[str, Any] | None = None
    native_libraries: tuple[Mapping[str, Any], ...] = ()
    stderr_tail: str = ""
    error: Mapping[str, Any] | None = None
    memory: Mapping[str, Any] = field(default_factory=dict)
    timings_ms: Mapping[str, Any] = field(default_factory=dict)
    peak_rss_mb: float | None = None
    images: tuple[Mapping[str, Any], ...] = ()
    detections: tuple[Mapping[str, Any], ...] = ()
    agreement: Mapping[str, Any] | None = None
    divergence: Mapping[str, Any] | None = None
    measurement: Mapping[str, Any] | None = None
    exhibit: Exhibit | None = None

    @property
    def failed(self) -> bool:
        """Whether it ran, or was to run, and did not do what it should."""
        return self.outcome not in (Outcome.OK, Outcome.NOT_INSTALLED)


class Verdict(str, Enum):
    """The one word on top of a report."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Report:
    """Everything one examination found out.

    ``further`` are failed runs beside ``runs``, one of each fault, of which evidence may be kept.
    ``changes`` is what differs from the last good report of the target, where there is one.
    """

    created: str
    command: tuple[str, ...]
    target: Mapping[str, Any]
    findings: tuple[Finding, ...]
    runs: tuple[Run, ...]
    facts: Mapping[str, Any]
    incomplete: tuple[str, ...] = ()
    duration_s: float = 0.0
    search: Mapping[str, Any] | None = None
    further: tuple[Run, ...] = ()
    changes: Mapping[str, Any] | None = None

    @property
    def verdict(self) -> Verdict:
        """``fail`` with an error, ``warn`` with a warning or where the report is incomplete."""
        severities = {finding.severity for finding in self.findings}
        if Severity.ERROR in severities:
            return Verdict.FAIL
        if Severity.WARNING in severities or self.incomplete:
            return Verdict.WARN
        return Verdict.PASS


def placed(finding: Finding, check: Check, docs: str) -> Finding:
    """Return the finding with the id, family and documentation link of its check filled in."""
    return replace(
        finding,
        id=finding.id or check.id,
        family=finding.family or check.family,
        docs=finding.docs or docs,
        requires=finding.requires + tuple(r for r in check.requires if r not in finding.requires),
    )
