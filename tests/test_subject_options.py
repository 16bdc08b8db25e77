"""Naming subjects on the command line, and the profiles they are held to."""

from __future__ import annotations

import pytest

from mtcnn_doctor import gallery
from mtcnn_doctor.knowledge import subject_profile
from mtcnn_doctor.subjects import SUBJECTS, beside_reference, compare

from .conftest import Doctor


def test_an_unknown_subject_is_refused_in_one_line(doctor: Doctor) -> None:
    answer = doctor("check", "--subject", "mtcn")
    assert answer.code == 2
    (line,) = answer.err.strip().splitlines()
    assert "no subject 'mtcn'; there are mtcnn, facenet-pytorch" in line


def test_none_stands_alone(doctor: Doctor) -> None:
    answer = doctor("bench", "--subject", "none", "--subject", "mtcnn")
    assert answer.code == 2
    assert "--subject none goes with no other" in answer.err


def test_a_subject_that_is_asked_for_must_be_there(doctor: Doctor) -> None:
    answer = doctor("check", "--subject", "facenet-pytorch", "--backend", "numpy", "--format",
                    "json")  # fmt: skip
    if [f["id"] for f in answer.findings()] != ["subject-missing"]:
        pytest.skip("facenet-pytorch is installed beside the tests")
    assert answer.findings()[0]["about"] == "facenet-pytorch"
    assert answer.code == 1


def test_without_packages_there_is_no_word_of_them(doctor: Doctor) -> None:
    answer = doctor("check", "--backend", "numpy")
    assert "subject" not in answer.out


@pytest.mark.parametrize(
    ("name", "version", "measured"),
    [
        ("mtcnn", "0.1.1", "mtcnn 0.1.1"),
        ("mtcnn", "1.0.0", "mtcnn 1.0.0"),
        ("facenet-pytorch", "2.6.0", "facenet-pytorch 2.6.0"),
        ("mtcnn", "7.0", "none"),
        ("mtcnn", None, "none"),
    ],
)
def test_each_release_has_its_profile(name: str, version: str | None, measured: str) -> None:
    assert str(subject_profile(name, version)["measured"]).startswith(measured)


def test_profiles_leave_room_above_what_was_measured() -> None:
    for name in SUBJECTS:
        for version in ("0.1.1", "1.0.0", "2.6.0"):
            profile = subject_profile(name, version)
            worst = profile.get("worst")
            if worst:
                assert worst["iou"] > profile["iou"]
                assert worst["keypoint"] < profile["keypoint"]
                assert worst["confidence"] < profile["confidence"]


def result(name: str, faces: list) -> dict:
    sizes = {"portrait.png": (512, 512), "border_faces.png": (487, 375)}
    width, height = sizes[name]
    return {"image": name, "width": width, "height": height, "detections": faces}


def faces_of(name: str) -> list:
    return [dict(face) for p in gallery.bundled() if p.name == name for face in p.faces or ()]


def test_weak_faces_come_and_go_and_sure_ones_must_not() -> None:
    faces = faces_of("portrait.png")
    weak = {**faces[0], "box": [20.0, 300.0, 60.0, 70.0], "confidence": 0.8}
    sure = {**weak, "confidence": 0.95, "box": [100.0, 300.0, 60.0, 70.0]}
    judged = compare("mtcnn", "1.0.0", faces, result("portrait.png", [*faces, weak]))
    assert judged["agrees"]
    judged = compare("mtcnn", "1.0.0", faces, result("portrait.png", [*faces, sure]))
    assert (judged["agrees"], judged["extra"]) == (False, 1)
    judged = compare("mtcnn", "1.0.0", faces, result("portrait.png", []))
    assert (judged["agrees"], judged["missing"]) == (False, 1)


def test_a_box_a_quarter_off_is_wrong() -> None:
    faces = faces_of("portrait.png")
    x, y, width, height = faces[0]["box"]
    moved = {**faces[0], "box": [x + width / 4, y, width, height]}
    judged = compare("facenet-pytorch", "2.6.0", faces, result("portrait.png", [moved]))
    assert not judged["agrees"]
    assert judged["missing"] == 0


def test_faces_at_the_edge_are_not_asked_of_facenet() -> None:
    faces = faces_of("border_faces.png")
    inner = [face for face in faces if face["box"][0] > 150 and face["box"][1] > 100]
    inner = [face for face in inner if face["box"][0] < 250 and face["box"][1] < 200]
    judged = compare("facenet-pytorch", "2.6.0", faces, result("border_faces.png", inner))
    assert (judged["agrees"], judged["expected"]) == (True, 1)
    judged = compare("mtcnn", "0.1.1", faces, result("border_faces.png", inner))
    assert not judged["agrees"]


def test_only_certain_large_faces_are_missed_on_a_user_s_image() -> None:
    faces = faces_of("portrait.png")
    small = {**faces[0], "box": [100.0, 400.0, 20.0, 24.0], "confidence": 0.999}
    said = beside_reference([*faces, small], result("portrait.png", []))
    assert (said["reference"], said["found"], said["missing"]) == (2, 0, 1)
