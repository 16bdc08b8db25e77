"""What is needed to start a child: whose interpreter, in which surroundings, with what orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Marks a process as ours, so that runaway grandchildren are found by their environment.
CHILD_VARIABLE = "MTCNN_DOCTOR_CHILD"


@dataclass(frozen=True)
class Launch:
    """Orders for one child.

    ``environment`` holds what is set on top of the doctor's own environment. ``timeout_s`` is
    the limit of each phase (import, build, one image), not of the whole. ``without`` are variables
    of the doctor's environment that are taken away. ``debugger`` is the path of a native debugger
    under which the child is to run. ``folder`` is its working directory (default: this process's).
    """

    python: str
    orders: Mapping[str, Any]
    label: str
    timeout_s: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    debugger: str | None = None
    folder: str | None = None
