"""Two reports side by side, as text: what can explain the difference first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor


def print_to(stream: IO[str], diff: Mapping[str, Any], *, verbose: bool, no_color: bool) -> None:
    """Write a comparison for people."""
    look, redact = Look.of(stream, no_color), Redactor()

    def line(text: str = "") -> None:
        stream.write(look.fit(redact.text(text)).rstrip() + "\n")

    for side in ("a", "b"):
        one = diff[side]
        line(f"{side.upper()}  {one['name']}: {one['verdict']}, {one['python']} ({one['created']})")
    line()
    if diff["same"]:
        line("No difference that matters.")
        return
    _findings(line, diff)
    _runs(line, diff)
    changes = diff["changes"]
    if changes:
        line("different in B, what can explain it first:")
        limit = len(changes) if verbose else 20
        for row in changes[:limit]:
            line(f"  {row['text']}")
        if len(changes) > limit:
            line(f"  and {len(changes) - limit} more (--verbose)")
    else:
        line("no package, setting or machine differs in what was looked at")


def _findings(line: Any, diff: Mapping[str, Any]) -> None:
    for key, title in (("only_a", "only in A"), ("only_b", "only in B")):
        for finding in diff["findings"][key]:
            line(f"{title}: {finding['id']}  {finding['title']}  [{finding['severity']}]")
    both = diff["findings"]["both"]
    if both:
        line(f"in both: {', '.join(finding['id'] for finding in both)}")
    if any(diff["findings"].values()):
        line()


def _runs(line: Any, diff: Mapping[str, Any]) -> None:
    if not diff["runs"]:
        return
    for run in diff["runs"]:
        words = [f"  {run['name']:<14} {_run(run['a'])} | {_run(run['b'])}"]
        if run["ratio"] is not None:
            words.append(f"B takes {run['ratio']:.2f} times as long")
        line("   ".join(words))
    line()


def _run(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "not run"
    median = "" if run["median_ms"] is None else f", {run['median_ms']:.0f} ms"
    faces = "" if run["faces"] is None else f", {run['faces']} faces"
    return f"{run['outcome']}{faces}{median}"
