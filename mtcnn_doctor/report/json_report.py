"""The report as JSON, as documented in ``schema.json`` beside this file."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from importlib import resources
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import SCHEMA_VERSION, Finding, Report
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.runs import run_to_dict


class SchemaName(str, Enum):
    """Whose JSON a schema describes."""

    REPORT = "report"
    LINT = "lint"
    MATRIX = "matrix"


def schema(name: SchemaName = SchemaName.REPORT) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the report, or of another command's JSON."""
    file = "schema.json" if name is SchemaName.REPORT else f"schema_{name.value}.json"
    text = resources.files("mtcnn_doctor.report").joinpath(file).read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def to_data(report: Report, redactor: Redactor | None = None) -> dict[str, Any]:
    """Return a report as plain, redacted data with ``schema_version`` first."""
    data = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "mtcnn-doctor", "version": __version__},
        "created": report.created,
        "command": list(report.command),
        "target": dict(report.target),
        "verdict": report.verdict.value,
        "incomplete": list(report.incomplete),
        "duration_s": round(report.duration_s, 2),
        "findings": [finding_to_data(finding) for finding in report.findings],
        "runs": [run_to_dict(run) for run in report.runs],
        "facts": dict(report.facts),
    }
    if report.search is not None:
        data["search"] = dict(report.search)
    if report.changes is not None:
        data["changes"] = dict(report.changes)
    redacted: dict[str, Any] = (redactor or Redactor()).data(data)
    return redacted


def finding_to_data(finding: Finding) -> dict[str, Any]:
    """Return one finding as plain data."""
    data = asdict(finding)
    data["severity"] = finding.severity.value
    order = (
        "id",
        "family",
        "severity",
        "title",
        "about",
        "evidence",
        "effect",
        "cause",
        "remedy",
        "docs",
        "requires",
    )
    return {key: data[key] for key in order}


def render(report: Report, exit_code: int = 0, fail_on: str = "error") -> str:
    """Return the report as JSON text."""
    return json.dumps(to_data(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
