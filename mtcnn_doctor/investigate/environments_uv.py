"""Environments with uv, which resolves in a fraction of a second and links from its cache."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mtcnn_doctor import toml
from mtcnn_doctor.investigate.environments import (
    ASK_S,
    MOST_RELEASES,
    NOT_INSTALLED,
    RESOLVE_S,
    UNRESOLVABLE,
    WHEELS,
    Installer,
    Pin,
    Refusal,
    pinned,
    python_in,
    shortened,
    size_of,
)
from mtcnn_doctor.investigate.matrix_commands import Commands, Done

#: The first release of uv that writes what it resolved as pylock.toml, with a margin.
OLDEST = Version("0.8")


class Uv(Installer):
    """uv: resolves in a fraction of a second and links from its own cache."""

    def __init__(self, commands: Commands, program: str, version: str) -> None:
        super().__init__(commands)
        self._program = program
        self._version = version

    @property
    def name(self) -> str:
        """What it is, with its version."""
        return f"uv {self._version}"

    def resolve(self, python: str, requirements: Sequence[str]) -> tuple[Pin, ...] | Refusal:
        """Return the exact releases that requirements come to."""
        return self._compile(python, requirements)

    def _compile(
        self, python: str, requirements: Sequence[str], *options: str
    ) -> tuple[Pin, ...] | Refusal:
        done = self._commands.run(
            [self._program, "pip", "compile", "--quiet", "--no-header", "--python", python,
             "--format", "pylock.toml", *WHEELS, *options, "-"],
            RESOLVE_S,
            "\n".join(requirements) + "\n",
        )  # fmt: skip
        if done.code != 0:
            return _uv_refusal(done)
        try:
            document = toml.parse(done.out)
            # An empty set of packages is left out of the document.
            found = document.get("packages", ())
            tags = _tags(document["requires-python"])
            return tuple(sorted((_locked(one, tags) for one in found), key=lambda pin: pin.name))
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            return Refusal(
                NOT_INSTALLED, f"{self.name} answered what is not understood", f"{problem}"
            )

    def releases(self, python: str, name: str, conditions: str) -> list[str] | Refusal:
        """Return the releases of a package, the newest first.

        uv lists none, but it tells the newest that fits; so it is asked for ever older ones.
        """
        found: list[str] = []
        while len(found) < MOST_RELEASES:
            older = [f"<{Version(found[-1]).public}"] if found else []
            wanted = ",".join([*filter(None, [conditions]), *older])
            answer = self._compile(python, [name + wanted], "--no-deps")
            if isinstance(answer, Refusal):
                if not found or answer.state != UNRESOLVABLE:
                    return answer
                return found
            found.append(answer[0].version)
        return found

    def make(
        self, folder: Path, python: str, pins: Sequence[Pin], limit_s: float
    ) -> Refusal | None:
        """Make an environment with exactly these releases."""
        done = self._commands.run(
            [self._program, "venv", "--quiet", "--no-project", "--python", python, folder], ASK_S
        )
        if done.code == 0:
            done = self._commands.run(
                [self._program, "pip", "install", "--quiet", "--no-deps", *WHEELS,
                 "--python", python_in(folder), "--requirement", "-"],
                limit_s,
                pinned(pins),
            )  # fmt: skip
        if done.code == 0:
            return None
        refusal = _uv_refusal(done)
        # These releases were resolved a moment ago: what is wrong now is getting them.
        return Refusal(NOT_INSTALLED, refusal.reason, refusal.said)


def program() -> str | None:
    """Return uv beside the doctor (the extra ``matrix`` brings it there), or on PATH."""
    places = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), None]
    return next(filter(None, (shutil.which("uv", path=place) for place in places)), None)


def version_of(path: str, commands: Commands) -> Version | None:
    """Return the release of a uv, None where it is none."""
    words = commands.run([path, "--version"], ASK_S).out.split()
    try:
        return Version(words[1])
    except (IndexError, InvalidVersion):
        return None


def _locked(package: Mapping[str, Any], tags: Sequence[Tag]) -> Pin:
    wheel = _wheel(package.get("wheels") or (), tags)
    size: int | None = wheel.get("size")
    if size is None:
        size = size_of(_address(wheel) or "https://")
    return Pin(canonicalize_name(package["name"]), str(package["version"]), size)


def _wheel(wheels: Sequence[Mapping[str, Any]], tags: Sequence[Tag]) -> Mapping[str, Any]:
    """Return the wheel that will be installed: older releases of uv list those of all systems."""
    if len(wheels) == 1:
        return wheels[0]
    places = {tag: place for place, tag in enumerate(tags)}
    best: tuple[int, Mapping[str, Any]] = (len(tags), {})
    for wheel in wheels:
        try:
            fitting = parse_wheel_filename(unquote(_address(wheel).rsplit("/", 1)[-1]))[3]
        except InvalidWheelFilename:
            continue
        place = min((places[tag] for tag in fitting if tag in places), default=len(tags))
        if place < best[0]:
            best = (place, wheel)
    return best[1]


def _address(wheel: Mapping[str, Any]) -> str:
    return str(wheel.get("url") or wheel.get("path") or "")


def _tags(requires: str) -> list[Tag]:
    """Return what the interpreter of a resolution (">=3.11.7") takes, the best first."""
    release = Version(requires.lstrip(">= ")).release[:2]
    interpreter = "cp" + "".join(map(str, release))
    return [*cpython_tags(release), *compatible_tags(release, interpreter)]


def _uv_refusal(done: Done) -> Refusal:
    if done.code is None:
        return Refusal(NOT_INSTALLED, "the time of the installer was over", done.err)
    said = done.err.strip()
    # Older releases draw a tree of causes, newer ones name them.
    lines = [
        re.sub(r"^[\s│├╰─▶×]*(?:cause:|error:|Caused by:)?\s*", "", x) for x in said.splitlines()
    ]
    hint = next((place for place, line in enumerate(lines) if line.startswith("hint:")), len(lines))
    hints = " ".join(lines[hint:])
    lines = [line for line in lines[:hint] if line and not line.startswith("warning:")]
    unresolvable = bool(lines) and lines[0].startswith("No solution found")
    if unresolvable:
        lines = lines[1:]
        if "network was disabled" in hints:
            return Refusal(NOT_INSTALLED, f"{' '.join(lines)} (the network is disabled)", said)
    separator = " " if unresolvable else ": "
    reason = separator.join(dict.fromkeys(line.rstrip(":") for line in lines))
    return Refusal(
        UNRESOLVABLE if unresolvable else NOT_INSTALLED,
        shortened(reason) or f"uv ended with exit code {done.code}",
        said,
    )
