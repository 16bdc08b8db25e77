"""The child's side of the conversation with the doctor: JSON lines, breadcrumbs, a go signal.

Three things, each on a descriptor or file of its own, because stdout and stderr belong to the
frameworks: answers (a pipe, one JSON object a line), the go pipe (the doctor's permission to
use the processor, and its sign of life), and the breadcrumb (a shared memory-mapped file that
survives any death of this process).
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import threading
from typing import Any

from .failures import describe, is_memory_failure

#: Bytes of the breadcrumb file: a slot number (8), then two slots of length (4) and text.
BREADCRUMB_BYTES = 4096
_SLOT_BYTES = (BREADCRUMB_BYTES - 8) // 2


def _plain(value: Any) -> Any:
    """Return ``value`` as strict JSON data; non-finite floats become their names as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


class Channel:
    """Sends answers, writes breadcrumbs and waits for the doctor's go."""

    def __init__(self, run_folder: str, answers_fd: int, go_fd: int) -> None:
        self._answers_fd = answers_fd
        self._go_fd = go_fd
        self._identity = self._identify()
        self._go = threading.Event()
        self._lock = threading.Lock()
        self._slot = 0
        #: The last breadcrumb: (stage, step).
        self.place = ("start", "")
        with open(os.path.join(run_folder, "breadcrumb"), "r+b") as file:
            self._crumb = mmap.mmap(file.fileno(), BREADCRUMB_BYTES)
        threading.Thread(target=self._listen, name="mtcnn-doctor", daemon=True).start()

    def _identify(self) -> object | None:
        status = os.fstat(self._answers_fd)
        return (status.st_dev, status.st_ino)

    def _listen(self) -> None:
        # End of file means that the doctor is gone: nobody is left to kill this process when it
        # hangs, so it ends itself.
        while True:
            try:
                data = os.read(self._go_fd, 64)
            except OSError:
                # Somebody closed our descriptor; the doctor still holds the process group.
                return
            if not data:
                os._exit(70)
            self._go.set()

    def send(self, kind: str, **payload: Any) -> None:
        """Send one message.

        Raises:
            OSError: the descriptor was closed, or now belongs to another file (code under
                examination closed it and opened something else under the same number).
        """
        payload["t"] = kind
        data = (json.dumps(_plain(payload), allow_nan=False) + "\n").encode("utf-8")
        with self._lock:
            if self._identify() != self._identity:
                raise OSError("the answers descriptor was replaced by other code")
            view = memoryview(data)
            while view:
                view = view[os.write(self._answers_fd, view) :]

    def send_failure(self, error: BaseException, **payload: Any) -> None:
        """Send an exception that ended the task, with the place where it struck."""
        stage, step = self.place
        self.send(
            "failed",
            stage=stage,
            step=step,
            out_of_memory=is_memory_failure(error),
            error=describe(error),
            **payload,
        )

    def wait_for_go(self) -> None:
        """Tell the doctor that this child is ready and wait until it may use the processor."""
        self.send("ready")
        self._go.wait()

    def enter(self, stage: str, step: str = "") -> None:
        """Write where the work is about to go; costs about a microsecond, never blocks."""
        self.place = (stage, step)
        text = json.dumps([stage, step]).encode("utf-8")[: _SLOT_BYTES - 4]
        self._slot += 1
        # The slot in use stays intact until the new one is complete: a death between two bytes
        # leaves the earlier breadcrumb readable.
        start = 8 + (self._slot % 2) * _SLOT_BYTES
        self._crumb[start : start + 4] = struct.pack("<I", len(text))
        self._crumb[start + 4 : start + 4 + len(text)] = text
        self._crumb[0:8] = struct.pack("<Q", self._slot)
