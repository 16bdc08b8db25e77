"""Which interpreters the commands of this shell belong to: ``python``, ``pip``, ``jupyter``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: How long a version manager may take to say what one of its shims stands for.
_SHIM_LIMIT_S = 5.0
_HEAD_BYTES = 512


def command_path(name: str) -> str | None:
    """Return the file that a command is in this shell."""
    return shutil.which(name)


def interpreter_of(path: str) -> str | None:
    """Return the interpreter that a command's file is, or is run by; None where it is not told.

    A script of pip's or uv's making names it in its first lines, a launcher of Windows lies beside
    it, a shim of pyenv is asked for.
    """
    if Path(path).parent.name == "shims":
        real = _behind_shim(path)
        return None if real is None else interpreter_of(real)
    if sys.platform == "win32":
        beside = [Path(path).parent / "python.exe", Path(path).parent.parent / "python.exe"]
        return next((str(python) for python in beside if python.is_file()), None)
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return None
    if not head.startswith(b"#!"):
        name = Path(path).name
        return os.path.abspath(path) if name.startswith(("python", "pypy")) else None
    text = head.decode("utf-8", "replace")
    first, _, rest = text[2:].partition("\n")
    words = first.split()
    if words and words[0].endswith("/env") and len(words) > 1:
        return shutil.which(words[-1])
    if words and Path(words[0]).name.startswith(("python", "pypy")):
        # A path with a space in it is written in the other way.
        return words[0]
    second = re.match(r"'''exec' [\"']?(.+?)[\"']? \"\$0\"", rest)
    return second[1] if second else None


def _behind_shim(path: str) -> str | None:
    """Return the file that a shim of pyenv stands for in this folder."""
    pyenv = shutil.which("pyenv") or str(Path(path).parent.parent / "bin" / "pyenv")
    try:
        done = subprocess.run(
            [pyenv, "which", Path(path).name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SHIM_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = done.stdout.strip()
    return found if done.returncode == 0 and os.path.isfile(found) else None


def same_environment(first: str, second: str) -> bool:
    """Whether two interpreters are one: names of the same file in the same folder.

    A virtual environment's python is a link to that of another folder, and is another one.
    """

    def place(path: str) -> tuple[str, str]:
        whole = os.path.abspath(path)
        return os.path.realpath(os.path.dirname(whole)), os.path.realpath(whole)

    return place(first) == place(second)


def interpreters(*names: str) -> Mapping[str, tuple[str, str | None]]:
    """Return for each command that there is its file and its interpreter."""
    found = {}
    for name in names:
        path = command_path(name)
        if path is not None:
            found[name] = (path, interpreter_of(path))
    return found
