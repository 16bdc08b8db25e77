"""One child process: started, heard on all its pipes at once, and outlived."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtcnn_doctor.sandbox import breadcrumb, certificate, evidence, libraries, native, strays
from mtcnn_doctor.sandbox.ending import Ending, NotPython, TargetTooOld
from mtcnn_doctor.sandbox.identify import version_isolated
from mtcnn_doctor.sandbox.launch import CHILD_VARIABLE, Launch
from mtcnn_doctor.sandbox.streams import (
    Capture,
    Lines,
    NarrowPipe,
    Pipe,
    detach,
    inheritance,
    read_in_thread,
)

_BOOTSTRAP = Path(__file__).resolve().parent.parent / "target" / "bootstrap.py"

#: An interpreter that has said nothing after this long does not run our bootstrap. Site
#: customisation on a slow network disk can take many seconds.
START_LIMIT_S = 30.0
#: How long pipes may stay open after the death of the child before whoever holds them is killed.
_DRAIN_S = 0.1
#: How long a killed child may take to die. One that waits inside the kernel (for a driver, a disk
#: or a network share) does not hear the signal before that lets it go.
_DEATH_S = 5.0
#: How long a hanging child gets to write its Python stack, and a debugger its native ones.
_STACK_S = 0.3
_DEBUGGER_S = 60.0
#: At most so long while it still writes: there may be a hundred threads.
_MOST_STACK_S = 3.0

_living: set[Child] = set()
_living_lock = threading.Lock()
#: Set while everything is being ended: a child that was on its way is ended as it starts.
_ending_all = threading.Event()


Listener = Callable[[str, dict[str, Any]], None]


class Child:
    """A child of the target interpreter. Use :meth:`run`; one instance, one process."""

    def __init__(
        self,
        launch: Launch,
        listener: Listener | None = None,
        before_go: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a child.

        Args:
            launch: Interpreter, environment, orders and limits.
            listener: Called with the label and each message, from the thread of :meth:`run`.
            before_go: Called when the child is ready; may block until it is the child's turn.
        """
        self.launch = launch
        self._listener = listener
        self._before_go = before_go
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._messages: list[dict[str, Any]] = []
        self._token = uuid.uuid4().hex
        self._process: subprocess.Popen[bytes] | None = None
        self._last_map = ""
        self._fault = Capture()
        self._first_time = False
        self._death_time = 0.0
        self._cancelled = False
        self._outlives_kill = False
        self._peak_of_dead: float | None = None
        self._sampled_peak: float | None = None
        self._sampled_rss: float | None = None

    def run(self) -> Ending:
        """Start the child, hear it to its end and return all that is known.

        Raises:
            NotPython: the interpreter cannot be started, or is no Python.
            TargetTooOld: the interpreter is older than Python 3.8.
        """
        folder = Path(tempfile.mkdtemp(prefix="mtcnn-doctor-"))
        try:
            with _living_lock:
                _living.add(self)
            return self._run(folder)
        finally:
            self._kill_group()
            with _living_lock:
                _living.discard(self)
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """The number of the process, None before it was started."""
        return None if self._process is None else self._process.pid

    def cancel(self) -> None:
        """Kill the child and everything it started; :meth:`run` then returns."""
        self._cancelled = True
        self._kill_group()

    # -- starting -------------------------------------------------------------------------------

    def _run(self, folder: Path) -> Ending:
        (folder / "orders.json").write_text(json.dumps(dict(self.launch.orders)), encoding="utf-8")
        breadcrumb.create(folder / "breadcrumb")
        answers, go, fault = Pipe(), Pipe(child_reads=True), NarrowPipe()
        streams = {"stdout": Capture(), "stderr": Capture(), "fault": self._fault}
        counters = evidence.oom_counters()
        started = time.monotonic()
        process = self._spawn(folder, answers, go, fault)
        self._process = process
        if _ending_all.is_set() or self._cancelled:
            self.cancel()
        for pipe in (answers, go, fault):
            pipe.close_theirs()

        available = evidence.available_mb()
        assert process.stdout is not None
        assert process.stderr is not None
        lines = Lines(self._take_line)
        threads = [
            read_in_thread(answers.ours, lines.feed),
            read_in_thread(fault.ours, self._hear_fault),
            # Popen's own file objects would close the descriptors a second time.
            read_in_thread(detach(process.stdout), streams["stdout"].feed),
            read_in_thread(detach(process.stderr), streams["stderr"].feed),
        ]
        waiter = threading.Thread(target=self._wait, args=(process,), daemon=True)
        waiter.start()

        timed_out = self._converse(go)
        left = self._drain(threads)
        go.close_ours()
        waiter.join(1.0)
        strays.forget_openmp(process.pid)
        returncode = self._returncode_of(process)
        if not self._heard("hello"):
            self._refuse(returncode, streams)
        return self._ending(
            folder, returncode, timed_out, streams, counters, available, started, left
        )

    def _returncode_of(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit status; for a child that was killed and is not dead yet, the signal's."""
        self._death_time = self._death_time or time.monotonic()
        if process.returncode is None:
            return -int(getattr(signal, "SIGKILL", 9))
        return int(process.returncode)

    def _spawn(self, folder: Path, answers: Pipe, go: Pipe, fault: Pipe) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.launch.environment, CHILD_VARIABLE: self._token}
        # Set by macOS framework builds for their own child; would misdirect another interpreter.
        for name in ("__PYVENV_LAUNCHER__", *self.launch.without):
            environment.pop(name, None)
        inherited = inheritance([answers, go, fault])
        command = [
            self.launch.python,
            "-X",
            "faulthandler",
            str(_BOOTSTRAP),
            str(folder),
            *(str(pipe.inherit()) for pipe in (answers, go, fault)),
        ]
        if self.launch.debugger is not None:
            command, environment = native.under(self.launch.debugger, command, environment)
        arguments: dict[str, Any] = dict(inherited)
        if sys.platform == "win32":
            arguments["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
        else:
            arguments["start_new_session"] = True
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                cwd=self.launch.folder,
                **arguments,
            )
        except OSError as error:
            for pipe in (answers, go, fault):
                pipe.close_theirs()
                pipe.close_ours()
            reason = error.strerror or str(error)
            raise NotPython(f"{self.launch.python} cannot be started: {reason}") from error

    # -- hearing --------------------------------------------------------------------------------

    def _take_line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        # Anything else is noise of code that guessed our descriptor.
        if isinstance(message, dict) and isinstance(message.get("t"), str):
            self._events.put(("message", message))

    def _heard(self, kind: str) -> bool:
        return any(message["t"] == kind for message in self._messages)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        if hasattr(os, "waitid"):
            # The zombie is left in place: while it exists its process group cannot be re-used,
            # so killing the group hits nobody else.
            try:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                pass  # reaped by somebody who waits for all children; Popen copes
            self._death_time = time.monotonic()
            self._kill_group()
        self._reap(process)
        self._death_time = self._death_time or time.monotonic()
        self._events.put(("exit", None))

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Collect the exit status, and where the system tells it the peak of memory."""
        if hasattr(os, "wait4"):
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except ChildProcessError:
                pass  # reaped by somebody else; Popen then knows no better than we do
            else:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._peak_of_dead = evidence.peak_mb(usage.ru_maxrss, self._sampled_peak)
                return
        process.wait()

    def _converse(self, go: Pipe) -> str | None:
        """Take messages until the child is dead; return the phase that overran its limit."""
        phase, limit = "start", min(START_LIMIT_S, self.launch.timeout_s)
        deadline: float | None = time.monotonic() + limit
        timed_out: str | None = None
        killed = 0.0
        while True:
            try:
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                # Short naps keep Ctrl-C prompt and let the mapped libraries be sampled.
                event, payload = self._events.get(timeout=0.1 if wait is None else min(wait, 0.1))
            except queue.Empty:
                self._sample(phase)
                if deadline is not None and time.monotonic() >= deadline and timed_out is None:
                    timed_out = phase
                    self._stop_hanging()
                    deadline, killed = None, time.monotonic()
                if killed and time.monotonic() >= killed + _DEATH_S:
                    self._outlives_kill = True
                    return timed_out
                continue
            if event == "exit":
                return timed_out
            self._messages.append(payload)
            if self._listener is not None:
                self._listener(self.launch.label, payload)
            if payload["t"] == "hello":
                # Proven to be Python: from here on the user's limit holds.
                deadline = time.monotonic() + self.launch.timeout_s
            if payload["t"] == "phase":
                phase = str(payload.get("name", ""))
                self._first_time = not payload.get("run")
                deadline = time.monotonic() + self.launch.timeout_s
            elif payload["t"] == "ready":
                deadline = None
                self._give_go(go)
            elif payload["t"] == "end":
                # What is left is the interpreter's own shutdown.
                phase, deadline = "shutdown", time.monotonic() + self.launch.timeout_s

    def _give_go(self, go: Pipe) -> None:
        if self._before_go is not None:
            self._before_go()
        try:
            os.write(go.ours, b"go\n")
        except OSError:
            pass  # it died while waiting; the exit event follows

    def _sample(self, phase: str) -> None:
        """Look at the living child: a death leaves neither a map nor a peak of memory."""
        self._look_at_memory()
        # Reading a map disturbs the child a little, and what is measured is not to be disturbed.
        # Libraries that are loaded late come with the first run of an image.
        if phase.startswith(("import", "build", "start")) or self._first_time:
            self._look_at_map()

    def _look_at_memory(self) -> None:
        if self._process is not None:
            peak, rss = evidence.memory_of_living(self._process.pid)
            self._sampled_peak = peak or self._sampled_peak
            self._sampled_rss = rss or self._sampled_rss

    def _look_at_map(self) -> None:
        if self._process is not None:
            self._last_map = libraries.process_map(self._process.pid) or self._last_map

    def _hear_fault(self, data: bytes) -> None:
        """Take the fault handler's words; look at the child when it says the first of them.

        The handler runs in the dying process, which waits until it is heard out.
        """
        if self._fault.total == 0:
            self._look_at_map()
            self._look_at_memory()
        self._fault.feed(data)

    def _stop_hanging(self) -> None:
        process = self._process
        assert process is not None
        self._look_at_map()
        if self.launch.debugger is not None:
            self._interrupt_for_debugger()
        elif self._heard("hello") and hasattr(signal, "SIGUSR1"):
            try:
                process.send_signal(signal.SIGUSR1)
            except OSError:
                pass  # just died
            self._hear_stacks()
        self._kill_group()

    def _hear_stacks(self) -> None:
        """Wait until the fault handler has written all stacks."""
        heard, deadline = -1, time.monotonic() + _MOST_STACK_S
        while True:
            time.sleep(_STACK_S)
            if self._fault.total == heard or time.monotonic() >= deadline:
                return
            heard = self._fault.total

    def _interrupt_for_debugger(self) -> None:
        """Stop the hanging process under the debugger, and wait until that has told its stacks."""
        hello = [message for message in self._messages if message["t"] == "hello"]
        try:
            # Python's stacks first: they tell which of the threads it is about.
            os.kill(hello[0]["pid"], signal.SIGUSR1)
            self._hear_stacks()
            os.kill(hello[0]["pid"], signal.SIGINT)
        except (OSError, IndexError):
            return  # just died, or never got that far
        deadline = time.monotonic() + _DEBUGGER_S
        while not self._death_time and time.monotonic() < deadline:
            time.sleep(0.05)

    # -- ending ---------------------------------------------------------------------------------

    def _kill_group(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if hasattr(os, "killpg"):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # nobody of the group is left (macOS says "not permitted" for zombies)
        else:
            import psutil

            for victim in strays.descendants(process.pid):
                try:
                    victim.kill()
                except psutil.Error:
                    pass  # gone by itself
            try:
                process.kill()
            except OSError:
                pass  # gone by itself

    def _drain(self, threads: list[threading.Thread]) -> int:
        """Wait for the rest of the output; kill grandchildren that hold the pipes open."""
        deadline = time.monotonic() + _DRAIN_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        killed = 0
        if not self._heard("end") or any(thread.is_alive() for thread in threads):
            # Grandchildren that left the process group still carry our mark.
            killed = strays.kill_marked(self._token)
            deadline = time.monotonic() + _DRAIN_S
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        self._take_remaining()
        return killed

    def _take_remaining(self) -> None:
        """Take the answers that were in the pipe when the child died: nothing heard is lost."""
        while True:
            try:
                event, payload = self._events.get_nowait()
            except queue.Empty:
                return
            if event == "message":
                self._messages.append(payload)
                if self._listener is not None:
                    self._listener(self.launch.label, payload)

    def _refuse(self, returncode: int, streams: dict[str, Capture]) -> None:
        """Raise when the interpreter never reached our worker because it is no (fit) Python."""
        old = [message for message in self._messages if message.get("t") == "too-old"]
        if old:
            raise TargetTooOld(
                f"{self.launch.python} is Python {old[0].get('version')}; "
                "targets from Python 3.8 on can be examined"
            )
        said = streams["stderr"].text().strip() or streams["stdout"].text().strip()
        # A Python that dies in its site customisation is a finding, not a usage error: whether
        # it is a Python at all shows when it is started without any customisation.
        version = None if self._cancelled else version_isolated(self.launch.python)
        if version is not None and version < (3, 8):
            raise TargetTooOld(
                f"{self.launch.python} is Python {version[0]}.{version[1]}; "
                "targets from Python 3.8 on can be examined"
            )
        if self._cancelled or version is not None:
            return
        line = said.splitlines()[-1][:200] if said else "it said nothing"
        code = certificate.exit_code(returncode)
        raise NotPython(
            f"{self.launch.python} does not behave like a Python interpreter "
            f"(exit code {code}; {line})"
        )

    def _ending(
        self,
        folder: Path,
        returncode: int,
        timed_out: str | None,
        streams: dict[str, Capture],
        counters: dict[str, int | None],
        available: float,
        started: float,
        strays: int,
    ) -> Ending:
        stage, step = breadcrumb.read(folder / "breadcrumb")
        told = [m for m in self._messages if m["t"] == "libraries"]
        paths = {
            *libraries.mapped_in(self._last_map),
            *(told[-1].get("paths", []) if told else []),
        }
        memory_told = [m for m in self._messages if m["t"] == "memory"]
        peak = memory_told[-1].get("peak_rss_mb") if memory_told else self._peak_of_dead
        fault, stderr = streams["fault"].text(), streams["stderr"].text()
        return Ending(
            label=self.launch.label,
            messages=tuple(self._messages),
            returncode=returncode,
            completed=self._heard("end"),
            timed_out=timed_out,
            limit_s=self.launch.timeout_s,
            stage=stage or "start",
            step=step,
            stdout=streams["stdout"].text(),
            stdout_bytes=streams["stdout"].total,
            stderr=stderr,
            stderr_bytes=streams["stderr"].total,
            fault=fault,
            # A death before the worker runs is reported by -X faulthandler on stderr.
            python_frames=tuple(certificate.python_frames(fault or stderr)),
            python_threads=tuple(certificate.python_threads(fault or stderr)),
            process_map=self._last_map,
            native_libraries=tuple(libraries.describe(paths)),
            memory=evidence.memory_evidence(counters, peak, available, self._sampled_rss),
            peak_rss_mb=peak,
            lifetime_s=self._death_time - started,
            certificate_ms=(time.monotonic() - self._death_time) * 1000,
            strays_killed=strays,
            outlived_kill=self._outlives_kill,
        )


def allow_children() -> None:
    """Let children be started again after :func:`kill_all`."""
    _ending_all.clear()


def kill_all() -> None:
    """Kill every living child, and each that is about to start (Ctrl-C)."""
    _ending_all.set()
    with _living_lock:
        children = list(_living)
    for child in children:
        child.cancel()
