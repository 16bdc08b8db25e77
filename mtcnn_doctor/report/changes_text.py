"""What changed since it last worked, in words: for every format of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from mtcnn_doctor.aim import installer
from mtcnn_doctor.model import Report

#: Changes that are named one by one; those near the fault always are.
SHOWN = 6


def heading(changes: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return the line above the changes: since when, and how many there are."""
    count = len(changes["list"])
    since = f"since the last good check here ({_ago(str(changes['since']), now)})"
    if count == 0:
        return f"nothing that is looked at has changed {since}"
    return f"changed {since}:" if count > 1 else f"one thing changed {since}:"


def shown(changes: Mapping[str, Any], everything: bool = False) -> tuple[list[str], int]:
    """Return the changes to name, and how many more there are."""
    rows: Sequence[Mapping[str, Any]] = changes["list"]
    near = sum(row["near"] == 0 for row in rows)
    limit = len(rows) if everything else max(SHOWN, near)
    return [str(row["text"]) for row in rows[:limit]], len(rows) - len(rows[:limit])


def way_back(report: Report) -> list[str]:
    """Return commands that put the former releases of the nearest packages back.

    None where nothing near the fault was upgraded or downgraded. They are a trial, not a cure.
    """
    rows = [
        row for row in (report.changes or {}).get("list", ())
        if row["kind"] == "package" and row["near"] < 2 and row["before"] and row["after"]
    ]  # fmt: skip
    if not rows:
        return []
    pins = " ".join(f'"{row["name"]}=={row["before"]}"' for row in rows[:SHOWN])
    packages = report.facts.get("packages") or {}
    return [installer(str(report.target.get("python")), packages) + pins]


def _ago(since: str, now: datetime | None) -> str:
    try:
        then = datetime.fromisoformat(since.replace("Z", "+00:00"))
    except ValueError:
        return since
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    seconds = ((now or datetime.now(timezone.utc)) - then).total_seconds()
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        count = int(seconds // size)
        if count >= 1:
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "less than a minute ago"
