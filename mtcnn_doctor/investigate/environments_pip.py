"""Environments with pip and venv, where there is no uv."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.errors import UsageError
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

#: pip 23 resolves without installing and works on other environments than its own.
OLDEST = Version("23")
#: What pip writes when it could not ask an index; its own last word is then "no such version".
_UNREACHED = re.compile(
    r"Retrying \(|connection broken|Could not fetch URL|ProxyError|SSLError|"
    r"Temporary failure in name resolution|Read timed out|Connection refused|HTTP error|"
    r"No space left on device"
)


class Pip(Installer):
    """pip and venv, where there is no uv."""

    def __init__(self, commands: Commands) -> None:
        super().__init__(commands)
        self._found: dict[str, tuple[list[str], Version]] = {}

    @property
    def name(self) -> str:
        """What it is, with its version where it was asked."""
        versions = {str(version) for _, version in self._found.values()}
        return f"pip {', '.join(sorted(versions))}" if versions else "pip"

    def _pip(self, python: str) -> list[str]:
        """Return a pip that can work on this interpreter, and on environments made of it.

        Raises:
            UsageError: neither this interpreter nor the doctor's own has one that is new enough.
        """
        if python not in self._found:
            for runner in (sys.executable, python):
                command = [runner, "-I", "-m", "pip"]
                asked = [*command, "--python", python, "--version"]
                words = self._commands.run(asked, ASK_S).out.split()
                try:
                    version = Version(words[1])
                except (IndexError, InvalidVersion):
                    continue
                if version >= OLDEST:
                    self._found[python] = (command, version)
                    break
            else:
                raise UsageError(
                    f"there is neither uv nor a pip from {OLDEST} on for {python}; "
                    'pip install "mtcnn-doctor[matrix]" brings uv'
                )
        return self._found[python][0]

    def resolve(self, python: str, requirements: Sequence[str]) -> tuple[Pin, ...] | Refusal:
        """Return the exact releases that requirements come to."""
        with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
            report = Path(folder) / "report.json"
            done = self._commands.run(
                [*self._pip(python), "--python", python, "install", "--dry-run",
                 "--ignore-installed", *WHEELS, "--report", report, *requirements],
                RESOLVE_S,
            )  # fmt: skip
            if done.code != 0:
                return _pip_refusal(done)
            try:
                found = json.loads(report.read_text(encoding="utf-8"))["install"]
                return tuple(sorted((_reported(one) for one in found), key=lambda pin: pin.name))
            except (OSError, ValueError, KeyError, TypeError) as problem:
                return Refusal(NOT_INSTALLED, "pip's report is not understood", f"{problem}")

    def releases(self, python: str, name: str, conditions: str) -> list[str] | Refusal:
        """Return the releases of a package, the newest first."""
        bare = name.partition("[")[0]
        done = self._commands.run(
            [*self._pip(python), "--python", python, "index", "versions", *WHEELS, bare], RESOLVE_S
        )
        if done.code != 0:
            return _pip_refusal(done)
        line = next((x for x in done.out.splitlines() if x.startswith("Available versions:")), "")
        versions = [word.strip() for word in line.partition(":")[2].split(",") if word.strip()]
        fitting = SpecifierSet(conditions)
        return [version for version in versions if fitting.contains(version)][:MOST_RELEASES]

    def make(
        self, folder: Path, python: str, pins: Sequence[Pin], limit_s: float
    ) -> Refusal | None:
        """Make an environment with exactly these releases."""
        done = self._commands.run([python, "-I", "-m", "venv", "--without-pip", folder], ASK_S)
        if done.code == 0:
            with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as place:
                wanted = Path(place) / "requirements.txt"
                wanted.write_text(pinned(pins), encoding="utf-8")
                done = self._commands.run(
                    [*self._pip(python), "--python", python_in(folder), "install", "--no-deps",
                     *WHEELS, "--requirement", wanted],
                    limit_s,
                )  # fmt: skip
        if done.code == 0:
            return None
        refusal = _pip_refusal(done)
        return Refusal(NOT_INSTALLED, refusal.reason, refusal.said)


def _reported(entry: Mapping[str, Any]) -> Pin:
    metadata = entry["metadata"]
    size = size_of(str((entry.get("download_info") or {}).get("url") or "https://"))
    return Pin(canonicalize_name(metadata["name"]), str(metadata["version"]), size)


def _pip_refusal(done: Done) -> Refusal:
    said = f"{done.out}\n{done.err}".strip()
    if done.code is None:
        return Refusal(NOT_INSTALLED, "the time of the installer was over", said)
    errors = [x.partition("ERROR:")[2].strip() for x in said.splitlines() if x.startswith("ERROR:")]
    beside = ("ResolutionImpossible", "No matching", "Ignored the following")
    errors = [line for line in errors if not line.startswith(beside)]
    unreached = next((x for x in said.splitlines() if _UNREACHED.search(x)), None)
    if unreached is not None:
        reason = re.sub(r"^(WARNING|ERROR):\s*", "", unreached.strip())
        return Refusal(NOT_INSTALLED, shortened(reason), said)
    # Every version there is, where none fits, is more than anybody reads.
    lines = [re.sub(r"\s*\(from versions: .*", "", line) for line in errors]
    caused = re.search(r"The conflict is caused by:\n((?:    .*\n)+)", said)
    if caused:
        lines.append("; ".join(line.strip() for line in caused[1].splitlines()))
    return Refusal(
        UNRESOLVABLE if lines else NOT_INSTALLED,
        shortened(": ".join(lines)) or f"pip ended with exit code {done.code}",
        said,
    )
