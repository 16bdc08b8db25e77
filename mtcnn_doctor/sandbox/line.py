"""A line of its own between this process and a child that stays: requests and their answers.

One JSON object a line, one answer a request. Over a socket of the file system, which can carry
descriptors, too; where there is none (Windows), over the loopback device and a secret word.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

#: Longest path of a socket in the file system; a temporary folder may lie deeper.
_LONGEST = 100
#: How often a wait looks whether the other side is still alive.
_NAP_S = 0.2


class LineBroken(Exception):
    """Nobody is at the other end any more."""


class Line:
    """Waits for a child to call, and then talks to it. ``address`` is for the child's orders.

    ``folder`` is where shared memory has to be a file with a name; None where descriptors can be
    handed over.
    """

    def __init__(self, local: bool = hasattr(socket, "AF_UNIX")) -> None:
        self._word = secrets.token_hex(16)
        self._place: str | None = _folder()
        self.folder = None if local else self._place
        self._caller: socket.socket | None = None
        if local:
            path = os.path.join(self._place, "line")
            self._waiting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._waiting.bind(path)
            self._waiting.listen(1)
            where: list[Any] = ["local", path]
        else:
            self._waiting = socket.create_server(("127.0.0.1", 0))
            where = ["loopback", self._waiting.getsockname()[1]]
        self.address = [*where, self._word]

    def accept(self, alive: Callable[[], bool]) -> None:
        """Wait for the child's call.

        Raises:
            LineBroken: the child died before.
        """
        self._waiting.settimeout(_NAP_S)
        while self._caller is None:
            try:
                caller, _ = self._waiting.accept()
            except TimeoutError:
                if not alive():
                    raise LineBroken from None
                continue
            # Anybody on this machine can call the loopback device.
            caller.settimeout(5.0)
            if _knows(caller, self._word):
                self._caller = caller
            else:
                caller.close()
        self._waiting.close()
        if self.folder is None:
            self._remove()

    def idle(self) -> bool:
        """Whether the child is at the other end, and silent."""
        if self._caller is None:
            return False
        self._caller.setblocking(False)
        try:
            self._caller.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass  # it hung up
        return False

    def ask(
        self,
        request: dict[str, Any],
        descriptor: int | None,
        alive: Callable[[], bool],
        limit_s: float | None,
    ) -> dict[str, Any]:
        """Send a request, with a descriptor if there is one, and return its answer.

        Raises:
            LineBroken: the child died, or hung up.
            TimeoutError: there was no answer within the limit.
        """
        if self._caller is None:
            raise LineBroken
        data = json.dumps(request).encode() + b"\n"
        began = time.monotonic()
        try:
            self._caller.settimeout(5.0)
            if descriptor is None:
                self._caller.sendall(data)
            else:
                socket.send_fds(self._caller, [data], [descriptor])
        except OSError as error:
            raise LineBroken from error
        answer: dict[str, Any] = json.loads(self._hear(began, alive, limit_s))
        return answer

    def _hear(self, began: float, alive: Callable[[], bool], limit_s: float | None) -> bytes:
        assert self._caller is not None
        pieces: list[bytes] = []
        while True:
            left = _NAP_S if limit_s is None else began + limit_s - time.monotonic()
            # A time limit of 0 would mean not to wait at all.
            self._caller.settimeout(max(1e-4, min(left, _NAP_S)))
            try:
                piece = self._caller.recv(1 << 16)
            except TimeoutError:
                if not alive():
                    raise LineBroken from None
                if limit_s is not None and time.monotonic() - began >= limit_s:
                    raise
                continue
            except OSError as error:
                raise LineBroken from error
            if not piece:
                raise LineBroken
            pieces.append(piece)
            if piece.endswith(b"\n"):
                return b"".join(pieces)

    def close(self) -> None:
        """Hang up, and leave nothing behind."""
        self._waiting.close()
        if self._caller is not None:
            self._caller.close()
        self._remove()

    def _remove(self) -> None:
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
            self._place = None


def _folder() -> str:
    place = tempfile.mkdtemp(prefix="mtcnn-doctor-")
    if len(place) <= _LONGEST or not os.path.isdir("/tmp"):
        return place
    os.rmdir(place)
    return tempfile.mkdtemp(prefix="mtcnn-doctor-", dir="/tmp")


def _knows(caller: socket.socket, word: str) -> bool:
    said = b""
    try:
        while len(said) < len(word):
            piece = caller.recv(len(word) - len(said))
            if not piece:
                break
            said += piece
    except OSError:
        pass  # it said too little in its time
    return hmac.compare_digest(said, word.encode())
