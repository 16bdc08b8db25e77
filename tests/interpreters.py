"""The other Python interpreters of this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def at_hand(*versions: str) -> list[Path]:
    """Return an interpreter of each minor version that pyenv has here."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for version in versions:
        found += sorted(root.glob(f"{version}.*/bin/python"))[-1:]
    return [path for path in found if path.resolve() != Path(sys.executable).resolve()]
