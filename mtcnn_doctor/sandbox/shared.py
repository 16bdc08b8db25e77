"""Memory that a child shares with this process: pixels go through it without being sent.

It has no name wherever that can be had (an anonymous file of the kernel's, whose descriptor is
handed to the child), so that nothing is left behind whoever dies first, and the size of /dev/shm
is no limit. ``multiprocessing.shared_memory`` leaves its blocks behind, or warns, when a process
that only used one ends before the one that made it.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

#: Sizes are rounded up to this, so that images of about one size share their memory.
_UNIT = 1 << 20


class Shared:
    """A piece of memory. ``size``: its bytes; ``memory``: a writable buffer of them.

    ``descriptor`` is what to hand to the child; where descriptors cannot be handed over it is None,
    and ``path`` is the file to open instead.

    Raises MemoryError where there is no room for it.
    """

    def __init__(self, size: int, folder: str | None = None) -> None:
        """Make memory of at least that size; ``folder``: for a file with a name, if needed."""
        self.size = max(1, -(-size // _UNIT)) * _UNIT
        self.path: str | None = None
        self.descriptor: int | None
        if folder is not None:
            descriptor, self.path = tempfile.mkstemp(dir=folder)
        elif hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("mtcnn-doctor")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        try:
            _reserve(descriptor, self.size)
            self.memory = mmap.mmap(descriptor, self.size)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(
                f"no room for an image of {size} bytes to be shared with the child: {error}"
            ) from error
        self.descriptor = descriptor
        if folder is not None:
            self._let_go()

    def handed_over(self) -> None:
        """Forget the descriptor: the child has it."""
        self._let_go()

    def close(self) -> None:
        """Give the memory back; the child's part lives until the child lets go, too."""
        self._let_go()
        try:
            self.memory.close()
        except BufferError:
            pass  # somebody still looks at it: it goes when they do

    def _let_go(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _reserve(descriptor: int, size: int) -> None:
    """Give a file its size, and the room for it: without, a full disk kills who writes (SIGBUS)."""
    fallocate: Any = getattr(os, "posix_fallocate", None)
    if fallocate is not None:
        fallocate(descriptor, 0, size)
        return
    for _ in range(size // _UNIT):
        os.write(descriptor, bytes(_UNIT))
