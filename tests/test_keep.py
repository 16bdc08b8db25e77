"""``--keep DIR`` keeps the evidence of every failed run, complete, redacted, and never twice."""

from __future__ import annotations

import _ctypes
import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.report.json_report import schema

from .conftest import Customize, Doctor
from .test_search import FAST, in_matmul

FILES = {"report.md", "fault.txt", "maps.txt", "facts.json", "command.txt"}
BENCH = ("bench", "--backend", "numpy", *FAST)
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and shell")


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@posix
def test_the_folder_of_a_crash(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    environment = customize(in_matmul("True"))
    answer = doctor(*BENCH, "--keep", tmp_path / "kept", environment=environment)
    assert answer.code == 1
    assert f"evidence kept in {tmp_path / 'kept' / 'numpy-crash'}" in answer.err
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["numpy-crash"]
    files = read(tmp_path / "kept" / "numpy-crash")
    assert files.keys() == FILES
    report = files["report.md"]
    assert report.startswith("## numpy ")
    assert "SIGSEGV (exit 139) in " in report.splitlines()[0]
    assert "__init__.py" in report  # ctypes, where it struck
    assert "string_at" in report
    assert "- **peak**: " in report
    assert "OpenBLAS\t" in report or "blas" in report
    assert "### backend-crash" in report
    assert "Fatal Python error: Segmentation fault" in files["fault.txt"]
    assert "Current thread" in files["fault.txt"]
    if sys.platform == "linux":
        assert "r-xp" in files["maps.txt"]
        assert "_multiarray_umath" in files["maps.txt"]
    facts = json.loads(files["facts.json"])
    jsonschema.validate(facts, schema())
    (run,) = facts["runs"]
    (thread,) = [thread for thread in run["python_threads"] if thread["current"]]
    assert thread["frames"] == run["python_traceback"]
    # The facts can be judged anywhere.
    judged = doctor("check", "--facts", tmp_path / "kept" / "numpy-crash" / "facts.json")
    assert "backend-crash" in judged.out


@posix
def test_the_command_repeats_the_run(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    environment = customize(in_matmul("True"))
    doctor(*BENCH, "--keep", tmp_path / "kept", "--format", "json", environment=environment)
    script = tmp_path / "kept" / "numpy-crash" / "command.txt"
    text = script.read_text()
    assert "--keep" not in text.splitlines()[-1]
    # As on the machine of whoever gets it: without the variables of this shell.
    bare = {k: v for k, v in os.environ.items() if k in ("HOME", "LANG", "VIRTUAL_ENV")}
    bare["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", script], env=bare, capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 1, done.stderr
    assert "died of SIGSEGV" in done.stdout


def test_no_folder_without_a_failure(doctor: Doctor, tmp_path: Path) -> None:
    answer = doctor(*BENCH, "--keep", tmp_path / "kept")
    assert answer.code == 0
    assert "kept" not in answer.err
    assert not (tmp_path / "kept").exists()


@posix
def test_nothing_is_overwritten(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    mine = tmp_path / "kept" / "numpy-crash"
    mine.mkdir(parents=True)
    (mine / "report.md").write_text("mine")
    (tmp_path / "kept" / "numpy-crash-2").write_text("a file")
    environment = customize(in_matmul("True"))
    doctor(*BENCH, "--keep", tmp_path / "kept", environment=environment)
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"numpy-crash", "numpy-crash-2", "numpy-crash-3"}
    assert (mine / "report.md").read_text() == "mine"
    assert read(tmp_path / "kept" / "numpy-crash-3").keys() == FILES


def test_names_are_taken_out(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    """Also where a path is escaped for Markdown, and in what the process printed."""
    home = tmp_path / "my_home"
    home.mkdir()
    code = "import os, sys\n" + in_matmul("__import__('os')._exit(3)").replace(
        "def strike", "print(os.path.expanduser('~/secret_place'), file=sys.stderr)\ndef strike"
    )
    environment = {**customize(code), "HOME": str(home), "OPENBLAS_CORETYPE": f"{home}/x`y"}
    kept = home / "kept"
    answer = doctor(*BENCH, "--keep", kept, environment=environment, cwd=home)
    assert answer.code == 1
    files = read(kept / "numpy-crash")
    for name, text in files.items():
        assert str(home) not in text, name
        assert "my_home" not in text, name
        assert "my\\_home" not in text, name
        if getpass.getuser() not in ("root", "runner"):
            assert f"/{getpass.getuser()}/" not in text, name
    assert "~/secret_place" in files["fault.txt"]
    assert "\"$HOME\"'/x`y'" in files["command.txt"]


def test_an_exception_and_an_import_error(
    doctor: Doctor, customize: Customize, tmp_path: Path
) -> None:
    code = in_matmul("True").replace("ctypes.string_at(0)", "raise ValueError('`*<b>|\\x1b[31m')")
    answer = doctor(*BENCH, "--keep", tmp_path, environment=customize(code))
    assert answer.code == 1
    files = read(tmp_path / "numpy-error")
    assert "ValueError: `*<b>|" in files["fault.txt"]
    # What the process said is shown, and does nothing in a page or a terminal.
    assert "\x1b" not in "".join(files.values())
    assert "\\x1b" in files["fault.txt"]
    (reason,) = [line for line in files["report.md"].splitlines() if "**reason**" in line]
    assert "\\`\\*\\<b\\>\\|" in reason


@posix
def test_repeated_runs_leave_one_folder_a_fault(
    doctor: Doctor, customize: Customize, tmp_path: Path
) -> None:
    """The measured run is fine; of ten fresh processes some crash, some raise."""
    count = tmp_path / "count"
    code = (
        "import os\ndef number():\n"
        f"    fd = os.open({str(count)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n"
        "    os.write(fd, b'x'); os.close(fd)\n"
        f"    return os.path.getsize({str(count)!r})\n"
        + in_matmul("first()").replace(
            "def strike", "seen = []\ndef first():\n"
            "    if not seen: seen.append(number())\n"
            "    if seen[0] == 6: raise RuntimeError('the sixth')\n"
            "    return seen[0] in (4, 7)\ndef strike"
        )
    )  # fmt: skip
    answer = doctor(
        *BENCH, "--repeat", "8", "--keep", tmp_path / "kept", environment=customize(code)
    )
    assert answer.code == 1, answer.out + answer.err
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"numpy-crash", "numpy-error"}
    report = (tmp_path / "kept" / "numpy-crash" / "report.md").read_text()
    assert "in fresh process " in report
    assert " runs failed" in report


@posix
def test_the_provoking_import_is_in_the_command(
    doctor: Doctor, customize: Customize, tmp_path: Path
) -> None:
    pytest.importorskip("cv2")
    code = in_matmul("'cv2' in __import__('sys').modules")
    doctor(
        *BENCH, "--bisect", "--budget", "8", "--keep", tmp_path / "kept",
        environment=customize(code),
    )  # fmt: skip
    (folder,) = (tmp_path / "kept").iterdir()
    files = read(folder)
    assert files["command.txt"].rstrip().endswith("--backend numpy --import-first cv2")
    assert "after an import of cv2; it works alone" in files["report.md"]


@posix
def test_check_keeps_evidence_of_a_hang(
    doctor: Doctor, customize: Customize, tmp_path: Path
) -> None:
    code = in_matmul("True").replace("ctypes.string_at(0)", "__import__('time').sleep(60)")
    answer = doctor(
        "check", "--backend", "numpy", "--timeout", "2", "--keep", tmp_path / "kept",
        environment=customize(code),
    )  # fmt: skip
    assert answer.code == 1
    files = read(tmp_path / "kept" / "numpy-timeout")
    assert "none: it hung" in files["report.md"]
    assert "strike" in files["report.md"]
    command = files["command.txt"].splitlines()[-1]
    assert command.endswith(" check --timeout 2 --backend numpy")
    # As it was started: by its path, where the shell would not find the name.
    assert command.startswith((f"{sys.executable} -m mtcnn_doctor ", "mtcnn-doctor "))
    assert "bench --timeout 2 --backend numpy --bisect" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("bench", "--keep", "here/there/kept"), "make it first"),
        (("check", "--keep", "a-file"), "name a folder"),
        (("check", "--facts", "x.json", "--keep", "kept"), "--facts"),
        (("check", "--facts", "x.json", "--native"), "--native"),
    ],
)
def test_a_place_that_cannot_be_used(
    doctor: Doctor, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "a-file").write_text("")
    answer = doctor(*arguments, cwd=tmp_path)
    assert answer.code == 2
    assert words in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@posix
def test_evidence_that_cannot_be_written_does_not_lose_the_report(
    doctor: Doctor, customize: Customize, tmp_path: Path
) -> None:
    """A limit on the size of files stands for a full disk."""
    limited = ("sh", "-c", 'ulimit -f 8; exec "$@"', "sh")
    answer = doctor(
        *BENCH, "--size", "32x32", "--keep", tmp_path / "kept", environment=customize(
            in_matmul("True") + "\nimport signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        ), prefix=limited,
    )  # fmt: skip
    assert "evidence could not be written" in answer.out
    assert "died of SIGSEGV" in answer.out
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the process map of Linux")
def test_what_was_loaded_and_held_at_the_end(
    doctor: Doctor, customize: Customize, tmp_path: Path
) -> None:
    """A copy of a library is loaded, and 300 MiB are taken, right before the null is read."""
    copy = tmp_path / "libgomp-copy.so.1"
    copy.write_bytes(Path(_ctypes.__file__).read_bytes())
    code = in_matmul("'mtcnn_doctor_target.reference.cascade' in __import__('sys').modules")
    code = code.replace(
        "ctypes.string_at(0)",
        f"ctypes.PyDLL({str(copy)!r}); kept = b'x' * (300 << 20); ctypes.string_at(0)",
    )
    answer = doctor(*BENCH, "--keep", tmp_path / "kept", environment=customize(code))
    assert answer.code == 1
    files = read(tmp_path / "kept" / "numpy-crash")
    facts = json.loads(files["facts.json"])
    (run,) = facts["runs"]
    gnu = [row for row in run["native_libraries"] if row.get("runtime") == "GNU OpenMP"]
    assert [row["name"] for row in gnu] == [copy.name]
    assert f"{copy.name}" in files["maps.txt"]
    assert run["memory"]["last_rss_mb"] > 300
    assert run["memory"]["peak_rss_mb"] > 300
    (last,) = [line for line in files["report.md"].splitlines() if "looked at last" in line]
    assert int(last.split()[-2]) > 300


@posix
def test_frames_of_all_threads(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    code = in_matmul("'mtcnn_doctor_target.reference.cascade' in __import__('sys').modules")
    code = code.replace(
        "def strike",
        "def bystander():\n    __import__('time').sleep(60)\n"
        "def strike",
    ).replace(
        "ctypes.string_at(0)",
        "t = __import__('threading').Thread(target=bystander, daemon=True)\n"
        "    t.start(); __import__('time').sleep(0.2); ctypes.string_at(0)",
    )  # fmt: skip
    doctor(*BENCH, "--keep", tmp_path / "kept", environment=customize(code))
    files = read(tmp_path / "kept" / "numpy-crash")
    (run,) = json.loads(files["facts.json"])["runs"]
    first, *others = run["python_threads"]
    assert first["current"]
    assert "strike" in {frame["function"] for frame in first["frames"]}
    functions = [{frame["function"] for frame in thread["frames"]} for thread in others]
    assert any("bystander" in names for names in functions)
    assert not any("_listen" in names for names in functions)
    assert "bystander" in files["report.md"]
