"""Weight files as text: what is in each, layer by layer where it differs, then the problems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Report
from mtcnn_doctor.report.console import ConsoleReporter
from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

_NAMES = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}


class WeightsReporter(ConsoleReporter):
    """Writes what weight files hold to a stream for people."""

    def weights(self, report: Report, exit_code: int) -> None:
        """Write every file, the trial, then the problems."""
        files = report.facts.get("weights") or ()
        if not self._quiet:
            for file in files:
                self._file(file)
            self._trial(report.facts.get("weights_trial"))
        problems = [finding for finding in report.findings if finding.is_problem]
        for finding in problems:
            self._finding(finding)
        if not self._quiet:
            infos = [one for one in report.findings if one.severity.value == "info"]
            for finding in infos:
                self._note(finding)
            self._consequences(list(report.findings))
        self._incomplete(report)
        self._counts(report, exit_code)

    def _file(self, file: Mapping[str, Any]) -> None:
        name = self._redact.text(str(file.get("name", "")))
        size = f", {file['bytes']} bytes" if file.get("bytes") is not None else ""
        if file.get("state") != "read":
            self._family_line("error", name, self._redact.text(str(file.get("reason", ""))) + size)
            return
        self._line(f"{self._look.fit(name)}  {file['format']}{size}", "bold")
        self._entry("sha256", [file["sha256"]])
        for network, facts in file["networks"].items():
            self._network(network, facts)
        if file.get("unassigned"):
            self._entry("not used", [", ".join(file["unassigned"])])

    def _network(self, network: str, facts: Mapping[str, Any]) -> None:
        dot = f" {self._look.dot} "
        parts = [
            f"in the manner of {facts['layout']}" + (" (guessed)" if facts.get("assumed") else "")
        ]
        parts.append(f"{facts['arrays']} of {facts['expected']} arrays")
        state = "error"
        if facts["complete"]:
            parts.append("transposed" if facts["transposed"] else "upright")
            parts.append(f"heads {', '.join(facts['heads'])}")
            state = "pass" if facts["published"] else "info"
            parts.append(
                "the published weights" if facts["published"] else f"digest {facts['digest'][:16]}"
            )
        mark = self._look.mark(state)
        label = f"  {mark} {_NAMES[network]:<6} "
        lines = self._look.wrap(dot.join(parts), len(label))
        self._line(label + lines[0])
        for line in lines[1:]:
            self._line(" " * len(label) + line)
        if self._verbose:
            for row in facts.get("layers") or ():
                if not row["equal"]:
                    self._entry(row["name"], [_row(row)])

    def _trial(self, trial: Mapping[str, Any] | None) -> None:
        rows = [row for row in (trial or {}).get("images") or () if "given" in row]
        if not rows:
            return
        self._line("")
        width = max(len(row["image"]) for row in rows)
        head = f"{'faces: found / published':<{width + 26}}kept by  P-Net R-Net O-Net   others"
        self._line(self._look.fit(head), "bold")
        for row in rows:
            name = self._redact.text(row["image"])
            kept = "".join(f"{row['kept'][stage]:>6}" for stage in _NAMES)
            counts = f"{row['given']['faces']} / {row['published']['faces']}"
            self._line(
                self._look.fit(f"  {name:<{width}}  {counts:<22}{'':<8}{kept}{row['new']:>9}")
            )
        for network, spread in (trial or {}).get("offsets", {}).items():
            if spread is not None and self._verbose:
                mean = ", ".join(f"{value:.3f}" for value in spread["mean"])
                self._entry(
                    f"{_NAMES[network]} offsets", [f"mean {mean} ({spread['count']} boxes)"]
                )


def _row(row: Mapping[str, Any]) -> str:
    text = f"correlation {row['correlation']:.4f}"
    if row.get("max_difference") is not None:
        text += f", at most {row['max_difference']:.3g} apart"
    if row.get("alternative"):
        verb = "equal" if row["alternative_equal"] else "nearer"
        text += f"; {verb} with {row['alternative']}"
    return text


def render(result: Mapping[str, Any]) -> str:
    """Return the outcome of ``diff``, ``convert`` or ``merge`` as JSON text."""
    data = {"tool": {"name": "mtcnn-doctor", "version": __version__}, **Redactor().data(result)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def print_diff(stream: IO[str], result: Mapping[str, Any], verbose: bool) -> None:
    """Write a comparison for people: a line a layer that differs."""
    look, redact = Look.of(stream, no_color=True), Redactor()
    first, second = (redact.text(name) for name in result["files"])
    lines = [f"{first} {look.dot} {second}"]
    for network, rows in result["networks"].items():
        changed = [row for row in rows if not row["equal"]]
        mark = look.mark("info" if changed else "pass")
        words = f"{len(changed)} of {len(rows)} arrays differ" if changed else "equal, bit for bit"
        lines.append(f"{mark} {_NAMES[network]}  {words}")
        for row in rows if verbose else changed:
            if row["equal"]:
                lines.append(f"    {row['name']:<18} equal")
                continue
            distance = row["max_difference"]
            apart = "not comparable" if distance is None else f"at most {distance:.3g} apart"
            lines.append(
                f"    {row['name']:<18} {row['changed']} of {row['of']} numbers, {apart}, "
                f"correlation {row['correlation']:.4f}"
            )
    for key, name in (("only_first", first), ("only_second", second)):
        if result[key]:
            lines.append(f"{look.mark('info')} only in {name}: {', '.join(result[key])}")
    stream.write("\n".join(look.fit(line) for line in lines) + "\n")


def print_written(stream: IO[str], result: Mapping[str, Any]) -> None:
    """Write what was written, and of what."""
    look, redact = Look.of(stream, no_color=True), Redactor()
    lines = []
    for one in result["written"]:
        parts = [
            f"{_NAMES[network]} of {redact.text(origin)}"
            for network, origin in zip(one["networks"], one["origin"], strict=True)
        ]
        lines.append(f"{look.mark('pass')} {redact.text(one['path'])}  {one['bytes']} bytes")
        lines.append(f"    {', '.join(parts)}; read again, the same numbers")
    if result["misplaced"] and not result["repair"]:
        names = ", ".join(redact.text(name) for name in dict.fromkeys(result["misplaced"]))
        lines.append(
            f"{look.mark('warning')} {names}: not oriented as its program expects, and taken as it "
            "is; --repair turns it"
        )
    stream.write("\n".join(look.fit(line) for line in lines) + "\n")
