"""``bench``: measures what it says it measures, on the bundled images and on the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.report.json_report import schema

from .conftest import Doctor

PORTRAIT = next(picture.path for picture in bundled() if picture.name == "portrait.png")


def test_numbers_belong_together(doctor: Doctor) -> None:
    answer = doctor(
        "bench", "--backend", "numpy", "--runs", "3", "--warmup", "1", "--format", "json",
        "--lanes", "1",
    )  # fmt: skip
    assert answer.code == 0
    jsonschema.validate(answer.report, schema())
    (run,) = answer.report["runs"]
    assert len(run["images"]) == len(bundled())
    for image in run["images"]:
        assert len(image["samples_ms"]) == 4
        for total, stages in zip(image["samples_ms"], image["stages_ms"], strict=True):
            # The stages are the whole of it but for the call itself.
            assert sum(stages.values()) <= total + 0.01  # each is rounded
            assert sum(stages.values()) > 0.5 * total
    assert run["timings_ms"]["import"] > 0
    assert run["peak_rss_mb"] > 20


def test_the_table_of_one_image(doctor: Doctor) -> None:
    answer = doctor("bench", "--backend", "numpy", "--runs", "2", "--source", PORTRAIT)
    assert answer.code == 0
    assert "portrait.png" in answer.out
    assert "512×512" in answer.out
    assert "pnet" in answer.out
    assert "images/s" in answer.out
    assert "confidence 1.0000" in answer.out


def test_a_folder_of_images_with_a_broken_one(doctor: Doctor, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(PORTRAIT, folder / "a.png")
    (folder / "b.png").write_bytes(PORTRAIT.read_bytes()[:20000])
    (folder / "notes.txt").write_text("not an image")
    answer = doctor(
        "bench", "--backend", "numpy", "--runs", "1", "--source", folder, "--format", "json"
    )
    (run,) = answer.report["runs"]
    assert [image["image"] for image in run["images"]] == ["a.png"]
    assert [f["about"] for f in answer.findings("error") if f["id"] == "image-unreadable"]
    assert answer.code == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html></html>", "page.png"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "page.png"),
        (b"\x89PNG\r\n\x1a\n", "page.png"),
    ],
)
def test_a_source_that_is_no_image(
    doctor: Doctor, tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "page.png"
    path.write_bytes(content)
    answer = doctor("bench", "--backend", "numpy", "--source", path)
    assert answer.code == 2
    assert "page.png" in answer.err
    assert words in answer.err
    assert "Traceback" not in answer.err


def test_an_empty_folder(doctor: Doctor, tmp_path: Path) -> None:
    answer = doctor("bench", "--source", tmp_path)
    assert answer.code == 2
    assert "holds no image files" in answer.err


def test_all_backends_agree_on_a_photograph_of_no_known_faces(
    doctor: Doctor, tmp_path: Path
) -> None:
    """An image that is not bundled: each backend must find what the others find."""
    for name in ("torch", "tensorflow", "onnxruntime"):
        pytest.importorskip(name)
    cv2 = pytest.importorskip("cv2")
    picture = cv2.imread(str(PORTRAIT))
    photo = tmp_path / "photo.jpg"
    cv2.imwrite(str(photo), cv2.resize(picture, (561, 561), interpolation=cv2.INTER_CUBIC))
    answer = doctor("check", "--image", photo, "--format", "json")
    assert answer.findings() == []
    faces = {
        run["name"]: [d for d in run["detections"] if d["image"] == "photo.jpg"]
        for run in answer.report["runs"]
    }
    assert all(len(found) == 1 for found in faces.values())
    assert answer.report["facts"]["images"][0]["decoder"] == "cv2"


def test_a_users_image_may_be_called_like_a_bundled_one(doctor: Doctor, tmp_path: Path) -> None:
    no_face = next(picture.path for picture in bundled() if picture.name == "no_face.png")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    shutil.copy(no_face, tmp_path / "a" / "portrait.png")
    shutil.copy(PORTRAIT, tmp_path / "b" / "portrait.png")
    answer = doctor(
        "check", "--backend", "numpy", "--format", "json",
        "--image", tmp_path / "a" / "portrait.png", "--image", tmp_path / "b" / "portrait.png",
    )  # fmt: skip
    assert answer.findings() == []
    run = answer.run("numpy")
    assert run["agreement"]["agrees"]
    counts = {image["image"]: image["faces"] for image in run["images"]}
    assert counts["portrait.png"] == 1
    others = {name: faces for name, faces in counts.items() if "/portrait.png" in name}
    assert sorted(others.values()) == [0, 1]


def test_what_did_no_harm_is_no_result_of_a_measurement(doctor: Doctor, tmp_path: Path) -> None:
    """A file that would hide NumPy is for `check`; the measurement was not affected by it."""
    (tmp_path / "numpy.py").write_text("raise RuntimeError")
    measured = doctor("bench", "--backend", "numpy", "--runs", "1", cwd=tmp_path)
    assert measured.code == 0
    assert "module-shadowed" not in measured.out
    assert doctor("check", "--level", "1", cwd=tmp_path).code == 1
