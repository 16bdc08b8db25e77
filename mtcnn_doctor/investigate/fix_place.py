"""The environment that is to be mended: what it is, who installs into it, and whether one may."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.investigate.environments_uv import program as uv_program
from mtcnn_doctor.investigate.fix_commands import Change

#: https://peps.python.org/pep-0668/
_MARKER = "EXTERNALLY-MANAGED"
#: pip tells what it would do, and works on another environment than its own, from here on.
_REHEARSES, _REACHES_OUT = Version("22.2"), Version("22.3")
#: Prefixes whose Python belongs to the operating system.
_SYSTEM = ("/System/Library", "/Library/Developer")
WHEELS = ("--only-binary", ":all:")


@dataclass(frozen=True)
class Place:
    """Where installing would be done.

    ``kind`` is "venv", "conda" or "python" (no environment of its own); ``installer`` "pip" or
    "uv", ``program`` how it is started. ``refusal`` says why nothing may be installed, "" where
    it may. ``rehearses``: the installer can tell what it would do.
    """

    python: str
    kind: str
    installer: str = ""
    program: tuple[str, ...] = ()
    refusal: str = ""
    rehearses: bool = True
    remarks: tuple[str, ...] = ()

    def install(self, change: Change) -> tuple[str, ...]:
        """Return the command that makes a change."""
        names = [one.name for one in change.requirements]
        words = list(WHEELS)
        if change.alone:
            words.append("--no-deps")
        if change.index:
            words += ["--index-url", change.index]
        if self.installer == "uv":
            # uv's --upgrade and --reinstall mean every requirement of a requirement, too.
            for asked, option in ((change.upgrade, "--upgrade"), (change.again, "--reinstall")):
                words += [f"{option}-package={name}" for name in names if asked]
        else:
            words += ["--upgrade"] * change.upgrade + ["--force-reinstall"] * change.again
        return (*self._verb("install"), *words, *map(spelled, change.requirements))

    def restore(self, *specs: str) -> tuple[str, ...]:
        """Return the command that installs exactly these again, and nothing with them."""
        again = "--reinstall" if self.installer == "uv" else "--force-reinstall"
        return (*self._verb("install"), "--no-deps", again, *specs)

    def uninstall(self, names: list[str]) -> tuple[str, ...]:
        """Return the command that uninstalls distributions."""
        sure = () if self.installer == "uv" else ("--yes",)
        return (*self._verb("uninstall"), *sure, *names)

    def _verb(self, verb: str) -> tuple[str, ...]:
        if self.installer == "uv":
            return (*self.program, "pip", verb, "--python", self.python)
        return (*self.program, verb)


def spelled(requirement: Requirement) -> str:
    """Return a requirement as an installer takes it."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def place_of(python: str, facts: Mapping[str, Any], live: bool) -> Place:
    """Return what the facts of a target, and its files where it is on this machine, tell of it."""
    own = facts.get("python") or {}
    prefix, base = str(own.get("prefix", "")), str(own.get("base_prefix", ""))
    present = {
        one.get("key"): one.get("version")
        for one in (facts.get("packages") or {}).get("distributions") or ()
        if not prefix or is_in(str(one.get("location", "")), prefix)
    }
    installer, program, rehearses = _installer(python, present, live)
    kind = "venv" if prefix != base else "python"
    remarks: list[str] = []
    refusal = ""
    if live:
        if (Path(prefix) / "conda-meta").is_dir():
            kind = "conda"
        refusal, remarks = _refusal(kind, prefix, base, own)
        if not refusal and not program:
            refusal = (
                "the environment has no pip, and there is no uv and no pip beside the doctor; "
                f"run {python} -m ensurepip, or install uv"
            )
        if os.path.realpath(prefix) == os.path.realpath(sys.prefix):
            remarks.append(
                "this is the environment that runs the doctor: what is installed may change the "
                "doctor's own packages (typer, rich, ...)"
            )
    return Place(python, kind, installer, program, refusal, rehearses, tuple(remarks))


def _installer(
    python: str, present: Mapping[Any, Any], live: bool
) -> tuple[str, tuple[str, ...], bool]:
    """Return the installer's name, how it is started, and whether it can rehearse."""
    if "pip" in present or not present:
        try:
            version = Version(str(present.get("pip") or "99"))
        except InvalidVersion:
            version = _REHEARSES
        return "pip", (python, "-m", "pip"), version >= _REHEARSES
    if not live:
        return "uv", ("uv",), True
    uv = uv_program()
    if uv is not None:
        return "uv", (uv,), True
    if find_spec("pip") is None:
        return "", (), False
    from importlib.metadata import version as version_of

    if Version(version_of("pip")) < _REACHES_OUT:
        return "", (), False
    return "pip", (sys.executable, "-m", "pip", "--python", python), True


def _refusal(kind: str, prefix: str, base: str, python: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return why nothing may be installed here, and what is worth knowing where one may."""
    if kind == "conda":
        return (
            "this is a conda environment, whose packages conda keeps account of; run the commands "
            "yourself, with conda install where conda has the package, or make a venv",
            [],
        )
    if kind == "python":
        if _is_managed(base, python):
            return (
                f"this Python is externally managed (PEP 668: {_MARKER}), so the package manager "
                "of the system installs into it; make an environment of your own: "
                "python3 -m venv .venv",
                [],
            )
        if base == "/usr" or base.startswith(_SYSTEM):
            return (
                f"this is the Python of the operating system ({base}); make an environment of your "
                "own: python3 -m venv .venv",
                [],
            )
    folder = _site(prefix, python)
    if folder is not None and not os.access(folder, os.W_OK):
        return f"{folder} cannot be written to by this user", []
    if kind == "python":
        return "", [
            f"this is no virtual environment: whatever else uses {base} gets the same packages"
        ]
    return "", []


def _is_managed(base: str, python: Mapping[str, Any]) -> bool:
    series = ".".join(str(python.get("version", "")).split(".")[:2])
    folders = [Path(base) / lib / f"python{series}" for lib in ("lib", "lib64")]
    return any((folder / _MARKER).is_file() for folder in [*folders, Path(base) / "Lib"])


def _site(prefix: str, python: Mapping[str, Any]) -> str | None:
    return next(
        (
            path
            for path in python.get("sys_path") or ()
            if is_in(path, prefix) and Path(path).name in ("site-packages", "dist-packages")
        ),
        None,
    )


def is_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
