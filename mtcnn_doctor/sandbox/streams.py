"""Pipes to and from a child, each read by a thread of its own with a cap on what is kept."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

#: What is kept of a text stream: its beginning and its end. A child may print gigabytes.
HEAD_BYTES = 16 * 1024
TAIL_BYTES = 64 * 1024
#: The longest answer line accepted; detections of a thousand faces take well under 1 MiB.
LINE_BYTES = 32 * 1024 * 1024


class Pipe:
    """A pipe of which the child inherits one end."""

    def __init__(self, child_reads: bool = False) -> None:
        reader, writer = os.pipe()
        self.ours, self.theirs = (writer, reader) if child_reads else (reader, writer)

    def inherit(self) -> int:
        """Make the child's end inheritable and return the number to give to the child.

        That is a descriptor on POSIX and a handle on Windows, where descriptors are private to
        the C runtime of a process.
        """
        if sys.platform == "win32":
            import msvcrt

            handle = msvcrt.get_osfhandle(self.theirs)
            os.set_handle_inheritable(handle, True)
            return handle
        return self.theirs

    def close_theirs(self) -> None:
        """Close the child's end on this side, once it has been inherited."""
        _close(self.theirs)

    def close_ours(self) -> None:
        """Close this side's end."""
        _close(self.ours)


class NarrowPipe(Pipe):
    """A pipe from the child with room for a few words: who writes a report waits for its reader.

    So a dying process, which reports in many small writes, is still there when the doctor has
    heard the first of them, and can be looked at.
    """

    def __init__(self) -> None:
        if sys.platform != "linux":
            super().__init__()  # nowhere else is there anything to look at
            return
        # A socket counts what each write costs the kernel, so that even short ones fill it.
        reader, writer = socket.socketpair()
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
        self.ours, self.theirs = reader.detach(), writer.detach()


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass  # already closed


def inheritance(pipes: list[Pipe]) -> dict[str, object]:
    """Return the arguments of ``Popen`` that let a child inherit exactly these pipes."""
    if sys.platform == "win32":
        startup = subprocess.STARTUPINFO()
        startup.lpAttributeList = {"handle_list": [pipe.inherit() for pipe in pipes]}
        return {"startupinfo": startup, "close_fds": True}
    return {"pass_fds": [pipe.inherit() for pipe in pipes]}


class Capture:
    """Keeps the head and the tail of a byte stream, and counts the rest."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream."""
        self.total += len(data)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]

    def text(self) -> str:
        """Return what was kept, with a mark where something was dropped."""
        tail = bytes(self._tail[-TAIL_BYTES:])
        dropped = self.total - len(self._head) - len(tail)
        middle = f"\n[... {dropped} bytes dropped ...]\n".encode() if dropped > 0 else b""
        return (bytes(self._head) + middle + tail).decode("utf-8", "replace")


class Lines:
    """Cuts a byte stream into lines and hands each complete one on."""

    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self._deliver = deliver
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream; a line over the limit is dropped whole."""
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif line:
                self._deliver(bytes(line))
        if len(self._rest) > LINE_BYTES:
            self._rest.clear()
            self._skipping = True


def detach(stream: Any) -> int:
    """Take the descriptor out of a raw file object, so that only the reader closes it."""
    descriptor = os.dup(stream.fileno())
    stream.close()
    return descriptor


def read_in_thread(descriptor: int, feed: Callable[[bytes], None]) -> threading.Thread:
    """Read a descriptor to its end in a daemon thread, then close it."""

    def read() -> None:
        try:
            while data := os.read(descriptor, 65536):
                feed(data)
        except OSError:
            pass  # closed under us by the doctor giving up on a held pipe
        finally:
            _close(descriptor)

    thread = threading.Thread(target=read, name=f"pipe-{descriptor}", daemon=True)
    thread.start()
    return thread
