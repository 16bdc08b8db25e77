"""Aiming the commands of remedies at the interpreter that was examined.

A bare ``pip install`` mends whatever environment the shell happens to mean, which often is not
the one with the fault.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtcnn_doctor.model import Finding

_BARE = "pip install "
_BENCH = "mtcnn-doctor bench "
_COMMANDS = ("check", "bench", "matrix")


def aimed(
    findings: Iterable[Finding],
    python: str,
    packages: Mapping[str, Any],
    command: Sequence[str] = (),
) -> list[Finding]:
    """Return the findings with ``pip install`` and ``bench`` naming the target's interpreter.

    Args:
        findings: Findings with commands as the checks wrote them.
        python: Path of the target's interpreter.
        packages: The fact ``packages``; environments made by uv hold no pip, so uv is named.
        command: The command line that asked: ``bench`` is started the same way, and keeps its
            limit of time.
    """
    start = installer(python, packages)
    bench = _bench(command) + (f"--python {_quoted(python)} " if python != sys.executable else "")

    def aim(finding: Finding) -> Finding:
        if finding.remedy is None:
            return finding
        text = finding.remedy.text
        text = text.replace(_BENCH, bench)
        commands = tuple(
            start + command[len(_BARE) :] if command.startswith(_BARE) else command
            for command in finding.remedy.commands
        )
        return replace(finding, remedy=replace(finding.remedy, text=text, commands=commands))

    return [aim(finding) for finding in findings]


def installer(python: str, packages: Mapping[str, Any]) -> str:
    """Return the beginning of a command that installs into an interpreter's environment.

    Args:
        python: Path of the interpreter.
        packages: The fact ``packages``; environments made by uv hold no pip, so uv is named.
    """
    installed = {one.get("key") for one in packages.get("distributions") or ()}
    if "pip" in installed or not installed:
        return f"{_quoted(python)} -m pip install "
    return f"uv pip install --python {_quoted(python)} "


def _quoted(python: str) -> str:
    return f'"{python}"' if sys.platform == "win32" and " " in python else shlex.quote(python)


def _bench(command: Sequence[str]) -> str:
    """Return the beginning of a ``bench`` that is started, and limited, as a command was."""
    words = list(command)
    at = next((number for number, word in enumerate(words) if word in _COMMANDS), 0)
    start = f"{shlex.join(words[:at])} bench " if at else _BENCH
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name == "--timeout":
            value = value or "".join(words[number + 1 : number + 2])
            start += f"--timeout {shlex.quote(value)} "
    return start
