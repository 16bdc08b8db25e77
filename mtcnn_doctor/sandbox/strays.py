"""Finding the processes that a child left behind: its descendants, and those with its mark."""

from __future__ import annotations

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
