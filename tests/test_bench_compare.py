"""``bench`` with several backends, other settings, lanes, and faults in the middle of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.report.json_report import schema

from .conftest import Doctor

PORTRAIT = next(picture.path for picture in bundled() if picture.name == "portrait.png")
QUICK = ("--runs", "2", "--warmup", "1", "--source", str(PORTRAIT))

#: Reads address 0 in the first convolution after the seventh: in the middle of a detection.
SEGFAULT_LATER = """
import ctypes, itertools
conv2d, calls = module.conv2d, itertools.count()
def failing(*a, **k):
    if next(calls) >= 7:
        ctypes.string_at(0)
    return conv2d(*a, **k)
module.conv2d = failing
"""


def test_two_backends_are_compared(doctor: Doctor) -> None:
    pytest.importorskip("onnxruntime")
    answer = doctor("bench", "--backend", "numpy,onnxruntime", *QUICK)
    assert answer.code == 0
    comparison = answer.out[answer.out.index("comparison, portrait.png") :].splitlines()
    rows = [line.split() for line in comparison[2:4]]
    assert sorted(row[0] for row in rows) == ["numpy", "onnxruntime"]
    fast, slow = (float(row[1]) for row in rows)
    assert fast <= slow
    assert rows[0][2] == "x1.00"
    assert float(rows[1][2][1:]) == pytest.approx(slow / fast, abs=0.02)
    assert "GFLOP" in comparison[4]
    assert "GFLOP/s float32" in answer.out
    assert "held against those of the numpy backend" in answer.out
    # Two runs are no measurement, and the report says so.
    assert "few-samples" in rows[0][-1] + rows[1][-1] + comparison[2]


def test_one_backend_needs_no_comparison(doctor: Doctor) -> None:
    answer = doctor("bench", "--backend", "numpy", *QUICK)
    assert answer.code == 0
    assert "comparison" not in answer.out
    assert "not compared: nobody knows them" in answer.out


def test_the_json_report_holds_what_the_numbers_mean(doctor: Doctor) -> None:
    answer = doctor(
        "bench", "--backend", "numpy", *QUICK, "--threads", "1", "--lanes", "2", "--format", "json"
    )
    assert answer.code == 0
    jsonschema.validate(answer.report, schema())
    rate = answer.report["facts"]["rate"]
    assert rate["gflops"] > 0
    assert rate["threads"] == 1
    settings = answer.report["facts"]["settings"]
    assert (settings["runs"], settings["warmup"], settings["threads"]) == (2, 1, 1)
    assert settings["cascade"]["min_face_size"] == 20
    (run,) = answer.report["runs"]
    (image,) = run["images"]
    assert len(image["samples_ms"]) == len(image["stages_ms"]) == 3
    assert image["floor_ms"] == pytest.approx(1000 * image["gflop"] / rate["gflops"], rel=0.01)
    measurement = run["measurement"]
    assert measurement["lanes"] == 2
    assert measurement["memory"]["ready_mb"] < measurement["memory"]["steady_mb"]
    assert measurement["memory"]["device_mb"] is None
    assert measurement["load"]["cpu_s"] > 0
    assert measurement["trust"]["verdict"] == "with-care"
    (few,) = [r for r in measurement["trust"]["reasons"] if r["id"] == "few-samples"]
    assert few["evidence"] == {"samples": 2}


def test_lanes_find_the_same_faces_and_count_their_time(doctor: Doctor) -> None:
    runs = {
        lanes: doctor(
            "bench", "--backend", "numpy", *QUICK, "--lanes", lanes, "--format", "json"
        ).run("numpy")
        for lanes in ("1", "3")
    }
    assert [run["measurement"]["lanes"] for run in runs.values()] == [1, 3]
    (alone,), (beside,) = runs["1"]["detections"], runs["3"]["detections"]
    assert beside["box"] == pytest.approx(alone["box"], abs=0.01)
    for lanes, run in runs.items():
        image = run["images"][0]
        for total, stages in zip(image["samples_ms"], image["stages_ms"], strict=True):
            assert set(stages) == {"pyramid", "pnet", "rnet", "onet"}
            # The busy time of so many lanes, and never of one more.
            assert sum(stages.values()) <= int(lanes) * total


@pytest.mark.parametrize("lanes", ["1", "2"])
def test_a_crash_leaves_the_others_their_numbers(doctor: Doctor, patch_module, lanes: str) -> None:
    pytest.importorskip("torch")
    faulty = patch_module("torch.nn.functional", SEGFAULT_LATER)
    answer = doctor(
        "bench", "--backend", "torch,numpy", *QUICK, "--lanes", lanes, environment=faulty
    )
    assert answer.code == 1
    row = next(line for line in answer.out.splitlines() if line.startswith("    torch"))
    assert "crash SIGSEGV at pnet level" in row
    assert "died of SIGSEGV (exit 139) in P-Net (level " in answer.out
    assert "x1.00" in next(line for line in answer.out.splitlines() if line.startswith("    numpy"))


def test_a_crash_among_lanes_is_placed_in_the_lane_that_died(doctor: Doctor, patch_module) -> None:
    """One lane waits in the first convolution of level 1, the other then dies on level 2."""
    pytest.importorskip("torch")
    faulty = patch_module(
        "torch.nn.functional",
        """
        import ctypes, threading, time
        conv2d, first_is_there = module.conv2d, threading.Event()
        def failing(input, weight, *a, **k):
            if tuple(weight.shape) == (10, 3, 3, 3) and input.shape[-1] > 300:
                first_is_there.set()
                time.sleep(60)
            elif tuple(weight.shape) == (10, 3, 3, 3) and input.shape[-1] > 200:
                first_is_there.wait(60)
                ctypes.string_at(0)
            return conv2d(input, weight, *a, **k)
        module.conv2d = failing
        """,
    )
    answer = doctor(
        "bench", "--backend", "torch", *QUICK, "--lanes", "2", "--format", "json",
        environment=faulty,
    )  # fmt: skip
    run = answer.run("torch")
    assert (run["outcome"], run["signal"], run["stage"]) == ("crash", "SIGSEGV", "pnet")
    assert run["step"].startswith("level 2 of 10")
    assert "; beside it: pnet level 1 of 10" in run["step"]
    assert run["python_traceback"][0]["function"] == "string_at"


def test_a_hang_among_lanes_names_them_all(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    faulty = patch_module(
        "torch.nn.functional",
        """
        import time
        conv2d = module.conv2d
        def hanging(input, weight, *a, **k):
            if tuple(weight.shape) == (28, 3, 3, 3):
                time.sleep(600)
            return conv2d(input, weight, *a, **k)
        module.conv2d = hanging
        """,
    )
    answer = doctor(
        "bench", "--backend", "torch", *QUICK, "--lanes", "2", "--timeout", "20", "--format",
        "json", environment=faulty,
    )  # fmt: skip
    run = answer.run("torch")
    assert (run["outcome"], run["stage"]) == ("timeout", "rnet")
    assert "; beside it: rnet crops " in run["step"]


def test_an_exception_in_a_lane_is_placed_where_it_struck(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    raising = patch_module(
        "torch.nn.functional",
        """
        conv2d = module.conv2d
        def failing(input, weight, *a, **k):
            if tuple(weight.shape) == (32, 3, 3, 3):
                raise RuntimeError("could not create a primitive [oops]")
            return conv2d(input, weight, *a, **k)
        module.conv2d = failing
        """,
    )
    answer = doctor(
        "bench", "--backend", "torch", *QUICK, "--lanes", "2", "--format", "json",
        environment=raising,
    )  # fmt: skip
    run = answer.run("torch")
    assert (run["outcome"], run["stage"]) == ("error", "onet")
    assert run["step"].startswith("crops ")


def test_other_settings_are_not_held_against_the_expected_faces(doctor: Doctor) -> None:
    arguments = (
        "--runs",
        "1",
        "--warmup",
        "0",
        "--min-face-size",
        "100",
        "--thresholds",
        ".9,.9,.9",
    )
    answer = doctor("bench", "--backend", "numpy", *arguments)
    assert answer.code == 0
    assert "min face 100 · factor 0.709 · thresholds 0.9, 0.9, 0.9" in answer.out
    assert "not compared: nobody knows them" in answer.out
    both = doctor("bench", "--backend", "numpy,torch", *arguments, "--format", "json")
    jsonschema.validate(both.report, schema())
    if both.run("torch")["outcome"] != "not-installed":
        assert both.run("torch")["measurement"]["faces"] == "numpy"
    assert both.run("numpy")["agreement"] is None


def test_with_other_settings_wrong_faces_are_still_found(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("torch")
    shifted = patch_module(
        "torch.nn.functional",
        """
        linear = module.linear
        def shifting(input, weight, bias=None):
            result = linear(input, weight, bias)
            return result + 0.11 if tuple(weight.shape) == (4, 256) else result
        module.linear = shifting
        """,
    )
    answer = doctor(
        "bench", "--backend", "numpy,torch", *QUICK, "--min-face-size", "60", "--format", "json",
        environment=shifted,
    )  # fmt: skip
    assert answer.code == 1
    assert answer.run("torch")["outcome"] == "wrong-result"
    assert answer.run("torch")["divergence"]["stage"] == "onet"
    assert answer.run("numpy")["outcome"] == "ok"


def test_other_weights_are_used(doctor: Doctor, tmp_path: Path) -> None:
    import mtcnn_doctor

    weights = Path(mtcnn_doctor.__file__).parent / "target" / "reference" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3000:] = bytes(3000)  # the last layer's numbers: O-Net's landmarks
    other = tmp_path / "other.safetensors"
    other.write_bytes(content)
    usual, zeroed = (
        doctor("bench", "--backend", "numpy", *QUICK, *more, "--format", "json")
        for more in ((), ("--weights", other))
    )
    assert zeroed.code == 0
    assert zeroed.report["facts"]["settings"]["weights"].endswith("other.safetensors")
    assert zeroed.run("numpy")["detections"] != usual.run("numpy")["detections"]


def test_weights_that_are_none(doctor: Doctor, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    # Quiet: on a busy machine progress is told, too.
    answer = doctor("bench", "--backend", "numpy", *QUICK, "--weights", broken, "--quiet")
    assert answer.code == 2
    assert answer.err.startswith("error: --weights ")
    assert "not a safetensors file" in answer.err
    assert answer.err.count("\n") == 1
    missing = doctor("bench", "--backend", "numpy", *QUICK, "--weights", tmp_path / "nowhere")
    assert missing.code == 2
    assert "no such file" in missing.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--thresholds", "0.6,0.7", "three numbers from 0 to 1"),
        ("--thresholds", "0.6,0.7,7", "three numbers from 0 to 1"),
        ("--scale-factor", "1.2", "from 0.1 to 0.99"),
        ("--min-face-size", "0", "at least 1"),
        ("--min-face-size", "nan", "at least 1"),
        ("--device", " ", "--device is empty"),
    ],
)
def test_settings_that_cannot_be(doctor: Doctor, option: str, value: str, words: str) -> None:
    answer = doctor("bench", "--backend", "numpy", *QUICK, option, value)
    assert answer.code == 2
    assert words in answer.err
    assert answer.err.count("\n") == 1


def test_a_device_that_no_backend_knows(doctor: Doctor) -> None:
    answer = doctor("bench", "--backend", "numpy", *QUICK, "--device", "abacus")
    assert answer.code == 2
    assert "--device abacus is known to none of the backends measured" in answer.err
    assert "Traceback" not in answer.err


def test_of_many_images_the_slowest_are_shown(doctor: Doctor, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(14):
        shutil.copy(PORTRAIT, folder / f"{number:02}.png")
    arguments = ("bench", "--backend", "numpy", "--runs", "1", "--warmup", "0", "--source", folder)
    answer = doctor(*arguments, "--size", "200x200")
    assert answer.code == 0
    rows = [line for line in answer.out.splitlines() if "200×200" in line and ".png" in line]
    assert len(rows) == 5
    assert "these are the slowest of 14 (--verbose: all)" in answer.out
    assert "all 14 images" in answer.out
    verbose = doctor(*arguments, "--size", "200x200", "--verbose")
    assert (
        len([line for line in verbose.out.splitlines() if ".png" in line and "200×" in line]) == 14
    )


def test_quiet_shows_only_what_is_wrong(doctor: Doctor) -> None:
    answer = doctor("bench", "--backend", "numpy", *QUICK, "--quiet")
    assert answer.code == 0
    assert "median" not in answer.out
    assert answer.err == ""


def test_a_machine_whose_rate_cannot_be_measured(doctor: Doctor, patch_module) -> None:
    """The measurement goes on without a floor, and invents none."""
    dying = patch_module(
        "mtcnn_doctor_target.tasks.rate",
        "import os\nmodule.perform = lambda channel, orders: os.abort()",
    )
    answer = doctor("bench", "--backend", "numpy", *QUICK, "--format", "json", environment=dying)
    assert answer.code == 0
    assert "rate" not in answer.report["facts"]
    assert answer.run("numpy")["images"][0]["floor_ms"] is None


def test_numpy_stays_the_measure_beside_another_device(doctor: Doctor) -> None:
    """Without a GPU torch fails there, and says so; NumPy is measured on the CPU all the same."""
    torch = pytest.importorskip("torch")
    answer = doctor(
        "bench", "--backend", "numpy,torch", *QUICK, "--device", "cuda:0", "--format", "json"
    )
    numpy = answer.run("numpy")
    assert (numpy["outcome"], numpy["device"]) == ("ok", "cpu")
    assert answer.run("torch")["device"] == "cuda:0"
    if not torch.cuda.is_available():
        assert answer.code == 1
        assert answer.run("torch")["outcome"] == "error"
        assert answer.run("torch")["measurement"]["memory"]["device_mb"] is None
