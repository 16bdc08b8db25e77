"""Values that go to a child and come back, through memory that both map.

The layout is that of ``target/tasks/cell.py``, which cannot be imported from here: a count, the
lengths (8 bytes each), then the pieces, each on a multiple of 64 bytes. The first is a pickle, the
others are the buffers of its arrays.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

_LENGTH, _ALIGNED = 8, 64
#: Names of built-in and standard modules that hold data and nothing native of the field.
_HARMLESS = frozenset(("builtins", "collections", "datetime", "decimal", "fractions", "pathlib"))


class Memory:
    """A file in memory (on Linux without a name) that a child opens by ``path``."""

    def __init__(self, folder: str) -> None:
        """Make an empty one; ``folder``: where it lies on systems without such files."""
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
            self.descriptor = os.memfd_create("mtcnn-doctor")
            self.path = f"/proc/{os.getpid()}/fd/{self.descriptor}"
        else:
            self.descriptor, self.path = tempfile.mkstemp(dir=folder)
        self.size = 0

    def fill(self, values: Mapping[str, Any]) -> None:
        """Put values in: their arrays are copied once, and not through the pickle.

        Raises whatever an object raises that cannot be pickled.
        """
        if not values:
            return
        kept: list[pickle.PickleBuffer] = []
        stem = pickle.dumps(dict(values), protocol=5, buffer_callback=kept.append)
        pieces = [memoryview(stem), *(buffer.raw() for buffer in kept)]
        lengths = [len(piece) for piece in pieces]
        header = struct.pack(f"<{1 + len(pieces)}Q", len(pieces), *lengths)
        start, places = len(header), []
        for length in lengths:
            start = -(-start // _ALIGNED) * _ALIGNED
            places.append(start)
            start += length
        self.reserve(start)
        with mmap.mmap(self.descriptor, start) as memory:
            memory[: len(header)] = header
            for piece, place in zip(pieces, places, strict=True):
                memory[place : place + len(piece)] = piece

    def reserve(self, size: int) -> None:
        """Give it a size, and the room for that.

        Raises:
            MemoryError: there is no room; writing would kill who writes.
        """
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.descriptor, 0, size)
            else:
                os.ftruncate(self.descriptor, size)
        except OSError as error:
            raise MemoryError(f"no room for {size} bytes to be shared: {error}") from error
        self.size = size

    def values(self, size: int) -> dict[str, Any]:
        """Return what a child has put in; the arrays stay in this memory, and may be written to.

        Raises:
            pickle.UnpicklingError: it needs a package that this kernel has not imported.
        """
        if not size:
            return {}
        memory = memoryview(mmap.mmap(self.descriptor, size))
        (count,) = struct.unpack_from("<Q", memory, 0)
        lengths = struct.unpack_from(f"<{count}Q", memory, _LENGTH)
        start, pieces = _LENGTH * (1 + count), []
        for length in lengths:
            start = -(-start // _ALIGNED) * _ALIGNED
            pieces.append(memory[start : start + length])
            start += length
        found: dict[str, Any] = _Careful(io.BytesIO(pieces[0]), buffers=pieces[1:]).load()
        return found

    def close(self) -> None:
        """Give it back; arrays in it keep it as long as they live."""
        os.close(self.descriptor)
        if not self.path.startswith("/proc/"):
            os.unlink(self.path)


class _Careful(pickle.Unpickler):
    """Brings no package into the kernel that is not there: it could be the one that dies."""

    def find_class(self, module: str, name: str) -> Any:
        top = module.partition(".")[0]
        if top not in sys.modules and top not in _HARMLESS:
            raise pickle.UnpicklingError(
                f"it is a {module}.{name}, and {top} is not imported in this kernel; hand over "
                "numbers, or a NumPy array"
            )
        return super().find_class(module, name)
