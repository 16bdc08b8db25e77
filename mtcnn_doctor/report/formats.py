"""The formats a report can have, by name; each is loaded when it is asked for."""

from __future__ import annotations

import importlib

from mtcnn_doctor.model import Report

#: Module of each format; ``render(report, exit_code, fail_on)`` of it returns the whole text.
FORMATS = {
    "json": "json_report",
    "markdown": "markdown",
    "html": "page",
    "junit": "junit",
    "sarif": "sarif",
    "github": "github",
    "prometheus": "prometheus",
}


def render(format: str, report: Report, exit_code: int, fail_on: str = "error") -> str:
    """Return a report in a format.

    Args:
        format: A key of :data:`FORMATS`.
        report: The report, not yet redacted.
        exit_code: What the command ends with.
        fail_on: Lowest severity that counts as a failure, ``error`` or ``warning``.
    """
    module = importlib.import_module(f"mtcnn_doctor.report.{FORMATS[format]}")
    if format == "json":
        return str(module.render(report))
    return str(module.render(report, exit_code, fail_on))
