"""One line of a requirements file, whatever the format, and reading a file at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mtcnn_doctor import toml
from mtcnn_doctor.errors import UsageError

#: A requirements file is short; what is larger is something else.
MOST_BYTES = 20 * 2**20

REQUIREMENT, CONSTRAINT, LOCKED, CONDA = "requirement", "constraint", "locked", "conda"


@dataclass(frozen=True)
class Need:
    """What an entry of a lock depends on; with a version where the lock holds several of it."""

    name: str
    extras: tuple[str, ...] = ()
    marker: str = ""
    version: str = ""


@dataclass(frozen=True)
class Line:
    """One distribution that a file names, and where.

    ``kind``: a requirement, a constraint (limits without asking), locked (an exact release that
    was resolved before), conda (of its channels, which have builds of their own). ``source`` is
    what it comes from instead of an index: "url", "path", "editable". ``wheels`` are names of the
    files that a lock lists, None where it lists none; ``needs`` what the entry of a lock needs.
    """

    name: str
    file: str
    line: int
    specifier: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    kind: str = REQUIREMENT
    source: str = ""
    wheels: tuple[str, ...] | None = None
    needs: tuple[Need, ...] = ()

    @property
    def where(self) -> str:
        """Return "file:line"."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Declaration:
    """What all files together say.

    ``python`` are conditions on Python with their places, ``python_wanted`` a version that the
    file itself chooses (conda), ``extras`` those asked for. ``remarks`` are what could not be
    judged, and why. ``roots`` are the names a lock starts from, None where all of it is installed.
    """

    files: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    python: list[tuple[str, str]] = field(default_factory=list)
    python_wanted: str = ""
    extras: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)
    roots: list[Need] | None = None


def read_text(path: Path, asked_by: str = "") -> str:
    """Return the text of a file.

    Raises:
        UsageError: it is not there, not a file, too large, or no text.
    """
    said = f"{asked_by}: {path}" if asked_by else f"--requirements {path}"
    try:
        if path.is_dir():
            raise UsageError(f"{said} is a folder; name a file such as {path / 'requirements.txt'}")
        if path.exists() and not path.is_file():
            raise UsageError(f"{said} is not a regular file; name a file of pins")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(
                f"{said} is larger than {MOST_BYTES // 2**20} MiB; name a file of pins"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{said} does not exist; name an existing file") from error
    except OSError as error:
        raise UsageError(f"{said} cannot be read: {error.strerror}") from error
    try:
        # Windows tools begin a file with a byte order mark; PowerShell's ">" writes UTF-16.
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{said} is not text in UTF-8; save it as UTF-8") from error


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a TOML file as text and as a document.

    Raises:
        UsageError: it cannot be read or is not TOML.
    """
    text = read_text(path)
    try:
        return text, toml.parse(text)
    except ValueError as error:
        raise UsageError(f"--requirements {path} is not valid TOML: {error}") from error


def parsed(text: str, file: str, line: int, kind: str = REQUIREMENT) -> Line:
    """Return a requirement (PEP 508) as a line.

    Raises:
        UsageError: it cannot be understood.
    """
    try:
        one = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{file}:{line}: '{text}' is no requirement ({reason}); write one such as "
            '"torch==2.13.0"'
        ) from error
    return Line(
        str(canonicalize_name(one.name)),
        file,
        line,
        str(one.specifier),
        tuple(sorted(one.extras)),
        str(one.marker or ""),
        kind,
        "url" if one.url else "",
    )


class Finder:
    """Finds the lines of a text on which strings stand, in the order in which they are asked."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def line(self, *strings: str) -> int:
        """Return the number of the next line with one of the strings; 0 where there is none."""
        places = [at for at in (self._text.find(one, self._at) for one in strings) if at >= 0]
        if not places:
            places = [at for at in map(self._text.find, strings) if at >= 0]
            if not places:
                return 0
        else:
            self._at = min(places) + 1
        return self._text.count("\n", 0, min(places)) + 1

    def go(self, string: str) -> int:
        """Go on from a string; return the number of its line."""
        at = self._text.find(string)
        self._at = max(at, 0)
        return self._text.count("\n", 0, at) + 1 if at >= 0 else 0


def table(document: Any, *keys: str) -> dict[str, Any]:
    """Return a table inside a document, {} where there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def strings(value: Any, file: str, what: str) -> Sequence[str]:
    """Return a list of strings.

    Raises:
        UsageError: it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{file}: {what} must be a list of strings")
    return value
