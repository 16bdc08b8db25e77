"""The formats a report can have: one row each, its module loaded when it is asked for."""

from __future__ import annotations

import importlib
from enum import Enum
from pathlib import PurePath

from mtcnn_doctor.model import Report


class ReportFormat(str, Enum):
    """A format: its name, the endings of its files, and its module in this folder.

    ``render(report, exit_code, fail_on)`` of the module returns the whole text. Text has none:
    each command has a reporter of its own for it.
    """

    endings: tuple[str, ...]
    module: str

    def __new__(cls, name: str, endings: tuple[str, ...], module: str) -> ReportFormat:
        """Return a member that is equal to its name, as the command line needs it."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.endings = endings
        member.module = module
        return member

    TEXT = "text", (".txt", ".log"), ""
    JSON = "json", (".json",), "json_report"
    MARKDOWN = "markdown", (".md", ".markdown"), "markdown"
    HTML = "html", (".html", ".htm"), "page"
    JUNIT = "junit", (".xml",), "junit"
    SARIF = "sarif", (".sarif",), "sarif"
    # Goes to the log of a job, which has no file name.
    GITHUB = "github", (), "github"
    PROMETHEUS = "prometheus", (".prom",), "prometheus"

    @classmethod
    def by_ending(cls, path: PurePath) -> ReportFormat | None:
        """Return the format that the name of a file asks for."""
        ending = path.suffix.lower()
        return next((one for one in cls if ending in one.endings), None)


def endings() -> str:
    """Return what a file's name may end in, for people."""
    return " ".join(one.endings[0] for one in ReportFormat if one.endings)


def render(format: ReportFormat, report: Report, exit_code: int, fail_on: str = "error") -> str:
    """Return a report in a format that is not text.

    Args:
        format: Which.
        report: The report, not yet redacted.
        exit_code: What the command ends with.
        fail_on: Lowest severity that counts as a failure, ``error`` or ``warning``.
    """
    module = importlib.import_module(f"mtcnn_doctor.report.{format.module}")
    return str(module.render(report, exit_code, fail_on))
