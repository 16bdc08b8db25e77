"""A distribution's files on disk against its RECORD."""

from __future__ import annotations

import csv
import os
import re
import struct
from typing import Any

_LISTED = 20
_BINARY = (".so", ".pyd", ".dll", ".dylib")
# What a run needs. Headers, stubs, tests and documents are often removed from images to save
# room, and nothing breaks.
_NEEDED = (".py", ".lz4", ".npy", ".npz", ".pt", ".json", *_BINARY)


def read_text(path: str) -> str | None:
    """Return the text of a small file, None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def is_binary(name: str) -> bool:
    """Whether the name is that of a shared library."""
    return name.endswith(_BINARY) or ".so." in name


# One pass over the whole text: RECORDs of frameworks have ten thousand lines and more, most of
# them headers, stubs and bytecode.
_ROW = re.compile(
    r'^([^",\n]+\.(?:py|lz4|npy|npz|pt|json|so|pyd|dll|dylib|so\.[^",/\n]+)),[^,\n]*,(\d*)\r?$',
    re.MULTILINE,
)
_UNNEEDED = re.compile(r"(?:^|/)(?:test|tests|include|share|doc|docs|examples)/")
# Outside the folder lie scripts, which installers rewrite.
_OUTSIDE = re.compile(r"\.\.|/|.:|[^/]*\.dist-info/")


def _rows(text: str) -> list[tuple[str, int | None]]:
    """Return the files of RECORD whose absence would be felt in a run, with their sizes."""
    rows = _ROW.findall(text)
    if '"' in text:
        # Only odd names are quoted.
        for line in text.splitlines():
            fields = next(csv.reader([line]), []) if line.startswith('"') else []
            if len(fields) == 3 and fields[0].endswith(_NEEDED):
                rows.append((fields[0], fields[2] if fields[2].isdigit() else ""))
    return [
        (path, int(size) if size else None)
        for path, size in rows
        if not _UNNEEDED.search(path) and not _OUTSIDE.match(path)
    ]


def is_cut_elf(path: str, size: int) -> bool | None:
    """Whether an ELF file ends before its own section table; None when it is not ELF.

    A library that `strip` made smaller than its RECORD says is whole; a cut one is not.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(64)
    except OSError:
        return None
    if len(head) < 64 or head[:4] != b"\x7fELF":
        return None
    order = "<" if head[5] == 1 else ">"
    if head[4] == 2:
        (offset,) = struct.unpack_from(order + "Q", head, 0x28)
        entry, count = struct.unpack_from(order + "HH", head, 0x3A)
    else:
        (offset,) = struct.unpack_from(order + "I", head, 0x20)
        entry, count = struct.unpack_from(order + "HH", head, 0x2E)
    return bool(offset + entry * count > size)


def _is_truncated(path: str, name: str, recorded: int | None) -> bool:
    if not recorded:
        return False
    try:
        size = os.stat(path).st_size
    except OSError:
        return False
    if size >= recorded:
        return False
    if size == 0:
        return True
    # A shorter source file may be somebody's edit.
    if not is_binary(name):
        return False
    cut = is_cut_elf(path, size)
    return True if cut is None else cut


def compare(metadata: str, location: str) -> dict[str, Any]:
    """Return which files of RECORD are missing or cut short; {} where there is no RECORD."""
    text = read_text(os.path.join(metadata, "RECORD"))
    if text is None:
        return {}
    listings: dict[str, set[str] | None] = {}
    missing: list[str] = []
    truncated: list[str] = []
    checked = 0
    for path, size in _rows(text):
        checked += 1
        folder, _, name = path.rpartition("/")
        if folder not in listings:
            # One listing a folder is far cheaper than asking for each file.
            try:
                listings[folder] = set(os.listdir(os.path.join(location, folder)))
            except OSError:
                listings[folder] = None
        names = listings[folder]
        if names is None or name not in names:
            # Names may differ in case on file systems that do not care.
            if not os.path.exists(os.path.join(location, path)):
                missing.append(path)
        elif _is_truncated(os.path.join(location, path), name, size):
            truncated.append(path)
    return {
        "files_checked": checked,
        "files_missing": missing[:_LISTED],
        "files_missing_count": len(missing),
        "files_truncated": truncated[:_LISTED],
        "files_truncated_count": len(truncated),
    }
