"""`plan`: what is told beforehand, held against what then happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtcnn_doctor import gallery
from mtcnn_doctor.investigate import plan as planning
from mtcnn_doctor.investigate.plan_fit import fitting
from mtcnn_doctor.investigate.plan_time import Clock, Detector, operations
from mtcnn_doctor.knowledge import memory as knowledge
from mtcnn_doctor.knowledge.memory import Workload

from .conftest import Doctor

NUMPY = Detector("numpy", "backend", "numpy", "2.4.6")
MTCNN = Detector("mtcnn", "subject", "mtcnn", "1.0.0")
CROWD = next(picture.path for picture in gallery.bundled() if picture.name == "crowd.png")


def plan(doctor: Doctor, *arguments: object, code: int = 0) -> dict:
    answer = doctor("plan", *arguments, "--format", "json", "--quiet")
    assert answer.code == code, answer.err
    return json.loads(answer.out)


def test_the_levels_planned_are_those_that_are_run(doctor: Doctor) -> None:
    options = ["--min-face-size", "33", "--scale-factor", "0.6"]
    planned = plan(doctor, CROWD, "--backend", "numpy", *options)
    run = doctor(
        "bench", "--backend", "numpy", "--source", CROWD, *options, "--runs", "1", "--warmup", "0",
        "--format", "json",
    ).run("numpy")  # fmt: skip
    levels = [[level["height"], level["width"]] for level in planned["levels"]]
    assert levels == run["images"][0]["levels"]
    assert planned["faces"]["smallest"] == 33
    assert planned["time"]["ms"] > 0
    assert "on the image of 1280x720" in planned["time"]["how"]


def test_a_large_image_is_carried_over_from_a_small_one(doctor: Doctor) -> None:
    planned = plan(doctor, "2560x1440", "--backend", "numpy", "--min-face-size", "80")
    assert "on a scene of 1280x720, carried over to 4" in planned["time"]["how"]


def test_a_resize_that_distorts(doctor: Doctor) -> None:
    resize = plan(doctor, "1920x1080", "--no-time", "--resize", "640x640")["resize"]
    assert resize["distorts"]
    assert resize["aspect"] == pytest.approx(9 / 16)
    assert resize["same_shape"] == [640, 360]
    assert resize["smallest_face"] == pytest.approx(60)
    assert not plan(doctor, "1920x1080", "--no-time", "--resize", "1280x720")["resize"]["distorts"]


def test_an_image_on_which_no_face_fits(doctor: Doctor) -> None:
    planned = plan(doctor, "15x4000", "--no-time", code=1)
    assert planned["levels"] == []
    assert planned["faces"] == {"smallest": None, "largest": None}


def test_what_is_suggested_keeps_within_the_limit(doctor: Doctor) -> None:
    limit = 110 * 2**20
    planned = plan(doctor, "3840x2160", "--no-time", "--backend", "numpy", "--suggest",
                   "--memory", "110M")  # fmt: skip
    assert planned["memory"]["peak"] > limit
    ways = planned["suggestions"]
    assert {"smaller image"} <= {way["what"] for way in ways}
    for way in ways:
        work = Workload(way["width"], way["height"], way["min_face_size"])
        assert knowledge.model_of("numpy").peak(work) <= limit
        assert way["smallest_face"] >= 20


def test_a_limit_that_cannot_be_kept(doctor: Doctor) -> None:
    answer = doctor("plan", "640x480", "--no-time", "--backend", "numpy", "--suggest",
                    "--memory", "10M", "--quiet")  # fmt: skip
    assert answer.code == 1
    assert "cannot be kept: numpy alone takes about" in answer.out


def test_suggestions_for_a_time() -> None:
    work = Workload(1920, 1080)
    clock = Clock(100.0 / operations(work), "measured")
    ways, unmet = fitting(work, NUMPY, knowledge.model_of("numpy"), clock, None, 25.0)
    assert unmet is None
    assert {way["what"] for way in ways} == {"larger min_face_size", "smaller image"}
    assert all(10 < way["ms"] <= 25.0 for way in ways)
    [way], _ = fitting(work, NUMPY, None, clock, None, 200.0)
    assert way["what"] == "nothing has to change"
    ways, unmet = fitting(work, NUMPY, None, clock, None, 1e-9)
    assert ways == []
    assert unmet is not None
    assert "keeps within 1e-09 ms" in unmet
    assert fitting(work, NUMPY, None, Clock(None, "died"), None, 5.0)[1] == (
        "the time is not known: died"
    )


def test_mtcnn_1_is_not_advised_to_see_nothing() -> None:
    """A larger min_face_size would make it answer [] for everything."""
    work = Workload(1920, 1080)
    clock = Clock(100.0 / operations(work), "measured")
    ways, _ = fitting(work, MTCNN, None, clock, None, 25.0)
    assert [way["what"] for way in ways] == ["smaller image"]


def test_mtcnn_1_and_the_sizes_at_which_it_answers_nothing(doctor: Doctor) -> None:
    found = plan(doctor, "640x480", "--min-face-size", "60", "--no-time")["mtcnn_1"]
    assert found["always_empty"]
    assert not found["keras_refuses"]
    assert 20 <= found["largest_safe_min_face"] < 30
    assert plan(doctor, "640x480", "--min-face-size", "40", "--no-time")["mtcnn_1"]["keras_refuses"]
    assert not plan(doctor, "640x480", "--no-time")["mtcnn_1"]["always_empty"]


def test_a_detector_that_dies_makes_no_time(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("onnxruntime")
    answer = doctor(
        "plan", "640x480", "--backend", "onnxruntime", "--quiet",
        environment=patch_module("onnxruntime", "import os, signal\nos.kill(os.getpid(), 11)"),
    )  # fmt: skip
    assert answer.code == 1
    assert "died of SIGSEGV" in answer.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nofile.png"], "no file nofile.png"),
        (["0x10"], "the size 0x10: give width and height"),
        (["640x480", "--resize", "big"], "--resize big"),
        (["640x480", "--suggest"], "--suggest needs a limit"),
        (["640x480", "--memory", "2G"], "--memory and --ms are limits for --suggest"),
        (["640x480", "--suggest", "--memory", "lots"], "--memory lots: give an amount"),
        (["640x480", "--suggest", "--ms", "-1"], "--ms -1: give a positive number"),
        (["640x480", "--suggest", "--ms", "9", "--no-time"], "--ms needs a measurement"),
        (["640x480", "--backend", "x", "--subject", "mtcnn"], "two detectors"),
        (["640x480", "--backend", "nosuch"], "no backend 'nosuch'"),
        (["640x480", "--subject", "nosuch"], "no subject 'nosuch'"),
        (["640x480", "--scale-factor", "1.5"], "--scale-factor 1.5"),
    ],
)
def test_what_cannot_be_planned(doctor: Doctor, arguments: list[str], said: str) -> None:
    answer = doctor("plan", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert said in answer.err


def test_a_file_that_is_no_image(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("not an image")
    answer = doctor("plan", path, "--no-time", "--quiet")
    assert answer.code == 2
    assert "give WxH instead" in answer.err


def test_mtcnn_1_counts_its_levels_its_own_way() -> None:
    work = Workload(1920, 1080, 60.0)
    ours, theirs = planning.levels_of(work, NUMPY), planning.levels_of(work, MTCNN)
    assert len(theirs) > len(ours)
    assert not planning.is_mtcnn_1(Detector("mtcnn", "subject", "mtcnn", "0.1.1"))
