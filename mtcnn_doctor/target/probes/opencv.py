"""What OpenCV says of itself, in a child that has imported it."""

from __future__ import annotations

import importlib
from typing import Any

# Sections of the build information that decide about windows, video and threads.
_SECTIONS = ("GUI", "Video I/O", "Parallel framework", "CPU/HW features", "Media I/O")


def _sections(text: str) -> dict[str, Any]:
    """Return the wanted sections of the build information, two levels deep."""
    facts: dict[str, Any] = {}
    current = None
    for line in text.splitlines():
        name, found, value = line.strip().partition(":")
        if not found:
            continue
        name, value = name.strip(), value.strip()
        indent = len(line) - len(line.lstrip())
        if indent <= 2:
            current = name if name in _SECTIONS else None
            if current and value:
                facts[current] = value
            elif current:
                facts[current] = {}
        elif current and isinstance(facts.get(current), dict):
            facts[current][name] = value[:120]
    return {name: value for name, value in facts.items() if value}


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, and the parts of the build that matter for faces."""
    module = importlib.import_module("cv2")
    facts: dict[str, Any] = {
        "version": str(getattr(module, "__version__", "")) or None,
        "file": getattr(module, "__file__", None),
        "build": {},
    }
    try:
        facts["build"] = _sections(module.getBuildInformation())
    except Exception:  # a fact that cannot be had stays out
        pass
    # What is left of cv2 after another OpenCV distribution was uninstalled has no functions.
    facts["build"].update(has_dnn=hasattr(module, "dnn"), has_imread=hasattr(module, "imread"))
    try:
        facts["build"]["threads"] = int(module.getNumThreads())
    except Exception:  # as above
        pass
    return facts
