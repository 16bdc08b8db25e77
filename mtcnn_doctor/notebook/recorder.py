"""The black box: what a kernel is doing, written where it survives the kernel.

A record costs a write of a few kilobytes into the page cache, which is there even after SIGKILL.
"""

from __future__ import annotations

import atexit
import faulthandler
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import psutil

from mtcnn_doctor import blackbox
from mtcnn_doctor.notebook import watch
from mtcnn_doctor.sandbox.evidence import available_mb, oom_counters

#: So many folders of dead kernels are kept, and none older.
_MOST, _OLDEST_S = 20, 30 * 86400.0
_EVERY_S = 1.0
_MOST_CODE = 4000


class Recorder:
    """Writes the traces of one kernel until it is stopped."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and begin.

        Raises:
            OSError: nothing can be written there.
        """
        self.folder = folder
        folder.mkdir(parents=True, mode=0o700)
        self._owner = os.getpid()
        self._cell = os.open(folder / blackbox.CELL, os.O_WRONLY | os.O_CREAT, 0o600)
        self._memory = os.open(folder / blackbox.MEMORY, os.O_WRONLY | os.O_CREAT, 0o600)
        self._fault: IO[str] = open(folder / blackbox.FAULT, "w", encoding="utf-8")  # noqa: SIM115
        self._process = psutil.Process()
        (folder / blackbox.KERNEL).write_text(json.dumps(self._identity()), encoding="utf-8")
        self._peak, self._count = 0.0, 0
        self._done = threading.Event()
        self._record_memory()
        _record(self._cell, {"state": "idle", "number": 0})
        # The kernel's own handler writes to a log that nobody finds.
        faulthandler.enable(self._fault, all_threads=True)
        threading.Thread(target=self._look, name="mtcnn-doctor-memory", daemon=True).start()
        atexit.register(self.stop)

    def _identity(self) -> dict[str, Any]:
        return {
            "pid": self._owner,
            "created": self._process.create_time(),
            "executable": sys.executable,
            "version": ".".join(str(part) for part in sys.version_info[:3]),
            # Set by Jupyter's server (2.0 and newer).
            "notebook": os.environ.get("JPY_SESSION_NAME"),
            "folder": os.getcwd(),
            "oom_kills": oom_counters(),
        }

    def before_cell(self, info: Any) -> None:
        """Take note of the cell that is about to run (IPython's event)."""
        self._count += 1
        code = str(getattr(info, "raw_cell", ""))[:_MOST_CODE]
        self._write("running", code)

    def after_cell(self, *_: Any) -> None:
        """Take note that it has ended."""
        self._write("idle", None)

    def _write(self, state: str, code: str | None) -> None:
        if os.getpid() != self._owner or self._done.is_set():
            return  # a fork of the kernel is not the kernel
        record = {"state": state, "number": self._count, "at": time.time(), "code": code}
        _record(self._cell, {**record, "imported": watch.imported()})

    def _look(self) -> None:
        while not self._done.wait(_EVERY_S):
            try:
                self._record_memory()
            except (OSError, psutil.Error):
                return  # it is being taken away

    def _record_memory(self) -> None:
        held = self._process.memory_info().rss / 2**20
        self._peak = max(self._peak, held)
        _record(
            self._memory,
            {
                "at": time.time(),
                "rss_mb": round(held, 1),
                "peak_rss_mb": round(self._peak, 1),
                "available_mb": round(available_mb(), 1),
                "oom_kills": oom_counters(),
                # A cell may import what kills it.
                "modules": watch.names(),
            },
        )

    def stop(self) -> None:
        """End on purpose: nothing is left behind."""
        if os.getpid() != self._owner or self._done.is_set():
            return
        self._done.set()
        atexit.unregister(self.stop)
        if sys.__stderr__ is not None:
            try:
                faulthandler.enable(sys.__stderr__, all_threads=True)
            except (OSError, ValueError):
                faulthandler.disable()
        self._fault.close()
        for descriptor in (self._cell, self._memory):
            os.close(descriptor)
        shutil.rmtree(self.folder, ignore_errors=True)


def _record(descriptor: int, value: dict[str, Any]) -> None:
    """Write a record over the one before, in one call."""
    text = json.dumps(value).encode("utf-8")
    if len(text) > blackbox.RECORD_BYTES:
        text = json.dumps({**value, "code": None}).encode("utf-8")
    data = text.ljust(blackbox.RECORD_BYTES)
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, 0)
    else:
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, data)


_recorder: Recorder | None = None


def start(shell: Any) -> None:
    """Begin to record a kernel. A terminal's IPython leaves its traces on the terminal."""
    global _recorder
    if _recorder is not None or not hasattr(shell, "kernel"):
        return
    folder = blackbox.home()
    try:
        _tidy(folder)
        _recorder = Recorder(folder / f"{os.getpid()}-{int(time.time())}")
    except OSError as error:
        print(f"mtcnn_doctor: no traces are kept for a death: {error}", file=sys.stderr)
        return
    shell.events.register("pre_run_cell", _recorder.before_cell)
    shell.events.register("post_run_cell", _recorder.after_cell)


def stop(shell: Any) -> None:
    """Record no more, and remove what was recorded."""
    global _recorder
    if _recorder is None:
        return
    shell.events.unregister("pre_run_cell", _recorder.before_cell)
    shell.events.unregister("post_run_cell", _recorder.after_cell)
    _recorder.stop()
    _recorder = None


def _tidy(folder: Path) -> None:
    """Remove the folders of kernels that died long ago, and all but the newest."""
    if not folder.is_dir():
        return
    dead = [path for path in folder.iterdir() if not _lives(path)]
    dead.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    now = time.time()
    for number, path in enumerate(dead):
        if number >= _MOST or now - path.stat().st_mtime > _OLDEST_S:
            shutil.rmtree(path, ignore_errors=True)


def _lives(path: Path) -> bool:
    name = path.name.partition("-")[0]
    return name.isdigit() and psutil.pid_exists(int(name))
