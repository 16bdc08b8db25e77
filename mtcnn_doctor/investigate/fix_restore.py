"""Bringing an environment back to a freeze: only what differs, and what shares its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from mtcnn_doctor.investigate.fix_freeze import Freeze, Row
from mtcnn_doctor.investigate.fix_place import Place

_INSTALLERS = ("pip", "setuptools", "wheel")
#: Runs a command of the installer; says why it failed, "" where it did not.
Run = Callable[[tuple[str, ...]], str]


def commands(place: Place, wanted: Freeze, now: Freeze) -> list[tuple[str, ...]]:
    """Return the commands that bring an environment back; none where nothing differs."""
    changed = {str(one["name"]) for one in wanted.differences(now)}
    touched = set(changed)
    # Whoever removes one of two that own the same files takes them from the other.
    for row in (*wanted.rows.values(), *now.rows.values()):
        if row.key in changed:
            touched.update(row.shares)
    again = sorted(
        (row for key, row in wanted.rows.items() if key in touched), key=lambda row: row.written
    )
    sharing = {row.key for row in (*wanted.rows.values(), *now.rows.values()) if row.shares}
    gone = sorted(
        key for key in touched & now.rows.keys() if key not in wanted.rows or key in sharing
    )
    # Whoever installs the rest goes last.
    last = [key for key in gone if key in _INSTALLERS and key not in wanted.rows]
    first = [key for key in gone if key not in last]
    found = [place.uninstall(first)] if first else []
    found += [place.restore(*words) for words in _batches(again)]
    found += [place.uninstall(last)] if last else []
    return found


def _batches(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Yield words for one command each: apart what must come in order, or from elsewhere."""

    def kind(row: Row) -> tuple[str, str]:
        alone = row.key if row.shares or row.origin != "index" else ""
        return row.index, alone

    # Those that stand alone keep their order, which decides whose files are there.
    for (index, _), members in groupby(sorted(rows, key=lambda row: bool(kind(row)[1])), kind):
        words = tuple(word for row in members for word in row.spec)
        yield (("--extra-index-url", index) if index else ()) + words


def restore(
    place: Place, wanted: Freeze, look: Callable[[], Freeze], run: Run
) -> tuple[bool, list[str]]:
    """Bring an environment back; return whether it is as it was, and what went wrong."""
    now = look()
    _clear(now, wanted)
    if now.residues - wanted.residues:
        now = look()
    said = [failed for command in commands(place, wanted, now) if (failed := run(command))]
    return not wanted.differences(look()), said


def _clear(now: Freeze, wanted: Freeze) -> None:
    """Remove what an installer left that was ended half-way: its own, and newer than the freeze."""
    for path in now.residues - wanted.residues:
        inside = os.path.realpath(os.path.dirname(path)).startswith(wanted.prefix + os.sep)
        if not inside or os.path.islink(path):
            continue
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)
