"""The last good state of each target, in the user's cache: kept after a check without an error.

A history that cannot be read or written is no history: it never stops a check.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mtcnn_doctor import blackbox
from mtcnn_doctor.history.state import State

#: Set to anything but "" or "0", it keeps the doctor from keeping anything.
SWITCH = "MTCNN_DOCTOR_NO_HISTORY"
_VERSION = 1
#: States that are kept; the oldest give way. One takes some 10 KiB.
_MOST = 200
_LARGEST = 2**22


def folder() -> Path:
    """Return where states are kept."""
    return blackbox.home().parent / "history"


def is_allowed() -> bool:
    """Return whether the environment lets a history be kept."""
    return os.environ.get(SWITCH, "") in ("", "0")


def scope_of(
    level: int, backends: Sequence[str], subjects: Sequence[str], select: Sequence[str],
    ignore: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Return what a check looked at: only like is held against like."""
    return {
        "level": level,
        "backends": sorted(backends),
        "subjects": sorted(subjects),
        "select": sorted(select),
        "ignore": sorted(ignore),
    }


def keep(target: Mapping[str, Any], scope: Mapping[str, Any], state: State, created: str) -> None:
    """Keep a good state, in place of the one before it; in silence where that cannot be done."""
    record = {"version": _VERSION, "created": created, "scope": dict(scope), "state": state}
    with suppress(OSError, RuntimeError):  # RuntimeError: nobody knows where home is
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = place / f"{_name(target, scope)}.json"
        descriptor, name = tempfile.mkstemp(dir=place, prefix=".state.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(record, file, ensure_ascii=False)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _forget_the_oldest(place)


def last_good(target: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the newest record (``created``, ``state``) of a check that looked at as much.

    A check of a higher level has looked at more, and one of everything at more than one of some
    backends.
    """
    wide = {**scope, "backends": [], "subjects": ["all"], "select": [], "ignore": []}
    scopes = [scope, wide, *({**one, "level": level} for one in (scope, wide)
                             for level in range(int(scope["level"]) + 1, 4))]  # fmt: skip
    found = [record for one in scopes if (record := _read(target, one)) is not None]
    return max(found, key=lambda record: str(record["created"]), default=None)


def _read(target: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        path = folder() / f"{_name(target, scope)}.json"
        if path.stat().st_size > _LARGEST:
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError, RecursionError):
        return None
    good = isinstance(record, dict) and record.get("version") == _VERSION
    good = good and isinstance(record.get("state"), dict) and isinstance(record.get("created"), str)
    if not good or not all(isinstance(table, dict) for table in record["state"].values()):
        return None
    found: dict[str, Any] = record
    return found


def _name(target: Mapping[str, Any], scope: Mapping[str, Any]) -> str:
    """Return a name for a target and a scope: of the path as the user gave it, not of its version.

    An interpreter that was upgraded in its place is the same target.
    """
    words = json.dumps([str(target.get("python")), scope], sort_keys=True)
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _forget_the_oldest(place: Path) -> None:
    kept = [path for path in place.iterdir() if path.suffix == ".json"]
    if len(kept) > _MOST:
        kept.sort(key=lambda path: path.stat().st_mtime)
        for path in kept[: len(kept) - _MOST]:
            path.unlink(missing_ok=True)
