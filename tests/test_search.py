"""``bench --bisect`` finds the change that cures a real fault, and claims what its runs show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.report.json_report import schema

from .conftest import AFTER_IMPORT, Answer, Customize, Doctor

PORTRAIT = next(picture.path for picture in bundled() if picture.name == "portrait.png")
#: One image, one run: what is asserted does not depend on more.
FAST = ("--source", PORTRAIT, "--size", "160x160", "--runs", "1", "--warmup", "0")

#: Runs `strike()` in the place of NumPy's matrix product: a true null dereference.
IN_MATMUL = (
    AFTER_IMPORT
    + """
import ctypes, os

def strike():
    ctypes.string_at(0)

def patch(module):
    real = module.matmul
    def matmul(*given, **named):
        if {condition}:
            strike()
        return real(*given, **named)
    module.matmul = matmul

if "MTCNN_DOCTOR_CHILD" in os.environ:
    after_import("numpy", patch)
"""
)


def in_matmul(condition: str) -> str:
    return IN_MATMUL.replace("{condition}", condition)


def interpreter(folder: Path, code: str) -> Path:
    """Make a target whose own site-packages hold the fault: no variable leads to it."""
    venv.create(folder / "target", with_pip=False, symlinks=sys.platform != "win32")
    (site,) = (folder / "target").glob("[Ll]ib/**/site-packages")
    (site / "here.pth").write_text(
        "".join(path + "\n" for path in sys.path if path.endswith("site-packages"))
        + "import fault_of_the_test\n"
    )
    (site / "fault_of_the_test.py").write_text(code)
    return folder / "target"


Plant = Callable[[str], tuple[str, Path]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Put a fault into a target of its own; return the options that choose it."""
    return lambda code: ("--python", interpreter(tmp_path, code))


def bisect(doctor: Doctor, *options: Any, environment: dict[str, str] | None = None) -> Answer:
    arguments = ("bench", "--backend", "numpy", "--bisect", *FAST, *options)
    return doctor(*arguments, "--format", "json", environment=environment)


def searched(answer: Answer) -> dict[str, Any]:
    jsonschema.validate(answer.report, schema())
    (entry,) = answer.report["search"]["backends"]
    return entry


def cure(entry: dict[str, Any]) -> list[str]:
    return [change["id"] for change in entry["answer"]["changes"]]


def test_a_fault_of_more_than_one_thread(doctor: Doctor, plant: Plant) -> None:
    answer = bisect(doctor, *plant(in_matmul("os.environ.get('OMP_NUM_THREADS') != '1'")))
    entry = searched(answer)
    assert answer.code == 1
    assert entry["verdict"] == "found"
    assert cure(entry) == ["environment-one-thread"]
    assert entry["fault"]["signal"] == "SIGSEGV"
    assert entry["without"]["failed"] == entry["without"]["runs"] >= 3
    assert entry["answer"]["failed"] == 0
    assert entry["answer"]["chance"] <= entry["answer"]["alpha"] < 0.05
    # Cheaper changes were tried before, and brought the same fault.
    assert {one["verdict"] for one in entry["tried"][:-1]} == {"same-fault"}
    (found,) = [f for f in answer.report["findings"] if f["id"] == "mitigation-found"]
    assert found["severity"] == "info"
    # What was done already is not offered again.
    (crash,) = [f for f in answer.report["findings"] if f["id"] == "backend-crash"]
    assert "--bisect" not in crash["remedy"]["text"]


def test_a_fault_of_several_callers(doctor: Doctor, plant: Plant) -> None:
    """The fault that needs the reference's own lanes is not reproduced without them."""
    condition = "__import__('threading').current_thread() is not main"
    code = in_matmul(condition) + "main = __import__('threading').main_thread()\n"
    answer = bisect(doctor, *plant(code), "--lanes", "2", "--size", "512x512")
    entry = searched(answer)
    assert cure(entry) == ["one-caller"]
    assert entry["manner"]["lanes"] == 2


def test_the_text_names_the_change_and_the_runs(doctor: Doctor, plant: Plant) -> None:
    target = plant(in_matmul("os.environ.get('OMP_NUM_THREADS') != '1'"))
    answer = doctor("bench", "--backend", "numpy", "--bisect", *FAST, *target)
    assert "cure               one OpenMP/BLAS thread" in answer.out
    assert "export OMP_NUM_THREADS=1" in answer.out
    assert "0 of " in answer.out
    assert "the same fault" in answer.err
    assert "s left)" in answer.err


def test_two_changes_together(doctor: Doctor, plant: Plant) -> None:
    variables = "('OMP_NUM_THREADS', '1'), ('MALLOC_ARENA_MAX', '1')"
    condition = f"not all(os.environ.get(k) == v for k, v in ({variables}))"
    entry = searched(bisect(doctor, *plant(in_matmul(condition))))
    assert entry["verdict"] == "found"
    assert sorted(cure(entry)) == ["environment-one-thread", "malloc-one-arena"]
    for half in cure(entry):
        (alone,) = [one for one in entry["tried"] if one["changes"] == [half]]
        assert alone["verdict"] == "same-fault"


def test_another_fault_is_no_cure(doctor: Doctor, plant: Plant) -> None:
    """One arena turns the crash into an exception: that is said, and the search goes on."""
    code = in_matmul("os.environ.get('OMP_NUM_THREADS') != '1'").replace(
        "    ctypes.string_at(0)",
        "    if os.environ.get('MALLOC_ARENA_MAX') == '1':\n"
        "        raise ImportError('no module here')\n"
        "    ctypes.string_at(0)",
    )
    entry = searched(bisect(doctor, *plant(code)))
    (other,) = [one for one in entry["tried"] if one["changes"] == ["malloc-one-arena"]]
    assert other["verdict"] == "changes-the-fault"
    assert "ImportError" in other["said"]
    assert cure(entry) == ["environment-one-thread"]


def test_a_fault_that_nothing_cures(doctor: Doctor, plant: Plant) -> None:
    answer = bisect(doctor, *plant(in_matmul("True")), "--budget", "4")
    entry = searched(answer)
    assert entry["verdict"] in ("budget-spent", "likely")
    # Room for the end of a process on a busy machine; the search itself would take minutes.
    assert answer.report["search"]["spent_s"] < 20


def test_a_fault_of_three_in_ten(doctor: Doctor, plant: Plant, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    code = (
        in_matmul("unlucky()")
        + f"""
import threading
_asked = []
_lock = threading.Lock()

def unlucky():
    if os.environ.get("OMP_NUM_THREADS") == "1":
        return False
    with _lock:
        if not _asked:
            number = os.path.getsize({str(counter)!r}) if os.path.exists({str(counter)!r}) else 0
            with open({str(counter)!r}, "a") as file:
                file.write(".")
            _asked.append(number % 10 in (0, 3, 6))
        return _asked[0]
"""
    )
    answer = bisect(doctor, *plant(code), "--repeat", "20")
    entry = searched(answer)
    without = entry["without"]
    assert 0 < without["failed"] < without["runs"]
    low, high = without["interval"]
    assert low < 0.3 < high
    assert entry["verdict"] == "found"
    assert cure(entry) == ["environment-one-thread"]
    # Nine good runs would be luck once in twenty times; the proof takes more.
    assert entry["answer"]["runs"] > 9
    assert entry["answer"]["chance"] <= entry["answer"]["alpha"]
    assert any(f["id"] == "backend-flaky" for f in answer.findings("error"))


CV2_BEFORE_TORCH = (
    AFTER_IMPORT
    + """
import ctypes

def patch(module):
    if "cv2" in sys.modules:
        ctypes.string_at(0)

after_import("torch", patch)
"""
)


def test_cv2_imported_before_the_framework(doctor: Doctor, plant: Plant) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    answer = doctor(
        "bench", "--backend", "onnxruntime", "--bisect", "--import-first", "cv2", *FAST,
        "--format", "json", *plant(CV2_BEFORE_TORCH.replace("torch", "onnxruntime")),
    )  # fmt: skip
    entry = searched(answer)
    assert entry["provoked_by"] is None
    assert entry["imported_before"] == ["cv2"]
    assert cure(entry) == ["framework-first"]
    assert entry["answer"]["changes"][0]["code"].startswith("import onnxruntime")


@pytest.mark.exhaustive
def test_a_backend_that_works_is_provoked(doctor: Doctor, plant: Plant) -> None:
    """Nobody said that cv2 is imported first; programs do it, so it is tried."""
    pytest.importorskip("torch")
    pytest.importorskip("cv2")
    answer = doctor(
        "bench", "--backend", "torch", "--bisect", *FAST,
        "--format", "json", *plant(CV2_BEFORE_TORCH),
    )  # fmt: skip
    entry = searched(answer)
    assert answer.run("torch")["outcome"] == "ok"
    assert entry["provoked_by"] == "after-cv2"
    assert cure(entry) == ["framework-first"]
    # It was run alone in the very same manner, and worked.
    assert (entry["alone"]["runs"], entry["alone"]["failed"]) == (3, 0)
    assert [f["id"] for f in answer.findings("error")] == ["import-order"]
    assert answer.code == 1


def test_a_fault_without_lanes_is_not_blamed_on_an_import(doctor: Doctor, plant: Plant) -> None:
    """The measurement works, with its two lanes; one lane fails, whatever is imported."""
    lanes = "t.name.startswith('mtcnn-lane') for t in __import__('threading').enumerate()"
    target = plant(in_matmul(f"not any({lanes})"))
    answer = bisect(doctor, *target, "--lanes", "2", "--size", "512x512", "--budget", "8")
    entry = searched(answer)
    assert answer.run("numpy")["outcome"] == "ok"
    assert entry["provoked_by"] is None
    assert entry["imported_before"] == []
    assert entry["without"]["failed"] == entry["without"]["runs"] > 0
    (finding,) = answer.findings("error")
    assert finding["id"] == "backend-flaky"
    assert "worked in the measurement" in finding["title"]
    assert finding["evidence"]["these ran with"] == "1 lane, 1 run an image"
    assert answer.code == 1


def test_the_folder_of_the_fault_is_tried_first(doctor: Doctor, customize: Customize) -> None:
    """The frames of the crash lie in a folder of PYTHONPATH."""
    entry = searched(bisect(doctor, environment=customize(in_matmul("True"))))
    assert entry["verdict"] == "found"
    assert cure(entry) == ["no-pythonpath"]
    assert [one["changes"] for one in entry["tried"]] == [["no-pythonpath"]]


def test_a_healthy_backend(doctor: Doctor) -> None:
    answer = bisect(doctor, "--budget", "5")
    entry = searched(answer)
    assert answer.code == 0
    assert entry["verdict"] == "no-fault"
    assert answer.findings() == []


def test_the_offer_stands_with_the_crash(doctor: Doctor, customize: Customize) -> None:
    answer = doctor("check", "--backend", "numpy", environment=customize(in_matmul("True")))
    assert " bench --backend numpy --bisect" in " ".join(answer.out.split())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_prints_what_is_known(plant: Plant, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mtcnn_doctor", "bench", "--backend", "numpy", "--bisect",
         *map(str, (*FAST, *plant(in_matmul("True"))))],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "2 of " in line:
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert "3 of 3 runs failed" in out
    assert "none found until the interruption" in out
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "10"), "--bisect"),
        (("--bisect", "--budget", "-1"), "--budget"),
        (("--bisect", "--budget", "nan"), "--budget"),
        (("--import-first", "cv2;x"), "--import-first"),
    ],
)
def test_options_that_cannot_be_used(doctor: Doctor, options: tuple[str, ...], words: str) -> None:
    answer = doctor("bench", "--backend", "numpy", *options)
    assert answer.code == 2
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_a_hang(doctor: Doctor, plant: Plant) -> None:
    """A lock that is never given back: the trials have a limit of their own, within the budget."""
    code = in_matmul("os.environ.get('PYTHONNOUSERSITE') != '1'").replace(
        "ctypes.string_at(0)", "__import__('time').sleep(600)"
    )
    answer = bisect(doctor, *plant(code), "--timeout", "3")
    entry = searched(answer)
    assert entry["fault"]["outcome"] == "timeout"
    assert entry["limit_s"] == 3
    assert cure(entry) == ["no-user-site"]


#: onnxruntime halves its outputs while the user site is on.
HALVING = (
    AFTER_IMPORT
    + """
import os

def patch(module):
    session = module.InferenceSession
    real = session.run
    def run(self, *given, **named):
        found = real(self, *given, **named)
        return found if os.environ.get("PYTHONNOUSERSITE") == "1" else [x / 2 for x in found]
    session.run = run

after_import("onnxruntime", patch)
"""
)


def test_wrong_faces(doctor: Doctor, customize: Customize) -> None:
    """The faces of the cure are held against the expected ones: the bundled images are known."""
    pytest.importorskip("onnxruntime")
    answer = doctor(
        "bench", "--backend", "onnxruntime", "--bisect", "--runs", "1", "--warmup", "0",
        "--format", "json", environment=customize(HALVING),
    )  # fmt: skip
    entry = searched(answer)
    assert answer.run("onnxruntime")["outcome"] == "wrong-result"
    assert entry["fault"]["outcome"] == "wrong-result"
    assert cure(entry) == ["no-user-site"]
    assert entry["answer"]["checked"]


WRONG_MATMUL = (
    AFTER_IMPORT
    + """
import os

def patch(module):
    real = module.matmul
    def matmul(*given, **named):
        product = real(*given, **named)
        product *= 1.7
        product += 0.3
        return product
    module.matmul = matmul

if "MTCNN_DOCTOR_CHILD" in os.environ:
    after_import("numpy", patch)
"""
)


@pytest.mark.exhaustive
def test_faces_that_nobody_can_judge_are_no_evidence(doctor: Doctor, customize: Customize) -> None:
    """On a smaller image NumPy has nothing to be held against; the search goes on after it."""
    answer = doctor(
        "bench", "--backend", "numpy", "--bisect", "--runs", "1", "--warmup", "0",
        "--format", "json", environment=customize(WRONG_MATMUL),
    )  # fmt: skip
    entry = searched(answer)
    assert entry["fault"]["outcome"] == "wrong-result"
    unjudged = [one for one in entry["tried"] if one["verdict"] == "not-judged"]
    assert {one["changes"][0] for one in unjudged} == {"larger-min-face", "smaller-image"}
    assert {one["runs"] for one in unjudged} == {0}
    assert cure(entry) == ["no-pythonpath"]
    assert entry["answer"]["checked"]
