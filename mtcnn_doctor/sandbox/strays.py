"""What a child left behind: its descendants, processes with its mark, shared memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mtcnn_doctor.sandbox.launch import CHILD_VARIABLE


def descendants(pid: int) -> list[Any]:
    """Return the processes below a process, as psutil knows them."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill_marked(token: str) -> int:
    """Kill every process that carries a child's mark in its environment; return how many."""
    import psutil

    killed = 0
    for process in psutil.process_iter():
        try:
            if process.environ().get(CHILD_VARIABLE) == token:
                process.kill()
                killed += 1
        except (psutil.Error, OSError):
            continue  # gone, or another user's: not ours then
    return killed


def forget_openmp(pid: int) -> None:
    """Remove the shared memory by which LLVM's and Intel's OpenMP know each other in a process.

    Its name is the process's number and user; a process that dies leaves it for ever.
    """
    if not hasattr(os, "getuid"):
        return
    for path in Path("/dev/shm").glob(f"__KMP_REGISTERED_LIB_{pid}_*"):
        try:
            if path.stat().st_uid == os.getuid():
                path.unlink()
        except OSError:
            pass  # gone by itself
