"""``check`` as its users meet it: healthy environments, and each kind of death and deceit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.report.json_report import schema

from .conftest import Answer, Customize, Doctor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="real POSIX signals")

BACKENDS = ("numpy", "torch", "tensorflow", "onnxruntime", "opencv", "openvino", "litert")
MODULES = {"opencv": "cv2", "litert": "ai_edge_litert"}


def valid(answer: Answer) -> None:
    """Hold a JSON report to the shipped schema."""
    jsonschema.validate(answer.report, schema())


def only_problem(answer: Answer) -> dict[str, object]:
    """Return the single error or warning of a report."""
    problems = answer.findings()
    assert [f["id"] for f in problems] == [problems[0]["id"]], problems
    return problems[0]


def test_a_healthy_environment_is_green(doctor: Doctor) -> None:
    for name in BACKENDS:
        pytest.importorskip(MODULES.get(name, name))
    answer = doctor("check", "--format", "json")
    assert answer.findings() == []
    assert answer.code == 0
    assert answer.report["verdict"] == "pass"
    assert answer.report["incomplete"] == []
    valid(answer)
    for name in BACKENDS:
        run = answer.run(name)
        assert run["outcome"] == "ok"
        assert run["agreement"]["agrees"]
        assert run["agreement"]["expected"] == run["agreement"]["matched"] - 2  # two weak faces
        assert run["timings_ms"]["median"] > 0
        assert run["peak_rss_mb"] > 20


def test_the_text_of_a_healthy_report(doctor: Doctor) -> None:
    answer = doctor("check", "--backend", "numpy")
    assert answer.code == 0
    assert answer.out.startswith("mtcnn-doctor ")
    assert "0 errors, 0 warnings" in answer.out
    assert "Exit 0." in answer.out
    assert "✓ runs" in answer.out
    assert "\x1b" not in answer.out


NULL = """
def conv2d(*a, **k):
    import ctypes
    return ctypes.string_at(0)
module.conv2d = conv2d
"""


def test_a_segfault_in_torch_is_caught_named_and_placed(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    faulty = patch_module("torch.nn.functional", NULL)
    answer = doctor("check", "--format", "json", environment=faulty)
    assert answer.code == 1
    valid(answer)
    problem = only_problem(answer)
    assert problem["id"] == "backend-crash"
    assert problem["about"] == "torch"
    assert "SIGSEGV (exit 139) in P-Net (level 1 of" in problem["title"]
    assert "sitecustomize.py" in problem["remedy"]["text"]
    run = answer.run("torch")
    assert (run["outcome"], run["exit_code"], run["signal"]) == ("crash", 139, "SIGSEGV")
    assert run["stage"] == "pnet"
    assert run["step"].startswith("level 1 of")
    assert run["python_traceback"][0]["function"] == "string_at"
    assert run["python_traceback"][1]["function"] == "conv2d"
    openmp = [lib for lib in run["native_libraries"] if lib["kind"] == "openmp"]
    assert openmp, run["native_libraries"]
    for name in ("numpy", "tensorflow", "onnxruntime"):
        assert answer.run(name)["outcome"] == "ok"


def test_bench_says_the_same_of_the_segfault(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    answer = doctor(
        "bench", "--backend", "torch", "--lanes", "1",
        environment=patch_module("torch.nn.functional", NULL),
    )  # fmt: skip
    assert answer.code == 1
    assert "died of SIGSEGV (exit 139) in P-Net (level 1 of" in answer.out
    assert "conv2d" in answer.out
    assert "libgomp" in answer.out or "libiomp5" in answer.out or "libomp" in answer.out


def test_a_hang_in_import(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    # A real hang inside the import, without touching the installed package.
    code = """
    import importlib.abc, sys, time
    class Hang(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "onnxruntime" and "mtcnn_doctor_target.imports" in sys.modules:
                time.sleep(600)
    sys.meta_path.insert(0, Hang())
    """
    answer = doctor(
        "check",
        "--backend",
        "numpy",
        "--backend",
        "onnxruntime",
        "--timeout",
        "3",
        "--format",
        "json",
        environment=customize(code),
    )
    problem = only_problem(answer)
    assert problem["id"] == "backend-timeout"
    assert "hung while it was imported" in problem["title"]
    assert "find_spec" in str(problem["evidence"]["python frames"])
    assert answer.run("numpy")["outcome"] == "ok"
    assert answer.code == 1
    valid(answer)


def test_garbage_on_stdout_changes_nothing(doctor: Doctor, patch_module) -> None:
    noisy = patch_module(
        "numpy",
        """
        import os, sys
        os.write(1, b'{"t": "end"}\\n\\xff\\x00garbage' * 1000)
        os.write(2, b'\\x1b[31mRED\\n' * 1000)
        """,
    )
    answer = doctor("check", "--backend", "numpy", "--format", "json", environment=noisy)
    assert answer.findings() == []
    assert answer.run("numpy")["outcome"] == "ok"


def test_a_real_sigkill_without_memory_evidence(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("onnxruntime")
    killed = patch_module(
        "onnxruntime",
        """
        import os, signal
        class InferenceSession:
            def __init__(self, *a, **k):
                os.kill(os.getpid(), signal.SIGKILL)
        module.InferenceSession = InferenceSession
        """,
    )
    answer = doctor("check", "--backend", "onnxruntime", "--format", "json", environment=killed)
    problem = only_problem(answer)
    assert problem["id"] == "backend-crash"
    assert "SIGKILL (exit 137) while the networks were built" in problem["title"]
    assert "no sign that memory was the reason" in problem["cause"]


@pytest.mark.parametrize(("megabytes", "words"), [(400, ("MemoryError", "allocate", "memory"))])
def test_a_memory_limit_is_named(
    doctor: Doctor, patch_module, megabytes: int, words: tuple[str, ...]
) -> None:
    limited = patch_module(
        "mtcnn_doctor_target.reference.cascade",
        f"""
        import resource
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        limit = used + {megabytes} * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        """,
    )
    answer = doctor("check", "--backend", "numpy", "--format", "json", environment=limited)
    problem = only_problem(answer)
    assert problem["id"] == "backend-out-of-memory", problem
    assert any(word in str(problem) for word in words)
    assert answer.code == 1


def test_boxes_shifted_by_ten_pixels(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    # The offsets head of O-Net: 0.11 of a face some 90 pixels wide.
    shifted = patch_module(
        "torch.nn.functional",
        """
        linear = module.linear
        def shifting(input, weight, bias=None):
            result = linear(input, weight, bias)
            if tuple(weight.shape) == (4, 256):
                result = result + 0.11
            return result
        module.linear = shifting
        """,
    )
    answer = doctor("check", "--backend", "torch", "--format", "json", environment=shifted)
    problem = only_problem(answer)
    assert problem["id"] == "backend-wrong-result"
    run = answer.run("torch")
    assert run["outcome"] == "wrong-result"
    assert 5 < run["agreement"]["max_box_error_px"] < 60
    assert run["divergence"]["stage"] == "onet"
    assert run["divergence"]["output"] == "offsets"
    assert run["divergence"]["max_error"] == pytest.approx(0.11, abs=0.01)
    assert "onet" in problem["title"]
    valid(answer)


def test_nan_is_traced_to_its_network(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    poisoned = patch_module(
        "torch.nn.functional",
        """
        linear = module.linear
        def poisoning(input, weight, bias=None):
            result = linear(input, weight, bias)
            return result * float("nan") if tuple(weight.shape) == (2, 128) else result
        module.linear = poisoning
        """,
    )
    answer = doctor("check", "--backend", "torch", "--format", "json", environment=poisoned)
    problem = only_problem(answer)
    assert problem["id"] == "backend-wrong-result"
    assert "NaN or infinity came out of rnet" in problem["cause"]
    assert answer.run("torch")["stage"] == "rnet"
    valid(answer)


def test_an_exception_of_a_framework(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    raising = patch_module(
        "torch.nn.functional",
        """
        def conv2d(*a, **k):
            raise RuntimeError("could not create a primitive [oops]")
        module.conv2d = conv2d
        """,
    )
    answer = doctor("check", "--backend", "torch", environment=raising)
    assert answer.code == 1
    assert "backend-error" in answer.out
    assert "could not create a primitive [oops]" in answer.out
    assert "in P-Net (level 1 of" in answer.out


def test_an_interpreter_that_dies_at_its_start(doctor: Doctor, customize: Customize) -> None:
    # Only the target's children carry the mark, so the doctor itself starts.
    code = """
    import os
    if "MTCNN_DOCTOR_CHILD" in os.environ:
        import ctypes
        ctypes.string_at(0)
    """
    answer = doctor("check", "--format", "json", environment=customize(code))
    problems = answer.findings()
    assert problems[0]["id"] == "python-startup"
    assert "SIGSEGV (exit 139)" in problems[0]["title"]
    assert any("sitecustomize" in frame for frame in problems[0]["evidence"]["python frames"])
    assert answer.code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--python", "/nowhere/python"], "no interpreter /nowhere/python"),
        (["check", "--python", "/bin/ls"], "does not behave like a Python interpreter"),
        (["check", "--python", "/etc"], "is a folder without a Python"),
        (["check", "--python", "/etc/passwd"], "not executable"),
        (["check", "--kernel", "no-such-kernel"], "no Jupyter kernel no-such-kernel"),
        (["check", "--python", sys.executable, "--kernel", "x"], "name two targets"),
        (["check", "--backend", "caffe"], "no backend 'caffe'"),
        (["check", "--select", "no-such-id"], "no check or family fits 'no-such-id'"),
        (["check", "--timeout", "-1"], "positive number"),
        (["check", "--timeout", "nan"], "positive number"),
        (["check", "--image", "missing.png"], "no file missing.png"),
        (["check", "--image", "/etc"], "is a folder"),
        (["check", "--facts", "missing.json"], "cannot be read"),
        (["check", "--output", "/nowhere/report.txt"], "folder does not exist"),
        (["check", "--output", "/etc"], "is a folder"),
        (["bench", "--source", "missing"], "no file or folder missing"),
        (["explain", "numpy-abl"], "did you mean numpy-abi"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(doctor: Doctor, arguments: list[str], words: str) -> None:
    answer = doctor(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert words in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert "Traceback" not in answer.err


def test_unknown_options_are_exit_2(doctor: Doctor) -> None:
    answer = doctor("check", "--no-such-option")
    assert answer.code == 2
    assert "Traceback" not in answer.err


def test_a_target_without_anything_of_interest(doctor: Doctor, tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "empty", with_pip=False)
    answer = doctor("check", "--python", tmp_path / "empty")
    assert answer.code == 2
    assert "nothing to examine" in answer.err


def test_a_backend_asked_for_that_is_absent(doctor: Doctor, tmp_path: Path) -> None:
    answer = doctor("check", "--backend", "numpy", "--format", "json")
    assert answer.code == 0
    # An interpreter that sees numpy only: the real one, through a path of its own.
    numpy = pytest.importorskip("numpy")
    import venv

    venv.create(tmp_path / "numpy-only", with_pip=False)
    site = next((tmp_path / "numpy-only").glob("lib/python*/site-packages"))
    packages = Path(numpy.__file__).parent.parent
    for name in packages.iterdir():
        if name.name.lower().startswith("numpy"):
            (site / name.name).symlink_to(name)
    python = tmp_path / "numpy-only"
    answer = doctor("check", "--python", python, "--format", "json")
    assert answer.findings() == []
    assert answer.code == 0
    assert {run["name"]: run["outcome"] for run in answer.report["runs"]} == {
        "numpy": "ok",
        "torch": "not-installed",
        "tensorflow": "not-installed",
        "onnxruntime": "not-installed",
        "opencv": "not-installed",
        "openvino": "not-installed",
        "litert": "not-installed",
    }
    answer = doctor("check", "--python", python, "--backend", "torch", "--format", "json")
    assert answer.code == 1
    assert only_problem(answer)["id"] == "backend-missing"


def test_level_1_imports_no_framework_anywhere(doctor: Doctor, customize: Customize) -> None:
    # An import of a framework in any child of the target ends that child.
    code = """
    import importlib.abc, os, sys
    class Forbid(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name in (
                "numpy", "torch", "tensorflow", "onnxruntime", "cv2", "openvino", "ai_edge_litert"
            ):
                os._exit(77)
    if "MTCNN_DOCTOR_CHILD" in os.environ:
        sys.meta_path.insert(0, Forbid())
    """
    answer = doctor("check", "--level", "1", "--format", "json", environment=customize(code))
    assert answer.code == 0
    assert answer.report["incomplete"] == []
    assert answer.report["runs"] == []
    assert answer.findings() == []
    valid(answer)


def test_a_recorded_report_can_be_judged_anywhere(doctor: Doctor, tmp_path: Path) -> None:
    recorded = tmp_path / "report.json"
    first = doctor("check", "--backend", "numpy", "--format", "json", "--output", recorded)
    assert first.code == 0
    assert first.out == ""
    again = doctor("check", "--facts", recorded, "--format", "json")
    assert again.code == 0
    valid(again)
    document = json.loads(recorded.read_text())
    assert [r["outcome"] for r in again.report["runs"]] == ["ok"]
    document["schema_version"] = 99
    recorded.write_text(json.dumps(document))
    refused = doctor("check", "--facts", recorded)
    assert refused.code == 2
    assert "schema_version 99" in refused.err


def test_an_earlier_report_survives_a_later_failure(doctor: Doctor, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("earlier")
    answer = doctor("check", "--python", "/bin/ls", "--output", report)
    assert answer.code == 2
    assert report.read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == ["report.json"]


def test_selecting_prevents_execution(doctor: Doctor) -> None:
    answer = doctor("check", "--select", "python-version", "--format", "json")
    assert [f["id"] for f in answer.report["findings"]] == ["python-version"]
    assert answer.report["runs"] == []


FACTS = Path(__file__).parent / "facts"


def test_recorded_facts_of_torch_2_2_2_with_numpy_2(doctor: Doctor) -> None:
    recorded = FACTS / "torch-2.2.2-numpy-2.2.6.json"
    answer = doctor("check", "--facts", recorded, "--format", "json")
    assert answer.code == 1
    first = answer.findings()[0]
    assert (first["id"], first["about"]) == ("numpy-abi", "torch")
    commands = " ".join(first["remedy"]["commands"])
    assert "numpy<2" in commands
    assert "torch>=2.3" in commands
    valid(answer)
    text = doctor("check", "--facts", recorded)
    assert "numpy-abi" in text.out
