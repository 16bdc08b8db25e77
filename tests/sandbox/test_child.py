"""The sandbox outlives real deaths, real hangs and real noise, and says what happened."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mtcnn_doctor.sandbox import (
    Child,
    Ending,
    Launch,
    NotPython,
    TargetTooOld,
    allow_children,
    identify,
    kill_all,
)
from mtcnn_doctor.sandbox.launch import CHILD_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="real POSIX signals")

Customize = Callable[[str], dict[str, str]]


def run(
    environment: dict[str, str] | None = None,
    *,
    python: str = sys.executable,
    timeout_s: float = 20.0,
    **orders: Any,
) -> Ending:
    full = {"task": "facts", "probes": ["python"], **orders}
    return Child(Launch(python, full, "test", timeout_s, environment or {})).run()


def in_probe(code: str) -> str:
    """Code of a sitecustomize that makes the probe ``threads`` run ``code`` inside the worker."""
    return f"""
    import importlib.abc, importlib.machinery, sys

    def collect(orders):
        import ctypes, os, signal, sys, time
{textwrap.indent(textwrap.dedent(code), "        ")}
        return {{}}

    class Probe(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name, path, target=None):
            if name == "mtcnn_doctor_target.probes.threads":
                return importlib.machinery.ModuleSpec(name, self)
        def create_module(self, spec):
            return None
        def exec_module(self, module):
            module.collect = collect

    sys.meta_path.insert(0, Probe())
    """


def test_a_healthy_child_answers_and_leaves_nothing_behind() -> None:
    before = set(os.listdir("/tmp"))
    ending = run()
    assert ending.completed
    assert ending.returncode == 0
    assert ending.timed_out is None
    (fact,) = ending.of("fact")
    assert fact["value"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert not [name for name in set(os.listdir("/tmp")) - before if "mtcnn-doctor-" in name]


@pytest.mark.parametrize(
    ("code", "signal_name", "exit_code"),
    [
        ("ctypes.string_at(0)", "SIGSEGV", 139),
        ("os.abort()", "SIGABRT", 134),
        ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL", 132),
        ("os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS", 135),
        ("os.kill(os.getpid(), signal.SIGFPE)", "SIGFPE", 136),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", 137),
        ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM", 143),
    ],
)
def test_a_signal_is_named_and_placed(
    customize: Customize, code: str, signal_name: str, exit_code: int
) -> None:
    ending = run(customize(in_probe(code)), probes=["python", "threads"])
    assert ending.signal == signal_name
    assert ending.exit_code == exit_code
    assert (ending.stage, ending.step) == ("probe", "threads")
    # Nothing received before the death is lost.
    assert [fact["name"] for fact in ending.of("fact")] == ["python"]
    assert not ending.completed
    assert ending.certificate_ms < 500
    if signal_name in ("SIGSEGV", "SIGABRT", "SIGILL", "SIGBUS", "SIGFPE"):
        functions = [frame["function"] for frame in ending.python_frames]
        assert "collect" in functions
        assert "main" in functions


def test_an_early_exit_is_told_from_an_end(customize: Customize) -> None:
    ending = run(customize(in_probe("os._exit(0)")), probes=["python", "threads"])
    assert ending.returncode == 0
    assert not ending.completed
    assert (ending.stage, ending.step) == ("probe", "threads")


def test_an_exception_of_a_probe_is_an_answer(customize: Customize) -> None:
    ending = run(customize(in_probe("raise OSError('disk on fire')")), probes=["threads", "python"])
    assert ending.completed
    (failed,) = ending.of("probe-failed")
    assert failed["error"]["last_line"] == "OSError: disk on fire"
    assert [fact["name"] for fact in ending.of("fact")] == ["python"]


@pytest.mark.parametrize("code", ["while True: pass", "time.sleep(600)"])
def test_a_hanging_child_is_stopped_and_its_stack_known(customize: Customize, code: str) -> None:
    started = time.monotonic()
    ending = run(customize(in_probe(code)), probes=["python", "threads"], timeout_s=1.0)
    assert time.monotonic() - started < 10
    assert ending.timed_out == "probe threads"
    assert "collect" in [frame["function"] for frame in ending.python_frames]


def test_a_child_hanging_without_the_gil_is_stopped(customize: Customize) -> None:
    code = "ctypes.PyDLL(None).pause()"  # PyDLL keeps the GIL: no other Python thread can run
    ending = run(customize(in_probe(code)), probes=["threads"], timeout_s=1.0)
    assert ending.timed_out == "probe threads"
    assert "collect" in [frame["function"] for frame in ending.python_frames]


#: A tracer in a session of its own. The parent of a traced process is not told of its death before
#: the tracer is, and this one never listens: to the doctor the process outlives every signal, as
#: one that waits inside the kernel does.
HELD = """
r, w = os.pipe()
libc = ctypes.CDLL(None)
libc.prctl(0x59616D61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)  # PR_SET_PTRACER, anybody
me = os.getpid()
if os.fork() == 0:
    os.setsid()
    for fd in set(range(256)) - {w}:
        try:
            os.close(fd)
        except OSError:
            pass
    os.write(w, b"y" if libc.ptrace(0x4206, me, None, None) == 0 else b"n")  # PTRACE_SEIZE
    time.sleep(60)
    os._exit(0)
print("held" if os.read(r, 1) == b"y" else "free", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="holds a process with ptrace as Linux does")
def test_a_child_that_no_signal_ends_is_left_behind(customize: Customize) -> None:
    ending = run(customize(in_probe(HELD)), probes=["python", "threads"], timeout_s=1.0)
    if "free" in ending.stdout:
        pytest.skip("processes may not be traced here")
    assert ending.outlived_kill
    assert ending.timed_out == "probe threads"
    assert [fact["name"] for fact in ending.of("fact")] == ["python"]
    assert ending.lifetime_s > 0
    # The tracer carried the child's mark and was killed: nobody is left.
    assert ending.strays_killed >= 1


def test_a_hang_while_the_interpreter_starts(customize: Customize) -> None:
    ending = run(customize("import time; time.sleep(600)"), timeout_s=1.0)
    assert ending.timed_out == "start"
    assert ending.stage == "start"
    assert ending.messages == ()


def test_a_crash_while_the_interpreter_starts(customize: Customize) -> None:
    ending = run(customize("import ctypes; ctypes.string_at(0)"))
    assert ending.signal == "SIGSEGV"
    assert ending.stage == "start"
    assert any("sitecustomize" in frame["file"] for frame in ending.python_frames)


def test_ten_megabytes_of_noise_block_nothing(customize: Customize) -> None:
    code = """
    for _ in range(100):
        sys.stdout.write("x" * 100_000)
        sys.stderr.write("y" * 100_000)
    sys.stdout.flush()
    """
    ending = run(customize(in_probe(code)), probes=["threads", "python"])
    assert ending.completed
    assert ending.stdout_bytes == ending.stderr_bytes == 10_000_000
    assert len(ending.stdout) < 200_000
    assert "bytes dropped" in ending.stdout
    assert [fact["name"] for fact in ending.of("fact")] == ["threads", "python"]


def test_binary_garbage_and_json_on_stdout_are_not_answers(customize: Customize) -> None:
    code = r"""
    sys.stdout.buffer.write(b'\xff\xfe\x00{"t": "end"}\n{"t": "fact", "name": "x"}\n')
    sys.stdout.flush()
    ctypes.string_at(0)
    """
    ending = run(customize(in_probe(code)), probes=["threads"])
    assert not ending.completed
    assert ending.of("fact") == []
    assert ending.signal == "SIGSEGV"


def test_a_grandchild_that_left_the_group_is_found_and_killed(
    customize: Customize, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    code = f"""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open({str(note)!r}, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    while not os.path.exists({str(note)!r}):
        time.sleep(0.01)
    """
    started = time.monotonic()
    ending = run(customize(in_probe(code)), probes=["threads", "python"])
    assert ending.completed
    assert time.monotonic() - started < 10
    assert ending.strays_killed == 1
    assert not psutil.pid_exists(int(note.read_text())) or (
        psutil.Process(int(note.read_text())).status() == psutil.STATUS_ZOMBIE
    )


def test_closed_descriptors_are_survived(customize: Customize) -> None:
    ending = run(customize(in_probe("os.closerange(0, 256)")), probes=["python", "threads"])
    assert not ending.completed
    assert [fact["name"] for fact in ending.of("fact")] == ["python"]
    # The breadcrumb needs no descriptor.
    assert (ending.stage, ending.step) == ("probe", "threads")


def test_a_file_opened_under_our_number_is_not_written_to(
    customize: Customize, tmp_path: Path
) -> None:
    victim = tmp_path / "precious"
    victim.write_text("precious")
    code = f"""
    os.closerange(3, 256)
    for _ in range(40):
        os.open({str(victim)!r}, os.O_RDWR)
    """
    run(customize(in_probe(code)), probes=["threads", "python"])
    assert victim.read_text() == "precious"


def test_memory_limits_are_told(customize: Customize) -> None:
    code = """
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
    try:
        hoard = [bytearray(os.urandom(1 << 20)) for _ in range(1000)]
    finally:
        time.sleep(0.5)
    """
    ending = run(customize(in_probe(code)), probes=["threads"])
    assert ending.of("probe-failed")[0]["error"]["type"] == "MemoryError"
    assert ending.peak_rss_mb is not None
    assert 300 < ending.peak_rss_mb < 600


@pytest.mark.parametrize("program", ["ls", "true", "false", "cat", "sh", "yes", "sleep"])
def test_a_target_that_is_not_python(program: str) -> None:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} here")
    with pytest.raises(NotPython, match="does not behave like a Python interpreter"):
        run(python=path, timeout_s=2.0)


def test_a_target_that_floods_stdout_forever(tmp_path: Path) -> None:
    script = tmp_path / "flood"
    script.write_text("#!/bin/sh\nwhile :; do echo flood; done\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(NotPython):
        run(python=str(script), timeout_s=1.0)


def test_a_target_that_does_not_exist() -> None:
    with pytest.raises(NotPython, match="No such file"):
        run(python="/nowhere/python")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_a_target_that_is_too_old(version: str) -> None:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} here")
    with pytest.raises(TargetTooOld, match=version):
        run(python=str(found[0]))


def test_native_libraries_at_death_are_known(customize: Customize) -> None:
    pytest.importorskip("numpy")
    code = """
    import numpy
    time.sleep(0.5)
    ctypes.string_at(0)
    """
    ending = run(
        customize(in_probe(code)), task="modules", module="numpy", after=[], probes=["threads"]
    )
    kinds = {library["kind"] for library in ending.native_libraries}
    assert "numpy" in kinds


def test_cancelling_from_outside_ends_a_run() -> None:
    endings: list[Ending] = []
    environment = {"PYTHONPATH": ""}
    thread = threading.Thread(
        target=lambda: endings.append(
            Child(
                Launch(
                    sys.executable,
                    {
                        "task": "reference",
                        "backend": "numpy",
                        "module": "numpy",
                        "images": [],
                        "runs": 1,
                    },
                    "test",
                    60.0,
                    environment,
                ),
                before_go=lambda: time.sleep(1.0),
            ).run()
        )
    )
    thread.start()
    time.sleep(0.5)
    kill_all()
    thread.join(20)
    allow_children()
    assert not thread.is_alive()
    assert endings
    assert endings[0].signal == "SIGKILL"


def test_children_end_when_the_doctor_is_killed(tmp_path: Path) -> None:
    import subprocess

    program = f"""
import sys, time
from mtcnn_doctor.sandbox import Child, Launch
orders = {{"task": "reference", "backend": "numpy", "module": "numpy", "images": [], "runs": 1}}
def forever():
    print("ready", flush=True)
    time.sleep(600)
Child(Launch({sys.executable!r}, orders, "test", 60.0), before_go=forever).run()
"""
    doctor = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert doctor.stdout is not None
    assert doctor.stdout.readline() == b"ready\n"
    children = psutil.Process(doctor.pid).children()
    assert len(children) == 1
    assert CHILD_VARIABLE in children[0].environ()
    doctor.send_signal(signal.SIGKILL)
    doctor.wait()
    doctor.stdout.close()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert gone
    assert not alive


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_wrapper_whose_child_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text("#!/bin/sh\nsleep 1000\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(identify, "_LIMIT_S", 0.5)
    assert identify.version_isolated(str(wrapper)) is None
