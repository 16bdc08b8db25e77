"""An inspection as text: each image with its values, loaders, packages and findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Finding, Report, Severity
from mtcnn_doctor.report.console import ConsoleReporter


class InspectReporter(ConsoleReporter):
    """Writes what came of ``inspect``."""

    def inspection(self, report: Report, exit_code: int) -> None:
        """Write the whole report."""
        facts = report.facts
        if not self._quiet:
            python = self._redact.text(str(report.target.get("python")))
            version = report.target.get("version")
            self._line(
                f"mtcnn-doctor {__version__} {self._look.dot} inspecting with {python}"
                + (f" ({version})" if version else ""),
                "bold",
            )
        left = [f for f in report.findings if f.is_problem or f.severity is Severity.INFO]
        for item in facts.get("inspected") or ():
            names = [item, *(a["name"] for a in facts["arrays"] if a.get("item") == item)]
            own = [f for f in left if f.about in names or f.about.rpartition(" (")[0] in names]
            left = [finding for finding in left if finding not in own]
            self._item(item, facts, own)
        for finding in left:
            if finding.is_problem:
                self._finding(finding)
        self._incomplete(report)
        self._counts(report, exit_code)

    def _item(self, item: str, facts: Mapping[str, Any], findings: list[Finding]) -> None:
        worst = min((f.severity for f in findings if f.is_problem), key=_rank, default=None)
        if self._quiet and worst is None:
            return
        self._line("")
        mark = worst.value if worst is not None else "pass"
        self._pieces(
            [
                (f"{self._look.mark(mark)} ", ""),
                (self._redact.text(item.replace("\n", "\\n")), "bold"),
                (f"   {self._dotted(_summary(item, facts))}", ""),
            ]
        )
        if not self._quiet:
            self._inputs(item, facts)
            for look in _looks(item, facts):
                self._seen(look, len(_looks(item, facts)) > 1)
        for finding in findings:
            if finding.is_problem:
                self._finding(finding)
            elif not self._quiet:
                self._note(finding)

    def _inputs(self, item: str, facts: Mapping[str, Any]) -> None:
        """Write what loaders make of a file, or what an array is, and what packages do with it."""
        for decoding in facts["decodings"]:
            if decoding["name"] != item:
                continue
            told = f"fails: {decoding['error']}" if decoding["error"] else "None"
            if decoding["array"] and decoding["array"].get("shape") is not None:
                told = _array(decoding["array"])
                if decoding["decoder"] == "cv2":
                    told += ", in the order of BGR"
            self._entry(decoding["decoder"], [f"{decoding['call'] or ''}: {told}".lstrip(": ")])
            self._packages(facts, item, decoding["call"])
        for array in facts["arrays"]:
            if array.get("item") == item:
                self._entry("array", [f"{array['name']}: {_array(array)}"])
                self._packages(facts, array["name"], None)

    def _packages(self, facts: Mapping[str, Any], name: str, call: str | None) -> None:
        for row in facts.get("answers") or ():
            if row["name"] == name and row["call"] == call:
                said = _answer(row)
                if said and (self._verbose or row["conditions"] or "faces" in row):
                    self._entry("", [f"{row['subject']} {row['version'] or ''} {said}"])

    def _seen(self, look: Mapping[str, Any], several: bool) -> None:
        """Write what the reference found."""
        if look.get("error"):
            self._entry("reference", [f"failed: {look['error']}"])
            return
        faces = look.get("faces") or []
        scores = ", ".join(f"{face['confidence']:.4f}" for face in faces[:5])
        more = f", and {len(faces) - 5} more" if len(faces) > 5 else ""
        text = f"{_count(len(faces), 'face')}" + (f" ({scores}{more})" if faces else "")
        if "faces_published" in look:
            text += f" with these weights, {look['faces_published']} with the published ones"
        if faces and look.get("order"):
            text += f"; channels: {look['order']}"
        if look.get("repairs"):
            lines = "; ".join(f"image = {line}" for line in look["repairs"])
            text += f" after {lines}"
        if look.get("refused"):
            text += f"; as it is given: {look['refused']}"
        self._entry("reference", [f"{look['name']}: {text}" if several else text])
        if look.get("drawn"):
            self._entry("drawn", [self._redact.text(look["drawn"])])

    def _dotted(self, parts: Iterator[str]) -> str:
        return f" {self._look.dot} ".join(parts)


def _rank(severity: Severity) -> int:
    return severity.rank


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _looks(item: str, facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    names = {item, *(array["name"] for array in facts["arrays"] if array.get("item") == item)}
    return [look for look in facts["looks"] if look["name"] in names]


def _summary(item: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a header, or a recording, says of itself, in a few words each."""
    for image in facts["images"]:
        if image.get("name") != item:
            continue
        yield str(image.get("format", "unknown")).upper()
        if image.get("width"):
            yield f"{image['width']}×{image['height']}"
        if image.get("channels"):
            ink = " (CMYK)" if image.get("cmyk") else ""
            yield f"{_count(image['channels'], 'channel')} of {image.get('bit_depth', 8)} bits{ink}"
        if (image.get("orientation") or 1) != 1:
            yield f"EXIF orientation {image['orientation']}"
        if image.get("size_bytes") is not None:
            yield f"{image['size_bytes']} bytes"
    for recording in facts["recordings"]:
        if recording["name"] != item:
            continue
        yield recording["kind"]
        if recording.get("width"):
            yield f"{recording['width']}×{recording['height']}"
        if recording.get("fps"):
            yield f"{recording['fps']:g} frames a second"
        for key in ("codec", "backend"):
            if recording.get(key):
                yield str(recording[key])
        yield f"{recording['frames']} of {recording['asked']} pictures"
    count = sum(1 for array in facts["arrays"] if array.get("item") == item)
    if count:
        yield _count(count, "array")


def _array(array: Mapping[str, Any]) -> str:
    """Return the shape, type and range of an array in one line."""
    shape = "×".join(str(length) for length in array["shape"]) or "no dimensions"
    text = f"{shape} {array.get('dtype')}"
    if array.get("minimum") is not None:
        text += f", {array['minimum']:g} to {array['maximum']:g}"
    if array.get("nonfinite"):
        text += f", {array['nonfinite']} not finite"
    return text


def _answer(row: Mapping[str, Any]) -> str:
    """Return what a package does with an input: tried, or known."""
    if row.get("error"):
        return f"raises {row['error']} (tried)"
    if row.get("faces") is not None:
        count = row["faces"]
        found = f"finds {_count(count, 'face')} (tried)" if count else "finds nothing (tried)"
        known = str(row.get("says") or "")
        return f"{found}; {known}" if known.startswith("wrong") else found
    said = row.get("says")
    if said is None:
        return ""
    return {"nothing": "finds nothing, and says nothing"}.get(said, str(said))
