"""The breadcrumb file: where a child says, before each step, what it is about to do.

Memory-mapped by the child, so that writing costs a microsecond and the last word survives even
SIGKILL. The layout is the one of ``mtcnn_doctor/target/channel.py``, which cannot be imported
from here: a slot number (8 bytes), then two slots of a length (4 bytes) and JSON text.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

SIZE = 4096
_SLOT = (SIZE - 8) // 2


def create(path: Path) -> None:
    """Write an empty breadcrumb file."""
    path.write_bytes(bytes(SIZE))


def read(path: Path) -> tuple[str | None, str | None]:
    """Return the last ``(stage, step)``, or ``(None, None)`` when nothing legible was written."""
    try:
        data = path.read_bytes()
        slot = struct.unpack("<Q", data[:8])[0]
        if not slot:
            return None, None
        start = 8 + (slot % 2) * _SLOT
        length = struct.unpack("<I", data[start : start + 4])[0]
        stage, step = json.loads(data[start + 4 : start + 4 + min(length, _SLOT - 4)])
    except (OSError, ValueError, struct.error, TypeError):
        return None, None
    return str(stage), str(step) or None
