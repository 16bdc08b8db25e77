"""Releases of the packages, and what is known of each: the tables in ``releases/``.

Each is read when it is first asked for. `schema.py` says which kinds of rows and columns there are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from mtcnn_doctor.knowledge.lookup import table


@cache
def packages() -> tuple[str, ...]:
    """Return the names of the tables."""
    folder = resources.files(__package__).joinpath("releases")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir()))


def rows(package: str, kind: str = "release") -> list[dict[str, Any]]:
    """Return the rows of one kind about a package; none where there is no such table."""
    if package not in packages():
        return []
    found: list[dict[str, Any]] = table(f"releases/{package}").get(kind, [])
    return found


def release(package: str, version: str, distribution: str = "") -> dict[str, Any] | None:
    """Return what is known of one release; ``distribution`` where a table holds several."""
    for row in rows(package):
        if row["version"] == version and distribution in ("", row.get("distribution")):
            return row
    return None
