"""A report and its history: what changed is told where it fails, a good state is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from mtcnn_doctor.history import store
from mtcnn_doctor.history.compare import changes, faults_of, to_data
from mtcnn_doctor.history.state import state_of
from mtcnn_doctor.model import Report, Severity
from mtcnn_doctor.runs import run_to_dict

_ASKED = {("setting", "level"), ("setting", "backends")}


def follow(report: Report, scope: Mapping[str, Any], redact: Callable[[Any], Any]) -> Report:
    """Return the report with what changed since the last good one; keep it if it is good itself.

    Args:
        report: The finished report.
        scope: What it looked at (:func:`store.scope_of`).
        redact: Takes names and secrets out of plain data: what is kept, and what is compared.
    """
    findings = [{**asdict(one), "severity": one.severity.value} for one in report.findings]
    state = redact(
        state_of({"facts": report.facts, "runs": [run_to_dict(run) for run in report.runs]})
    )
    if any(one.severity is Severity.ERROR for one in report.findings):
        record = store.last_good(report.target, scope)
        if record is None:
            return report
        found = changes(record["state"], state, faults_of(findings))
        # What was asked for is the doctor's own business; a wider check may stand for a narrower.
        found = [one for one in found if (one.kind, one.name) not in _ASKED]
        told = {"since": record["created"], "list": [to_data(one) for one in found]}
        return replace(report, changes=told)
    if not report.incomplete:
        store.keep(report.target, scope, state, report.created)
    return report
