"""Where a notebook kernel leaves traces for the case of its death, and what they are called.

One folder a kernel, below the user's cache: ``kernel.json`` (who it is), ``cell.json`` (what it is
doing), ``memory.json`` (how much it holds, and what it has imported, written every second),
``fault.txt`` (the fault handler's report). A kernel that ends on purpose takes its folder along.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mtcnn_doctor import surroundings

KERNEL, CELL, MEMORY, FAULT = "kernel.json", "cell.json", "memory.json", "fault.txt"
#: A record is written in place, padded to this, so that the last one is whole whatever happens.
RECORD_BYTES = 8192


def home() -> Path:
    """Return the folder that holds those of the kernels."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        base = Path(given)
    elif sys.platform == "darwin":
        base = surroundings.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or surroundings.home() / "AppData" / "Local")
    else:
        base = surroundings.home() / ".cache"
    return base / "mtcnn-doctor" / "kernels"


def read(path: Path) -> dict[str, Any]:
    """Return a record, {} where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
