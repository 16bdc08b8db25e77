"""What a dead notebook kernel left behind (see :mod:`mtcnn_doctor.blackbox`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psutil

from mtcnn_doctor import blackbox
from mtcnn_doctor.sandbox.certificate import python_frames
from mtcnn_doctor.sandbox.evidence import oom_counters

#: How faulthandler names a signal, which it does not call by its name.
_FATAL = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
}
_FIRST = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
_MOST_FAULT = 1 << 20


def deaths(home: Path) -> list[dict[str, Any]]:
    """Return the kernels that died without ending on purpose, the last one first."""
    try:
        folders = [path for path in home.iterdir() if (path / blackbox.KERNEL).is_file()]
    except OSError:
        return []
    found = [one for one in map(_death, folders) if one is not None]
    return sorted(found, key=lambda one: one["last_sign"], reverse=True)


def _death(folder: Path) -> dict[str, Any] | None:
    kernel = blackbox.read(folder / blackbox.KERNEL)
    if not kernel.get("pid") or _lives(int(kernel["pid"]), float(kernel.get("created") or 0)):
        return None
    memory = blackbox.read(folder / blackbox.MEMORY)
    fault = _fault(folder / blackbox.FAULT)
    signs = [path.stat().st_mtime for path in folder.iterdir()]
    said = _FIRST.search(fault)
    before, now = memory.get("oom_kills") or {}, oom_counters()
    return {
        **{key: kernel.get(key) for key in ("pid", "executable", "version", "notebook", "folder")},
        "traces": str(folder),
        "last_sign": max(signs),
        "signal": next((s for words, s in _FATAL.items() if said and words in said[1]), None),
        "fatal": said[1] if said else None,
        "python_traceback": python_frames(fault),
        "cell": blackbox.read(folder / blackbox.CELL),
        "memory": memory,
        # Of this machine since the last sign; another program may have been the victim.
        "oom_kills_since": {
            key: value - before[key]
            for key, value in now.items()
            if value is not None and before.get(key) is not None and value > before[key]
        },
    }


def _fault(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_FAULT)
    except OSError:
        return ""


def _lives(pid: int, created: float) -> bool:
    """Whether the process is there, and not another one with its number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - created) < 2
    except psutil.Error:
        return False
