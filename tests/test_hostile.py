"""Surroundings and targets that want to deceive or to break the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Customize, Doctor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and files")


def test_no_green_without_evidence(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    """Something deletes the decoded images: what was not run is not shown as healthy."""
    pytest.importorskip("torch")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = f"""
    import importlib.abc, sys
    class Sweep(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "torch":
                sys.meta_path.remove(self)
                import glob, shutil, time
                time.sleep(0.5)
                for folder in glob.glob({str(temporary)!r} + "/*"):
                    shutil.rmtree(folder, ignore_errors=True)
    sys.meta_path.insert(0, Sweep())
    """
    answer = doctor(
        "check", "--backend", "torch", "--format", "json",
        environment={**customize(code), "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert answer.code == 1
    assert answer.run("torch")["outcome"] != "ok"
    assert answer.report["verdict"] == "fail"


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("sys.exit('no licence')", "SystemExit: no licence"),
    ],
)
def test_ends_of_programs_in_an_import_are_exceptions(
    doctor: Doctor, customize: Customize, raised: str, told: str
) -> None:
    pytest.importorskip("onnxruntime")
    code = f"""
    import importlib.abc, sys
    class End(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "onnxruntime" and "mtcnn_doctor_target.imports" in sys.modules:
                {raised}
    sys.meta_path.insert(0, End())
    """
    answer = doctor(
        "check", "--backend", "onnxruntime", "--format", "json", environment=customize(code)
    )
    (problem,) = answer.findings()
    assert problem["id"] == "import-failure"
    assert told in problem["title"]
    assert "find_spec" in str(problem["evidence"]["python frames"])


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", 0), (">&- 2>&- <&-", 0), ("> /dev/full", 2), ("| head -1", 0), ("2>&-", 0)],
)
def test_closed_full_and_impatient_outputs(tmp_path: Path, redirection: str, code: int) -> None:
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    doctor = f"{sys.executable} -m mtcnn_doctor check --level 1 --verbose"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {doctor} {redirection}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("name", ["random.py", "tempfile.py", "typing.py", "uuid.py"])
def test_files_that_shadow_the_standard_library_do_not_stop_the_doctor(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("raise RuntimeError('shadow')")
    program = "from mtcnn_doctor.__main__ import main; import sys; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.pop(0); {program}", "check", "--level", "1",
         "--format", "json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["verdict"] == "fail"
    first = next(f for f in report["findings"] if f["severity"] == "error")
    assert first["id"] in ("module-shadowed", "python-startup")
    assert name.removesuffix(".py") in str(first)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "3", "[]", "{}", '{"packages": "x"}', '{"python": {}, "images": [1]}',
     '{"facts": {"python": {}}, "runs": {}}', '{"facts": {"python": 3}}'],
)  # fmt: skip
def test_facts_that_are_no_facts(doctor: Doctor, tmp_path: Path, content: str) -> None:
    (tmp_path / "facts.json").write_text(content)
    answer = doctor("check", "--facts", tmp_path / "facts.json")
    assert answer.code == 2, answer.out
    assert "facts.json" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", ["list", "explain backend-crash", "check --help", "--version"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m mtcnn_doctor {command} | true"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("--help", 0, "Usage"),
        ("list", 0, "backend-crash"),
        ("check --level 1", 0, "Exit 0."),
        ("bench --backend numpy --size 64x64 --runs 1 --warmup 0", 0, "Exit 0."),
        ("check --level 1 --output r.txt", 2, "the working directory was deleted"),
    ],
)
def test_in_a_deleted_folder(tmp_path: Path, arguments: str, code: int, words: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone}; rmdir {gone}; exec {sys.executable} -m mtcnn_doctor"
    done = subprocess.run(
        ["bash", "-c", f"{script} {arguments}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code == 2:
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_disk_does_not_lose_the_report(tmp_path: Path) -> None:
    """A limit on the size of files stands for it; nothing half-written is left."""
    doctor = f"{sys.executable} -m mtcnn_doctor check --level 1 --format json --output out/r.json"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "r.json").write_text("earlier")
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 4; {doctor}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert json.loads(done.stdout)["verdict"] == "pass"
    (line,) = done.stderr.strip().splitlines()
    assert "--output out/r.json cannot be written" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["r.json"]
    assert (tmp_path / "out" / "r.json").read_text() == "earlier"


def test_a_device_is_written_to_and_not_replaced(doctor: Doctor, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        assert doctor("check", "--level", "1", "--output", pipe).code == 0
        assert "Exit 0." in reader.communicate(timeout=10)[0]
    assert pipe.is_fifo()


def test_special_files_are_not_read(doctor: Doctor, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        answer = doctor("check", "--image", path)
        assert answer.code == 2
        assert "not a regular file" in answer.err
