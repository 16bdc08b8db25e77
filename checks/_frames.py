"""Python frames as lines of evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def frame_lines(frames: Iterable[Mapping[str, Any]] | None) -> list[str]:
    """Return ``file:line function`` for each frame, in the order given (innermost first)."""
    return [f"{frame['file']}:{frame['line']} {frame['function']}" for frame in frames or ()]
