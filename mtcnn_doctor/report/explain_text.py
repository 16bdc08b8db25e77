"""The text of ``mtcnn-doctor explain``: known failures, best first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor.report.look import Look

_INDENT = 14
#: More sources are in the JSON.
_SOURCES = 3


def answer(found: Mapping[str, Any], checks: Collection[str], look: Look) -> str:
    """Return the report about a text in which failures were recognised."""
    matches: Sequence[Mapping[str, Any]] = found["matches"]
    entries = [entry(match, checks, look) for match in matches]
    if all(match["severity"] == "info" for match in matches):
        entries.insert(0, "Harmless lines were recognised; a failure, if there is one, was not.\n")
    elif len(matches) > 1:
        entries.insert(0, f"{len(matches)} known failures fit, the likeliest first.\n")
    return "\n".join(entries)


def nothing(found: Mapping[str, Any]) -> str:
    """Return the one line about a text in which nothing was recognised."""
    return (
        f"no known failure in {found['searched']}; give the whole output if this was a part, or "
        "run mtcnn-doctor check, which examines the environment itself"
    )


def entry(row: Mapping[str, Any], checks: Collection[str], look: Look) -> str:
    """Return the lines about one failure; ``checks`` are the ids of the checks that exist."""
    harmless = ", harmless" if row["severity"] == "info" else ""
    sure = f"match: {row['match']}" if "match" in row else f"confidence: {row['confidence']}"
    lines = [f"{row['id']} ({sure}{harmless})"]
    for name, text in _fields(row, checks):
        first, *others = look.wrap(text, _INDENT)
        lines.append(f"  {name:<{_INDENT - 2}}{first}")
        lines += [" " * _INDENT + other for other in others]
    return "\n".join(lines) + "\n"


def _fields(row: Mapping[str, Any], checks: Collection[str]) -> Iterator[tuple[str, str]]:
    if "said" in row:
        yield "said", f"line {row['line']}: {row['said']}" if row["line"] else row["said"]
    yield "cause", row["cause"]
    yield "remedy", row["remedy"]
    for command in row["commands"]:
        yield "command", command
    if row.get("affects"):
        yield "affects", ", ".join(row["affects"])
    if row.get("signal"):
        yield "dies of", row["signal"]
    if row.get("check") in checks:
        yield "looked for", f"by mtcnn-doctor check: {row['check']}"
    for source in (row["source"], *row.get("also", ()))[:_SOURCES]:
        yield "source", source
    yield "reviewed", row["reviewed"] + (", reproduced" if row.get("reproduced") else "")
