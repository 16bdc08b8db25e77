"""Running the command in a process of the kernel's interpreter, and waiting for it politely.

An interrupt of the kernel (the stop button, Ctrl-C) is handed on: the command kills its children,
tells what it knew by then, and ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mtcnn_doctor
from mtcnn_doctor.sandbox.streams import Capture

#: How long an interrupted command may take to tell what it knew.
_GRACE_S = 15.0

# Not ``-m``: that would put the notebook's folder, and any random.py in it, first on the path.
_PROGRAM = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
sys.path.append(sys.argv[1])
sys.argv[:] = ["mtcnn-doctor", *sys.argv[2:]]
from mtcnn_doctor.__main__ import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    interrupted: bool = False


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return what starts the command with the kernel's interpreter."""
    home = str(Path(mtcnn_doctor.__file__).parent.parent)
    return [sys.executable, "-c", _PROGRAM, home, *arguments]


def run(arguments: Sequence[str], said: Callable[[str], None]) -> Done:
    """Run the command to its end; ``said`` gets each line of its progress as it comes."""
    options: dict[str, object] = {}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        # A terminal's Ctrl-C must come once, from here.
        options["start_new_session"] = True
    process = subprocess.Popen(  # type: ignore[call-overload]
        command_line(arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        **options,
    )
    out, err = bytearray(), Capture()
    readers = [
        threading.Thread(target=_read, args=(process.stdout, out.extend, None), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, err.feed, said), daemon=True),
    ]
    for reader in readers:
        reader.start()
    interrupted = False
    try:
        _wait(process)
    except KeyboardInterrupt:
        interrupted = True
        _interrupt(process)
    for reader in readers:
        reader.join(2.0)
    return Done(process.returncode, out.decode("utf-8", "replace"), err.text(), interrupted)


def _read(stream, feed, said) -> None:  # type: ignore[no-untyped-def]
    with stream:
        for line in stream:
            feed(line)
            if said is not None:
                said(line.decode("utf-8", "replace").rstrip())


def _wait(process: subprocess.Popen[bytes], limit_s: float | None = None) -> None:
    """Wait in short turns, so that an interrupt is heard on every system."""
    waited = 0.0
    while True:
        try:
            process.wait(0.2)
            return
        except subprocess.TimeoutExpired:
            waited += 0.2
            if limit_s is not None and waited >= limit_s:
                raise


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    try:
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.send_signal(signal.SIGINT)
        _wait(process, _GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
