"""Results as objects: HTML for a notebook, text for a terminal, plain data for a program."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mtcnn_doctor.model import Report
from mtcnn_doctor.report import html_fragment, plan_text, sweep_svg, sweep_text
from mtcnn_doctor.report.load import report_of

#: JupyterLab would show plain ``application/json`` rather than the HTML beside it.
_MIME = "application/vnd.mtcnn-doctor.report+json"


class _Page(io.StringIO):
    """A text that can hold any character, as reporters ask a stream."""

    encoding = "utf-8"


class DoctorReport:
    """A report of ``check``, ``bench`` or ``inspect``.

    ``data`` is what ``--format json`` writes; ``pictures`` are PNG files with the faces drawn in,
    by the name of the image.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        exit_code: int,
        pictures: Mapping[str, bytes] | None = None,
    ) -> None:
        self.data = dict(data)
        self.exit_code = exit_code
        self.pictures = dict(pictures or {})
        self._report: Report = report_of(data)

    @property
    def verdict(self) -> str:
        """``pass``, ``warn`` or ``fail``."""
        return str(self.data["verdict"])

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The errors and warnings, those to be mended first coming first."""
        return [f for f in self.data["findings"] if f["severity"] in ("error", "warning")]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs of backends and packages."""
        return list(self.data["runs"])

    @property
    def text(self) -> str:
        """The report as the command prints it."""
        stream = _Page()
        if "inspected" in self._report.facts:
            from mtcnn_doctor.report.inspect_text import InspectReporter

            InspectReporter(stream, no_color=True).inspection(self._report, self.exit_code)
        elif "bench" in self.data["command"][:2] or self._report.facts.get("settings", {}).get(
            "runs"
        ):
            from mtcnn_doctor.report.bench_text import BenchReporter

            BenchReporter(stream, no_color=True).bench(self._report, self.exit_code)
        else:
            from mtcnn_doctor.report.console import ConsoleReporter

            ConsoleReporter(stream, no_color=True).report(self._report, self.exit_code)
        return stream.getvalue()

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return html_fragment.report(self._report, self.text, self.pictures)

    def _repr_mimebundle_(
        self, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
    ) -> dict[str, Any]:
        return {
            "text/plain": self.text,
            "text/html": self._repr_html_(),
            _MIME: json.loads(json.dumps(self.data)),
        }


class DoctorData:
    """What ``plan`` or ``sweep`` found. ``data`` is what ``--format json`` writes."""

    def __init__(self, command: str, data: Mapping[str, Any], exit_code: int) -> None:
        self._command = command
        self.data = dict(data)
        self.exit_code = exit_code

    @property
    def text(self) -> str:
        """The result as the command prints it."""
        stream = _Page()
        print_to = sweep_text.print_to if self._command == "sweep" else plan_text.print_to
        print_to(stream, self.data)
        return stream.getvalue()

    def __repr__(self) -> str:
        return self.text.rstrip("\n")

    def _repr_html_(self) -> str:
        text = f"<pre style='white-space:pre-wrap'>{html.escape(self.text)}</pre>"
        if self._command != "sweep":
            return text
        return text + html_fragment.image("", "svg+xml", sweep_svg.draw(self.data).encode())

    def _repr_mimebundle_(
        self, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
    ) -> dict[str, Any]:
        return {
            "text/plain": repr(self),
            "text/html": self._repr_html_(),
            _MIME: json.loads(json.dumps(self.data)),
        }


class DoctorText:
    """What a command has printed. ``data`` is what ``--format json`` writes, where it was had."""

    def __init__(self, text: str, exit_code: int, data: Mapping[str, Any] | None = None) -> None:
        self.text, self.exit_code, self.data = text, exit_code, data

    def __repr__(self) -> str:
        return self.text.rstrip("\n")

    def _repr_html_(self) -> str:
        return f"<pre style='white-space:pre-wrap'>{html.escape(self.text)}</pre>"
