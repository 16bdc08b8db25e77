"""``--native``: what crashed or hung is run again under gdb, and its native stack is shown."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.report.json_report import schema

from .conftest import Customize, Doctor
from .test_search import FAST, in_matmul

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gdb on Linux")
needs_gdb = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
BENCH = ("bench", "--backend", "numpy", "--native", *FAST)


def replaced(code: str) -> str:
    return in_matmul("True").replace("ctypes.string_at(0)", code)


def functions(native: dict[str, object]) -> str:
    return " ".join(frame["function"] for frame in native["frames"])


@needs_gdb
def test_the_stack_of_a_crash(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    environment = customize(in_matmul("True"))
    answer = doctor(*BENCH, "--keep", tmp_path / "kept", environment=environment)
    assert answer.code == 1
    folder = tmp_path / "kept" / "numpy-crash"
    facts = json.loads((folder / "facts.json").read_text())
    jsonschema.validate(facts, schema())
    (run,) = facts["runs"]
    native = run["native"]
    assert (native["state"], native["signal"], native["same"]) == ("found", "SIGSEGV", True)
    assert native["stage"] == run["stage"]
    # The first run's own death is what the report is about.
    assert (run["outcome"], run["exit_code"]) == ("crash", 139)
    assert "ffi_call" in functions(native)  # ctypes calls through libffi
    assert any(row["kind"] == "blas" for row in native["runtimes"])
    said = (folder / "native.txt").read_text()
    assert said.startswith("#0 ")
    assert "All threads" in said
    assert "libc.so" in said
    assert "ffi_call" in (folder / "report.md").read_text()
    # gdb's libraries are those of the map, by the same paths.
    assert answer.out.count(native["runtimes"][0]["name"]) == 1
    assert "native frames" in answer.out


@needs_gdb
def test_the_stack_of_a_hang(doctor: Doctor, customize: Customize) -> None:
    environment = customize(replaced("__import__('time').sleep(600)"))
    answer = doctor(
        *BENCH, "--timeout", "3", "--lanes", "2", "--format", "json", environment=environment
    )
    run = answer.run("numpy")
    assert run["outcome"] == "timeout"
    assert (run["native"]["state"], run["native"]["signal"]) == ("found", None)
    # Of the thread that hangs, not of the one that waits for it.
    assert "nanosleep" in functions(run["native"])
    assert "strike" in {frame["function"] for frame in run["python_traceback"]}


@needs_gdb
def test_who_called_exit(doctor: Doctor, customize: Customize) -> None:
    environment = customize(replaced("os._exit(3)"))
    answer = doctor(*BENCH, "--format", "json", environment=environment)
    run = answer.run("numpy")
    assert (run["outcome"], run["exit_code"]) == ("crash", 3)
    assert run["native"]["same"]
    assert "_exit" in functions(run["native"])


@pytest.mark.exhaustive
@needs_gdb
def test_a_fault_that_stays_away(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    once = tmp_path / "once"
    condition = (
        "'mtcnn_doctor_target.reference.cascade' in sys.modules"
        f" and not os.path.exists({str(once)!r}) and not os.mkdir({str(once)!r})"
    )
    answer = doctor(*BENCH, environment=customize(in_matmul(condition)))
    assert answer.code == 1
    assert "it did not fail in 3 runs under gdb" in answer.out


def test_without_gdb(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    environment = {**customize(in_matmul("True")), "PATH": str(tmp_path)}
    answer = doctor(*BENCH, environment=environment)
    assert answer.code == 1
    assert "gdb is not installed" in answer.out
    assert "died of SIGSEGV" in answer.out


def test_a_machine_that_forbids_it(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    """As gdb answers in a container without the right to trace."""
    gdb = tmp_path / "gdb"
    gdb.write_text("#!/bin/sh\necho 'ptrace: Operation not permitted.' >&2\nexit 1\n")
    gdb.chmod(0o755)
    environment = {**customize(in_matmul("True")), "PATH": str(tmp_path)}
    answer = doctor(*BENCH, environment=environment)
    assert answer.code == 1
    assert "gdb could not run it: ptrace: Operation not permitted." in answer.out


def test_a_kill_from_outside_shows_nothing(doctor: Doctor, customize: Customize) -> None:
    environment = customize(replaced("os.kill(os.getpid(), 9)"))
    answer = doctor(*BENCH, "--format", "json", environment=environment)
    assert answer.run("numpy")["signal"] == "SIGKILL"
    assert answer.run("numpy")["native"] is None
