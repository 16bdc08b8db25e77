"""Aiming the commands of remedies at the interpreter that was examined.

A bare ``pip install`` mends whatever environment the shell happens to mean, which often is not
the one with the fault.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mtcnn_doctor.model import Finding

_BARE = "pip install "
_BENCH = "mtcnn-doctor bench "


def aimed(findings: Iterable[Finding], python: str, packages: Mapping[str, Any]) -> list[Finding]:
    """Return the findings with ``pip install`` and ``bench`` naming the target's interpreter.

    Args:
        findings: Findings with commands as the checks wrote them.
        python: Path of the target's interpreter.
        packages: The fact ``packages``; environments made by uv hold no pip, so uv is named.
    """
    installed = {one.get("key") for one in packages.get("distributions") or ()}
    path = f'"{python}"' if sys.platform == "win32" and " " in python else shlex.quote(python)
    if "pip" in installed or not installed:
        start = f"{path} -m pip install "
    else:
        start = f"uv pip install --python {path} "

    def aim(finding: Finding) -> Finding:
        if finding.remedy is None:
            return finding
        text = finding.remedy.text
        if python != sys.executable:
            text = text.replace(_BENCH, f"{_BENCH}--python {path} ")
        commands = tuple(
            start + command[len(_BARE) :] if command.startswith(_BARE) else command
            for command in finding.remedy.commands
        )
        return replace(finding, remedy=replace(finding.remedy, text=text, commands=commands))

    return [aim(finding) for finding in findings]
