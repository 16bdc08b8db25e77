"""Is this program a Python at all? Asked when a target never reached our first line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

#: Without site and environment an interpreter starts in a fraction of a second.
_LIMIT_S = 10.0
_ENOUGH_BYTES = 4096


def version_isolated(python: str) -> tuple[int, int] | None:
    """Return the version an interpreter says when neither site nor environment interferes.

    None when it does not run Python code even so. Works on any Python since 2.6, and with
    programs that are no Python and print without end.
    """
    code = "import sys; sys.stdout.write('mtcnn-doctor %d %d' % sys.version_info[:2])"
    try:
        process = subprocess.Popen(
            [python, "-E", "-s", "-S", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    killer = threading.Timer(_LIMIT_S, _end, [process])
    killer.start()
    assert process.stdout is not None
    said = b""
    with process.stdout:
        while len(said) < _ENOUGH_BYTES and (piece := os.read(process.stdout.fileno(), 4096)):
            said += piece
        _end(process)
    killer.cancel()
    process.wait()
    words = said.decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != "mtcnn-doctor":
        return None
    return int(words[1]), int(words[2])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: a wrapper's child would hold the pipe open for ever."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
