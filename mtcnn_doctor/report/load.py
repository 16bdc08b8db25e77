"""From a report's JSON back to a report, so that it can be shown in another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import SCHEMA_VERSION, Finding, Outcome, Remedy, Report, Run, Severity


def report_of(data: Mapping[str, Any]) -> Report:
    """Return the report that a JSON document of ``schema_version`` 1 holds.

    Raises:
        UsageError: it is of a version that is not known.
    """
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"the report has schema_version {version}, this mtcnn-doctor reads {SCHEMA_VERSION}; "
            "use the release that wrote it"
        )
    return Report(
        created=data["created"],
        command=tuple(data["command"]),
        target=data["target"],
        findings=tuple(_finding(row) for row in data["findings"]),
        runs=tuple(_run(row) for row in data["runs"]),
        facts=data["facts"],
        incomplete=tuple(data["incomplete"]),
        duration_s=data.get("duration_s", 0.0),
        search=data.get("search"),
        changes=data.get("changes"),
    )


def _finding(row: Mapping[str, Any]) -> Finding:
    known = {key: value for key, value in row.items() if key in Finding.__dataclass_fields__}
    remedy = row.get("remedy")
    known["severity"] = Severity(row["severity"])
    known["requires"] = tuple(row.get("requires") or ())
    known["remedy"] = (
        None
        if remedy is None
        else Remedy(
            remedy["text"],
            tuple(remedy.get("commands") or ()),
            remedy.get("verified"),
            bool(remedy.get("alternatives")),
        )
    )
    return Finding(**known)


def _run(row: Mapping[str, Any]) -> Run:
    known = {key: value for key, value in row.items() if key in Run.__dataclass_fields__}
    return Run(**{**known, "outcome": Outcome(row["outcome"])})
