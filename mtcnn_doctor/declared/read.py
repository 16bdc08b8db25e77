"""From the name of a file to its reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mtcnn_doctor.declared import conda, locks, pip_file, project
from mtcnn_doctor.declared.lines import Declaration
from mtcnn_doctor.errors import UsageError


def read(paths: Sequence[Path], extras: Sequence[str], groups: Sequence[str]) -> Declaration:
    """Return what files declare; the format goes by the name.

    Raises:
        UsageError: a file cannot be read or understood; extras or groups that no file can have.
    """
    found = Declaration(extras=tuple(extras))
    _refuse_extras(paths, extras, groups)
    for path in paths:
        name = path.name.lower()
        if name == "uv.lock":
            locks.read_uv(path, found, extras, groups)
        elif name == "poetry.lock":
            locks.read_poetry(path, found, extras, groups)
        elif name == "pipfile.lock":
            locks.read_pipfile(path, found, groups)
        elif re.fullmatch(r"pylock(\.[^.]+)?\.toml", name):
            locks.read_pylock(path, found)
        elif name.endswith(".toml"):
            project.read(path, found, extras, groups)
        elif name.endswith((".yml", ".yaml")):
            conda.read(path, found)
        elif name.endswith((".lock", ".json", ".cfg", ".py")) or name == "pipfile":
            raise UsageError(
                f"--requirements {path}: this format is not read; it may be requirements.txt, "
                "pyproject.toml, environment.yml, Pipfile.lock, uv.lock, poetry.lock or pylock.toml"
            )
        else:
            pip_file.read(path, found)
    return found


def _refuse_extras(paths: Sequence[Path], extras: Sequence[str], groups: Sequence[str]) -> None:
    names = [path.name.lower() for path in paths]
    projects = [
        name for name in names if re.fullmatch(r"(uv|poetry)\.lock|(?!pylock).*\.toml", name)
    ]
    if extras and not projects:
        raise UsageError("--extra goes with pyproject.toml, uv.lock or poetry.lock; name one")
    if groups and not projects and "pipfile.lock" not in names:
        raise UsageError("--group goes with pyproject.toml or a lock file of it; name one")
