"""A real Jupyter kernel, driven as a notebook drives it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Cell:
    """What a cell left on the page."""

    status: str = "?"
    stdout: str = ""
    stderr: str = ""
    shown: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    traceback: str = ""

    @property
    def result(self) -> dict[str, Any]:
        """The last thing that was shown, by its types."""
        return self.shown[-1] if self.shown else {}


class Kernel:
    """A running kernel with its client."""

    def __init__(self, manager: Any, client: Any, thread: ThreadPoolExecutor) -> None:
        self.manager, self.client, self._thread = manager, client, thread

    def run(self, code: str, interrupt_on: str | None = None, limit_s: float = 120) -> Cell:
        """Run a cell; ``interrupt_on``: press the stop button when this appears on the page."""
        return self._thread.submit(self._run, code, interrupt_on, limit_s).result()

    def dies_of(self, code: str) -> int | None:
        """Run a cell that kills the kernel; return its exit status."""
        self._thread.submit(self.client.execute, code).result()
        process = self.manager.provisioner.process
        for _ in range(600):
            if process.poll() is not None:
                break
            time.sleep(0.1)
        return process.poll()

    def complete(self, text: str) -> list[str]:
        """Press the tab key behind a text."""
        return self._thread.submit(self._complete, text).result()

    def stop(self) -> None:
        """Press the stop button."""
        os.kill(self.manager.provisioner.pid, signal.SIGINT)

    def _run(self, code: str, interrupt_on: str | None, limit_s: float) -> Cell:
        cell, number = Cell(), self.client.execute(code)
        deadline = time.monotonic() + limit_s
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != number:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
            elif kind in ("display_data", "execute_result"):
                cell.shown.append(content["data"])
            elif kind == "error":
                cell.error = f"{content['ename']}: {content['evalue']}"
                cell.traceback = "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                break
            if interrupt_on is not None and interrupt_on in repr(content):
                interrupt_on = None
                self.stop()
        cell.status = self._answer(number)["status"]
        return cell

    def _answer(self, number: str) -> dict[str, Any]:
        """Return the reply to a request; the client may hold replies to earlier ones."""
        while True:
            reply = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == number:
                return dict(reply["content"])

    def _complete(self, text: str) -> list[str]:
        content = self._answer(self.client.complete(text, len(text)))
        assert content["status"] == "ok", content
        return list(content["matches"])


@contextmanager
def kernel(
    folder: Path, environment: Mapping[str, str] | None = None, name: str = "python3"
) -> Iterator[Kernel]:
    """Start a kernel (of this interpreter, without a name) in a folder."""
    pytest.importorskip("jupyter_client")
    pytest.importorskip("ipykernel")
    own = {"IPYTHONDIR": str(folder / "ipython"), "XDG_CACHE_HOME": str(folder / "cache")}
    variables = {**os.environ, **own, **(environment or {})}
    # jupyter_client makes an event loop for each context it is called in, and closes none: all of
    # it happens in one thread, whose loop is closed at the end.
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(_start, folder, variables, name).result()
        try:
            yield Kernel(*started, thread)
        finally:
            thread.submit(_end, *started).result()


def _start(folder: Path, environment: Mapping[str, str], name: str) -> tuple[Any, Any]:
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name=name)
    manager.start_kernel(cwd=str(folder), env=dict(environment))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    return manager, client


def _end(manager: Any, client: Any) -> None:
    from jupyter_core.utils import ensure_event_loop

    client.stop_channels()
    manager.shutdown_kernel(now=True)
    ensure_event_loop().close()
    asyncio.set_event_loop(None)
