"""A report as workflow commands of GitHub Actions, which become annotations.

Escaping is that of the toolkit: ``%``, line breaks, and in properties ``:`` and ``,`` as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from mtcnn_doctor.model import Finding, Report, Severity
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.report.words import steps

_WORDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report, exit_code: int, fail_on: str) -> str:
    """Return a command for each error and warning, and for what makes the report incomplete."""
    clean = Redactor().report(report)
    lines = [
        command(finding.severity.value, _message(finding), {"title": finding.id})
        for finding in clean.findings
        if finding.is_problem
    ]
    lines += [
        command("warning", reason, {"title": "the report is incomplete"})
        for reason in clean.incomplete
    ]
    if not lines:
        counted = sum(finding.severity is Severity.PASS for finding in clean.findings)
        lines = [command("info", f"{counted} checks passed", {"title": "mtcnn-doctor"})]
    return "".join(f"{line}\n" for line in lines)


def command(severity: str, message: str, properties: Mapping[str, str]) -> str:
    """Return one workflow command.

    Args:
        severity: error, warning or info.
        message: What is shown; may hold line breaks.
        properties: ``title``, ``file``, ``line``: where it is shown.
    """
    named = ",".join(f"{key}={_escaped(value, more=True)}" for key, value in properties.items())
    return f"::{_WORDS[severity]} {named}::{_escaped(message)}"


def _message(finding: Finding) -> str:
    parts = [finding.title]
    if finding.cause:
        parts.append(f"cause: {finding.cause}")
    if finding.remedy is not None:
        parts.append(f"fix: {finding.remedy.text}")
        parts += [f"    {line}" for line in steps(finding.remedy)]
    return "\n".join(parts)


def _escaped(text: str, more: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if more else text
