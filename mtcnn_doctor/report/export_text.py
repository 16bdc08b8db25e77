"""What came of an export, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from mtcnn_doctor import __version__
from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

_MARKS = {"verified": "pass", "not-verified": "warning", "wrong": "error", "failed": "error"}


def render(result: Mapping[str, Any]) -> str:
    """Return the result as JSON text."""
    data = {"tool": {"name": "mtcnn-doctor", "version": __version__}, **Redactor().data(result)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def print_to(stream: IO[str], result: Mapping[str, Any]) -> None:
    """Write the result for people."""
    look = Look.of(stream, no_color=True)
    redact = Redactor()
    state, verification = result["state"], result["verification"]
    reader = (verification or {}).get("reader")
    lines = []
    if state in ("verified", "not-verified"):
        written = result["networks"].values()
        lines += [f"  {one['name']}  {one['bytes'] / 1000:.0f} kB" for one in written]
        lines.append("  metadata.json, README.md")
    head = {
        "verified": f"{result['kind']} written to {result['folder']} and verified",
        "not-verified": f"{result['kind']} written to {result['folder']}, not verified",
        # Which of the two is wrong, `check` finds out: it does not trust NumPy either.
        "wrong": f"{result['kind']} not written: the files as {reader} runs "
        "them and NumPy disagree (mtcnn-doctor check tells which is wrong)",
        "failed": f"{result['kind']} not written",
    }[state]
    if state == "verified":
        version = verification["version"]
        with_what = verification["reader"] + (f" {version}" if version else "")
        head += (
            f" with {with_what}: at most {verification['max_error']:.1e} off at several sizes "
            "and batches"
        )
    elif result["reason"]:
        head += f": {result['reason']}"
    for line in [f"{look.mark(_MARKS[state])} {head}", *lines]:
        stream.write(look.fit(redact.text(line)) + "\n")
