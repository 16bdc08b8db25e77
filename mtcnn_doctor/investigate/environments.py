"""Environments of exact releases: what a set of requirements comes to, and making it on disk.

With uv, or with pip and venv. Wheels only: building from source would run foreign programs for a
long time, and would make another thing than users get.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mtcnn_doctor.investigate.matrix_commands import Commands

#: Limit of a command that only looks at what is here.
ASK_S = 60.0
#: Resolving reads metadata over the network; a mirror may be slow.
RESOLVE_S = 600.0
#: Releases of one package that are listed at most.
MOST_RELEASES = 150

UNRESOLVABLE, NOT_INSTALLED = "unresolvable", "not-installed"
WHEELS = ("--only-binary", ":all:")
_LONGEST_REASON = 600


@dataclass(frozen=True)
class Pin:
    """One release of a resolved set; ``size`` of its download in bytes where that is known."""

    name: str
    version: str
    size: int | None = None


@dataclass(frozen=True)
class Refusal:
    """Why there is no environment.

    ``state`` is "unresolvable" (there is no such set) or "not-installed" (it could not be had:
    the network, the disk). ``reason`` is one line, ``said`` what the installer said.
    """

    state: str
    reason: str
    said: str = ""


class Installer(ABC):
    """Resolves requirements for an interpreter, and makes environments."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is, with its version."""

    @abstractmethod
    def resolve(self, python: str, requirements: Sequence[str]) -> tuple[Pin, ...] | Refusal:
        """Return the exact releases that requirements come to. Nothing is installed."""

    @abstractmethod
    def releases(self, python: str, name: str, conditions: str) -> list[str] | Refusal:
        """Return the releases of a package that an interpreter can use, the newest first."""

    @abstractmethod
    def make(
        self, folder: Path, python: str, pins: Sequence[Pin], limit_s: float
    ) -> Refusal | None:
        """Make an environment with exactly these releases; return why not, where it fails."""


def python_in(folder: Path) -> str:
    """Return the interpreter of an environment."""
    inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    return str(folder / inside)


def pinned(pins: Sequence[Pin]) -> str:
    """Return exact releases as a file of requirements."""
    return "".join(f"{pin.name}=={pin.version}\n" for pin in pins)


def size_of(address: str) -> int | None:
    """Return the size of a wheel that lies on this machine, None for one that does not."""
    parts = urlsplit(address)
    if parts.scheme not in ("", "file") or not parts.path:
        return None
    try:
        return Path(unquote(parts.path)).stat().st_size
    except OSError:
        return None


def shortened(reason: str) -> str:
    """Return a reason as one line that a table can hold."""
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."
