"""The files of a bug report: collected, redacted, bounded, and packed the same way every time."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtcnn_doctor.report.redact import Redactor

#: Of one file, and of all of them, in bytes before they are packed. GitHub takes 25 MB of an issue.
LARGEST = 1 << 20
LARGEST_REPORT = 8 << 20
TOTAL = 16 << 20
MOST_FILES = 100
_TEXTS = (".txt", ".md", ".json", ".log", ".err", ".out")
#: The first moment that a zip file can tell.
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Part:
    """A file of the bug report, by its name in the zip; ``note`` says what was cut."""

    name: str
    data: bytes
    note: str = ""


def part(name: str, text: str, note: str = "") -> Part:
    """Return a text as a part. A file name that is no UTF-8 is written as an escape."""
    return Part(name, text.encode("utf-8", "backslashreplace"), note)


def crash_parts(folder: Path, redactor: Redactor) -> tuple[list[Part], list[str]]:
    """Return the text files of a crash folder, or of a folder of them, and what was left out.

    Links are not followed, pipes and devices not opened: whoever made the folder does not say what
    of this machine goes into a bug report.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[Part] = []
    left_out: list[str] = []
    total = 0
    for names, path in _entries(folder, redactor):
        name = "/".join(("crash", *names))
        if len(found) >= MOST_FILES or total >= TOTAL:
            left_out.append(f"{name}: there are too many files")
            continue
        try:
            text, note = _text(path)
        except (OSError, ValueError) as problem:
            left_out.append(f"{name}: {problem.strerror or ''}" if isinstance(problem, OSError)
                            else f"{name}: {problem}")  # fmt: skip
            continue
        if name in [one.name for one in found]:
            name = f"{name}-{len(found)}"
        found.append(part(name, _clean(text, path.suffix, redactor), note))
        total += len(found[-1].data)
    return found, left_out


def _entries(
    folder: Path, redactor: Redactor, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Path]]:
    """The entries of a folder and of those in it, with names that are safe in any zip."""
    for path in sorted(folder.iterdir()):
        names = (*above, re.sub(r"[^\w.+-]", "_", redactor.text(f"/{path.name}")[1:]).lstrip("."))
        if not above and stat.S_ISDIR(path.lstat().st_mode):
            try:
                yield from _entries(path, redactor, names)
            except PermissionError:
                yield names, path
        else:
            yield names, path


def _text(path: Path) -> tuple[str, str]:
    """Return what a text file holds, and a note where it was cut.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none.
    """
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise ValueError("a link, which is not followed")
    if not stat.S_ISREG(mode):
        raise ValueError("not a regular file")
    if path.suffix.lower() not in _TEXTS:
        raise ValueError(f"not one of {', '.join(_TEXTS)}")
    # It may have been exchanged since: opened without following, or waiting for, anything.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, os.O_RDONLY | flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        size = os.fstat(file.fileno()).st_size
        data = file.read(LARGEST + 1)
    if b"\0" in data:
        raise ValueError("not a text")
    if len(data) <= LARGEST:
        return data.decode("utf-8", "replace"), ""
    # What a name is cut in two is no longer recognised as one: the last word goes, too.
    text = re.sub(r"\S{1,256}\Z", "", data[:LARGEST].decode("utf-8", "replace"))
    return text, f"cut, its {size} bytes are too many"


def _clean(text: str, ending: str, redactor: Redactor) -> str:
    if ending.lower() == ".json":
        try:
            return json_text(redactor.data(json.loads(text)))
        except (ValueError, RecursionError):
            pass  # cut, or broken: a text like any other
    return redactor.text(text)


def json_text(data: object) -> str:
    """Return data as JSON for people."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def packed(parts: Sequence[Part]) -> bytes:
    """Return a zip file of the parts: the same bytes for the same parts, whenever it is made."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as file:
        for one in sorted(parts, key=lambda part: part.name):
            entry = zipfile.ZipInfo(one.name, _TIME)
            entry.create_system = 3  # Unix, for the permissions
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, one.data)
    return memory.getvalue()
