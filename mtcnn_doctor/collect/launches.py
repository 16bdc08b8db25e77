"""The orders of the two children that collect the facts of level 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from mtcnn_doctor.sandbox import Launch

DEFAULT_TIMEOUT_S = 120.0

TARGET_PROBES = ("python", "packages", "environment", "threads", "calls")
#: The driver comes last: when it hangs, the other facts have been told.
HOST_PROBES = ("cpu", "memory", "gpu")
#: A machine that takes longer to describe itself has a driver that hangs.
_HOST_LIMIT_S = 20.0


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted, and the target will not find it either
        return None


def metadata_launch(
    python: str, environment: Mapping[str, str], images: Sequence[str], timeout_s: float
) -> Launch:
    """Return the orders for what the target's files tell without importing anything."""
    return Launch(
        python,
        {
            "task": "facts",
            "probes": [*TARGET_PROBES, *(["image"] if images else [])],
            "images": list(images),
            "working_directory": _working_directory(),
        },
        "metadata",
        timeout_s=timeout_s,
        environment=environment,
    )


def host_launch(timeout_s: float) -> Launch:
    """Return the orders for what the machine tells.

    They go to the doctor's own interpreter, which has psutil and the NVML bindings.
    """
    return Launch(
        sys.executable,
        {"task": "facts", "probes": list(HOST_PROBES)},
        "machine",
        timeout_s=min(timeout_s, _HOST_LIMIT_S),
        # What PYTHONPATH does to the target is the target's business.
        environment={"PYTHONPATH": ""},
    )
