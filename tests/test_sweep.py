"""`sweep`: a parameter over a range on real images, and what may be said about it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mtcnn_doctor import gallery
from mtcnn_doctor.investigate.sweep import PARAMETERS
from mtcnn_doctor.investigate.sweep_course import course, course_of_times, tracks

from .conftest import Doctor

IMAGES = {picture.name: picture.path for picture in gallery.bundled()}
PORTRAIT, SMALL = IMAGES["portrait.png"], IMAGES["small_faces.png"]


def sweep(doctor: Doctor, *arguments: object, code: int = 0) -> dict:
    answer = doctor("sweep", *arguments, "--backend", "numpy", "--format", "json", "--quiet")
    assert answer.code == code, answer.err
    return json.loads(answer.out)


def test_small_faces_are_lost_to_a_large_min_face_size(doctor: Doctor, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    found = sweep(
        doctor, "min-face-size", PORTRAIT, SMALL, "--values", "80,20,40", "--plot", plot,
        "--runs", "1",
    )  # fmt: skip
    assert found["values"] == [20, 40, 80]
    portrait, small = found["images"]
    assert [step["faces"] for step in portrait["steps"]] == [1, 1, 1]
    assert portrait["courses"]["faces"] == {"kind": "constant"}
    counts = [step["faces"] for step in small["steps"]]
    assert counts[0] > counts[2] == 0
    assert small["courses"]["faces"]["kind"] in ("falls", "never-rises")
    # One run of each tells nothing of time.
    assert small["courses"]["ms"] == {"kind": "too-few"}
    assert len(small["faces"]) == counts[0]
    drawn = ElementTree.parse(plot).getroot()
    assert drawn.tag.endswith("svg")
    assert "small_faces.png" in "".join(drawn.itertext())


def test_a_larger_threshold_does_not_raise_confidence(doctor: Doctor) -> None:
    """It drops faces; those that are left are as sure as before, and nothing else is said."""
    answer = doctor(
        "sweep", "threshold-onet", SMALL, "--values", "0.5,0.9,0.999", "--backend", "numpy",
        "--runs", "1", "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    confidences = [line for line in answer.out.splitlines() if "confidence       face" in line]
    assert len(confidences) > 5
    for line in confidences:
        assert "does not change" in line or "too few values" in line


def test_faces_stay_where_they_are_when_the_image_is_scaled(doctor: Doctor) -> None:
    found = sweep(doctor, "image-scale", PORTRAIT, "--values", "0.5,1,1.5", "--runs", "1")
    [image] = found["images"]
    assert [(step["width"], step["height"]) for step in image["steps"]] == [
        (256, 256), (512, 512), (768, 768),
    ]  # fmt: skip
    [face] = image["faces"]
    assert face["found"] == 3
    assert face["box"][0] == pytest.approx(180, abs=10)


@pytest.mark.parametrize("parameter", ["brightness", "blur", "jpeg-quality"])
def test_an_image_that_gets_worse_loses_its_face(doctor: Doctor, parameter: str) -> None:
    if parameter == "jpeg-quality":
        pytest.importorskip("cv2")
    values = {"brightness": "0.01,1", "blur": "0,40", "jpeg-quality": "1,90"}[parameter]
    [image] = sweep(doctor, parameter, PORTRAIT, "--values", values, "--runs", "1")["images"]
    counts = [step["faces"] for step in image["steps"]]
    best = next(face["confidence"] for face in image["faces"])
    if parameter == "jpeg-quality":
        assert counts[1] == 1
        assert best[0] is None or best[0] != best[1]
    else:
        assert sorted(counts) == [0, 1]


def test_the_packages_own_settings_cannot_be_varied(doctor: Doctor) -> None:
    answer = doctor("sweep", "threshold-pnet", PORTRAIT, "--subject", "mtcnn")
    assert answer.code == 2
    assert "threshold-pnet can be varied with --backend only" in answer.err


def test_what_was_found_before_a_crash_is_told(doctor: Doctor, patch_module) -> None:
    pytest.importorskip("onnxruntime")
    die = """
    import os
    class Session(module.InferenceSession):
        def run(self, names, feed, *more):
            if any(array.shape[-1] > 300 for array in feed.values()):
                os.kill(os.getpid(), 11)
            return super().run(names, feed, *more)
    module.InferenceSession = Session
    """
    answer = doctor(
        "sweep", "image-scale", PORTRAIT, "--values", "0.5,1", "--backend", "onnxruntime",
        "--runs", "1", "--quiet", environment=patch_module("onnxruntime", die),
    )  # fmt: skip
    assert answer.code == 1
    assert "the sweep ended early: running onnxruntime died of SIGSEGV" in answer.out
    rows = [line.split() for line in answer.out.splitlines()]
    assert [row[:2] for row in rows if row[:1] in (["0.5"], ["1"])] == [["0.5", "1"], ["1", "not"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["blur", "nofile.png"], "no file nofile.png"),
        (["colour", PORTRAIT], "colour"),
        (["blur", PORTRAIT, "--values", "1,x"], "--values 1,x: give numbers"),
        (["blur", PORTRAIT, "--values", "1"], "two different values"),
        (["blur", PORTRAIT, "--values", "-1,2"], "blur -1: give values from 0 to 100"),
        (["scale-factor", PORTRAIT, "--values", "0.5,1"], "scale-factor 1: give values"),
        (["jpeg-quality", PORTRAIT, "--values", "5.5,9"], "give whole numbers"),
        (["blur", PORTRAIT, "--from", "5"], "a range needs both ends"),
        (["blur", PORTRAIT, "--from", "5", "--to", "2"], "the lower one first"),
        (["blur", PORTRAIT, "--values", "1,2", "--to", "2"], "two ranges"),
        (["blur", PORTRAIT, "--plot", "x.png"], "plots are written as SVG"),
        (["blur", PORTRAIT, "--plot", "no/such/x.svg"], "--plot no/such/x.svg"),
        (["blur", PORTRAIT, "--backend", "numpy", "--subject", "mtcnn"], "two detectors"),
    ],
)
def test_what_cannot_be_swept(doctor: Doctor, arguments: list[str], said: str) -> None:
    answer = doctor("sweep", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_file_that_is_no_image(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_text("<!DOCTYPE html><html></html>")
    answer = doctor("sweep", "blur", path, "--quiet")
    assert answer.code == 2
    assert "could not be decoded" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("results", "kind"),
    [
        ([1, 1, 1], "constant"),
        ([1, 2, 3], "rises"),
        ([3, 2, 1], "falls"),
        ([1, 1, 2], "never-falls"),
        ([2, 1, 1], "never-rises"),
        ([1, 2, 1], "neither"),
        ([1, 2], "too-few"),
        ([], "too-few"),
    ],
)
def test_courses(results: list[float], kind: str) -> None:
    assert course(range(len(results)), results)["kind"] == kind


def test_a_turn_is_shown_by_three_of_the_values() -> None:
    found = course([1, 2, 3, 4, 5], [0.5, 0.6, 0.6, 0.9, 0.1])
    assert found == {"kind": "neither", "turn": [[2, 0.6], [4, 0.9], [5, 0.1]]}


def test_random_results_are_never_called_monotone_where_they_are_not() -> None:
    draw = random.Random(3)
    for _ in range(500):
        results = [float(draw.randint(0, 3)) for _ in range(draw.randint(3, 6))]
        kind = course(range(len(results)), results)["kind"]
        assert (kind in ("rises", "never-falls", "constant")) is (results == sorted(results))
        assert (kind in ("falls", "never-rises", "constant")) is (
            results == sorted(results, reverse=True)
        )


def test_times_that_scatter_show_no_course() -> None:
    slow, fast, mixed = [10.0, 11, 10, 12], [5.0, 6, 5, 5], [4.0, 12, 7, 9]
    assert course_of_times([1, 2, 3], [mixed] * 3)["kind"] == "not-distinguishable"
    assert course_of_times([1, 2, 3], [fast, mixed, slow])["kind"] == "longer"
    assert course_of_times([3, 2, 1], [fast, mixed, slow])["kind"] == "shorter"
    assert course_of_times([1, 2, 3], [fast, slow, fast])["kind"] == "neither"
    # Neighbours differ, the ends do not: nothing is said of the whole.
    assert course_of_times([1, 2, 3], [mixed, fast, slow])["kind"] == "not-distinguishable"
    # Apart, but by a hundredth only.
    near = [[100.0] * 4, [100.5] * 4, [101.0] * 4]
    assert course_of_times([1, 2, 3], near)["kind"] == "not-distinguishable"
    assert course_of_times([1, 2, 3], [[1.0], [2.0], [3.0]])["kind"] == "too-few"


def test_faces_are_followed_by_their_place() -> None:
    here, there = [10.0, 10, 40, 40], [200.0, 50, 40, 40]
    steps = [
        [{"box": there, "confidence": 0.8}, {"box": here, "confidence": 0.9}],
        [{"box": [12.0, 11, 41, 39], "confidence": 0.99}],
        [{"box": here, "confidence": 0.7}, {"box": [400.0, 10, 9, 9], "confidence": 0.6}],
    ]
    found = tracks([1, 2, 3], steps)
    assert [face["confidence"] for face in found] == [
        [0.9, 0.99, 0.7], [0.8, None, None], [None, None, 0.6],
    ]  # fmt: skip
    assert found[0]["box"] == [12.0, 11.0, 41.0, 39.0]


def test_the_usual_values_are_within_the_bounds() -> None:
    for parameter in PARAMETERS.values():
        assert all(parameter.least <= value <= parameter.most for value in parameter.values)
        assert list(parameter.values) == sorted(parameter.values)
