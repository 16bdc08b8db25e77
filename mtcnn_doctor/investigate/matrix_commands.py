"""Running an installer: a command that is heard to its end, and ended with all its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

#: What would make an installer work on another place, or with another interpreter's modules.
_MISLEADING = (
    "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX",
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV",
    "PIP_QUIET", "PIP_VERBOSE", "PIP_REPORT", "PIP_NO_BINARY", "PIP_DRY_RUN",
    "UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_NO_BINARY", "UV_PROJECT",
)  # fmt: skip
_QUIET = {
    "NO_COLOR": "1",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "UV_NO_PROGRESS": "1",
    # An interpreter is one of those that are here, never a download.
    "UV_PYTHON_DOWNLOADS": "never",
}


@dataclass(frozen=True)
class Done:
    """How a command ended; ``code`` is None where it was ended because its time was over."""

    code: int | None
    out: str
    err: str


class Commands(AbstractContextManager["Commands"]):
    """Commands of one matrix. Leaving it by an exception (Ctrl-C) ends those that still run.

    They start in a folder of ours, so that no configuration of the user's project is read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[subprocess.Popen[str]] = set()
        self._ending = False
        self._lock = threading.Lock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.end_all()

    def end_all(self) -> None:
        """End every command that runs, and let no other start."""
        with self._lock:
            self._ending = True
            running = list(self._running)
        for process in running:
            _kill(process)

    def run(self, arguments: Sequence[str | Path], limit_s: float, given: str = "") -> Done:
        """Run a command; a program that cannot be started is an exit code of 127, as in shells."""
        environment = {k: v for k, v in os.environ.items() if k not in _MISLEADING}
        try:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                cwd=self._folder,
                env={**environment, **_QUIET},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=sys.platform != "win32",
            )
        except OSError as problem:
            return Done(127, "", f"{arguments[0]}: {problem.strerror}")
        with self._lock:
            self._running.add(process)
            ending = self._ending
        try:
            if ending:
                _kill(process)
            out, err = process.communicate(given, timeout=limit_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            out, err = process.communicate()
            return Done(None, out, err)
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        return Done(process.returncode, out, err)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # it ended meanwhile
