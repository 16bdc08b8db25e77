"""The main road: target, facts, findings, report."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any

from mtcnn_doctor import registry
from mtcnn_doctor.aim import aimed
from mtcnn_doctor.collect import jupyter
from mtcnn_doctor.collect.choice import ALL, choose
from mtcnn_doctor.collect.launches import HOST_PROBES
from mtcnn_doctor.collect.metadata import ask_host, ask_metadata
from mtcnn_doctor.collect.request import Collected, Listener, Request, wait_for
from mtcnn_doctor.model import Check, Finding, Outcome, Report, Run
from mtcnn_doctor.runs import run_to_dict
from mtcnn_doctor.sandbox import allow_children, kill_all

__all__ = ["Interrupted", "Listener", "Request", "examine", "judge_facts"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a report on what was known by then."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


def examine(request: Request) -> Report:
    """Examine a target and return the report.

    Raises:
        UsageError: the target is no Python, too old, or holds nothing to examine; a backend was
            named that does not exist.
        KeyboardInterrupt: after every child was killed; an :class:`Interrupted` where something
            was known by then.
    """
    collected = Collected()
    try:
        return _examined(request, collected)
    except KeyboardInterrupt:
        known = collected.interrupt()
        if not known.facts.get("packages"):
            raise
        known.incomplete.insert(0, _what_is_missing(known))
        raise Interrupted(_report(request, known, time.monotonic() - request.started)) from None


def _examined(request: Request, collected: Collected) -> Report:
    wanted = _wanted_facts(request.checks)
    collected.facts["settings"] = {
        "level": request.level,
        "backends_requested": [name for name in request.backends if name != ALL],
        "expect_gpu": request.expect_gpu,
        "timeout_s": request.timeout_s,
    }
    collected.facts.update(request.given)
    if request.tuning.before:
        collected.facts["settings"]["import_first"] = list(request.tuning.before)
    # The children are killed before the pool waits for the threads that hear them.
    with ThreadPoolExecutor(max_workers=16) as pool, KillingChildren():
        try:
            host = [pool.submit(ask_host, request, collected)] if wanted & set(HOST_PROBES) else []
            if "jupyter" in wanted:
                host.append(pool.submit(jupyter.ask_kernels, request, collected))
            ask_metadata(request, collected)
            request = _with_subjects(request, wanted, collected.facts.get("packages") or {})
            chosen = choose(request.backends, collected.facts.get("packages") or {})
            collected.facts["settings"]["backends"] = [backend.name for backend in chosen]
            if request.level >= 2 and "startup" not in collected.facts:
                # Imported here: level 1 is over before this would have been loaded.
                from mtcnn_doctor.collect.runs import RUN_FACTS, run_backends

                if request.tuning.weights is not None:
                    from mtcnn_doctor.collect.weights import ask_weights

                    tried = "weights_trial" in wanted
                    ask_weights(request, collected, request.tuning.weights, tried=tried)
                if wanted & RUN_FACTS:
                    run_backends(request, collected, pool)
            wait_for(host)
            jupyter.complete(request, collected)
        except KeyboardInterrupt:
            collected.interrupt()
            raise
    return _report(request, collected, time.monotonic() - request.started)


def judge_facts(
    document: Mapping[str, Any],
    checks: Sequence[Check],
    *,
    expect_gpu: bool,
    command: Sequence[str],
    plugin_failures: Sequence[Finding],
) -> Report:
    """Judge a recorded facts document (or the facts of a recorded report)."""
    facts = dict(document.get("facts", document))
    settings = dict(facts.get("settings") or {})
    settings["expect_gpu"] = expect_gpu or bool(settings.get("expect_gpu"))
    facts["settings"] = settings
    for name in ("runs", "search"):
        facts.setdefault(name, document.get(name) or None)
    python = facts.get("python") or {}
    executable = str(python.get("executable", "python"))
    findings = aimed(
        [*registry.judge(checks, facts), *plugin_failures],
        executable,
        facts.get("packages") or {},
        command,
    )
    return Report(
        created=_now(),
        command=tuple(command),
        target=_target_of(python, python.get("executable", "unknown")),
        findings=tuple(findings),
        runs=tuple(_run_from_dict(run) for run in facts.get("runs") or ()),
        facts={name: value for name, value in facts.items() if name not in ("runs", "search")},
        incomplete=tuple(document.get("incomplete", ())),
        search=facts.get("search"),
    )


def _run_from_dict(data: Mapping[str, Any]) -> Run:
    known = {key: value for key, value in data.items() if key in Run.__dataclass_fields__}
    return Run(**{**known, "outcome": Outcome(data["outcome"])})


def _wanted_facts(checks: Sequence[Check]) -> set[str]:
    """Return the facts that the checks ask for: nothing else is collected."""
    wanted: set[str] = set()
    for check in checks:
        needed, optional = registry.parameters(check)
        wanted |= needed | optional
    return wanted


def _with_subjects(request: Request, wanted: set[str], packages: Mapping[str, Any]) -> Request:
    """Leave the subjects out if no check asks for them; choose the backends they stand beside."""
    if set(request.subjects) - {ALL}:
        from mtcnn_doctor.collect.subjects import refuse_unknown

        refuse_unknown(request.subjects, packages)
    if not request.subjects or "subjects" not in wanted:
        return replace(request, subjects=())
    if not request.only_subjects or request.backends:
        return request
    from mtcnn_doctor.collect.subjects import backends_beside

    return replace(request, backends=backends_beside(request.subjects, packages))


def _report(request: Request, collected: Collected, duration_s: float) -> Report:
    facts = collected.facts
    # In the order asked for, whatever order they finished in.
    order = list((facts.get("settings") or {}).get("backends") or collected.runs)
    collected.runs = {name: collected.runs[name] for name in order if name in collected.runs}
    runs = (*collected.runs.values(), *collected.subjects.values())
    if runs:
        facts["runs"] = [run_to_dict(run) for run in runs]
    facts["probes"] = {"failed": collected.probes_failed}
    findings = aimed(
        [*registry.judge(request.checks, facts), *request.plugin_failures],
        request.target.python,
        facts.get("packages") or {},
        request.command,
    )
    return Report(
        created=_now(),
        command=tuple(request.command),
        target=_target_of(facts.get("python") or {}, request.target.python),
        findings=tuple(findings),
        runs=runs,
        facts={name: value for name, value in facts.items() if name != "runs"},
        incomplete=(
            *collected.incomplete,
            *(f"probe {p['probe']}: {p['reason']}" for p in collected.probes_failed),
        ),
        duration_s=duration_s,
    )


def _what_is_missing(known: Collected) -> str:
    """Return in words how far an examination had come when it was interrupted."""
    asked = known.facts["settings"].get("backends") or ()
    packages = (known.facts.get("subjects") or {}).get("backends") or ()
    missing = [
        *(name for name in asked if name not in known.runs),
        *(name for name in packages if name not in known.subjects),
    ]
    if not missing:
        return "interrupted; this is what was known by then"
    return f"interrupted before {', '.join(missing)} had finished; this is what was known by then"


def _target_of(python: Mapping[str, Any], executable: str) -> dict[str, Any]:
    return {
        "python": executable,
        "version": python.get("version"),
        "implementation": python.get("implementation"),
        "platform": python.get("platform"),
        "machine": python.get("machine"),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


class KillingChildren(AbstractContextManager[None]):
    """Kill every child when the work inside is interrupted or fails."""

    def __enter__(self) -> None:
        allow_children()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            kill_all()
