"""Which backends are run: what is installed, new enough, and asked for."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest

from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.collect.choice import choose, ready
from mtcnn_doctor.errors import UsageError

from .conftest import Doctor


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_an_opencv_that_is_too_old_for_the_networks_is_no_fault(
    doctor: Doctor, tmp_path: Path
) -> None:
    cv2, numpy = pytest.importorskip("cv2"), pytest.importorskip("numpy")
    venv.create(tmp_path / "old", with_pip=False)
    site = next((tmp_path / "old").glob("lib/python*/site-packages"))
    packages = Path(numpy.__file__).parent.parent
    for path in packages.iterdir():
        if path.name.lower().startswith("numpy"):
            (site / path.name).symlink_to(path)
    (site / "cv2").symlink_to(Path(cv2.__file__).parent)
    info = site / "opencv_python_headless-4.5.4.60.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: opencv-python-headless\nVersion: 4.5.4.60\n"
    )
    answer = doctor("check", "--python", tmp_path / "old", "--format", "json")
    assert answer.findings() == []
    run = answer.run("opencv")
    assert run["outcome"] == "not-installed"
    assert run["reason"] == "4.5.4.60 is too old, 4.5.5 is needed"
    assert answer.report["facts"]["opencv"]["state"] == "ok"
    text = doctor("check", "--python", tmp_path / "old")
    assert "opencv: 4.5.4.60 is too old" in text.out
    asked = doctor("check", "--python", tmp_path / "old", "--backend", "opencv")
    assert asked.code == 1
    assert "opencv cannot be used: 4.5.4.60 is too old" in asked.out


def test_all_names_every_backend_and_requires_none(doctor: Doctor, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    venv.create(tmp_path / "small", with_pip=False)
    site = next((tmp_path / "small").glob("lib/python*/site-packages"))
    for path in Path(numpy.__file__).parent.parent.iterdir():
        if path.name.lower().startswith("numpy"):
            (site / path.name).symlink_to(path)
    answer = doctor("check", "--python", tmp_path / "small", "--backend", "all", "--format", "json")
    assert answer.code == 0
    assert [run["name"] for run in answer.report["runs"]] == list(BACKENDS)


def test_names_are_taken_once_and_in_order() -> None:
    assert [b.name for b in choose(["torch", "numpy", "torch"], {})] == ["torch", "numpy"]
    assert [b.name for b in choose([], {})] == list(BACKENDS)
    with pytest.raises(UsageError, match="no backend 'caffe'; there are numpy, torch"):
        choose(["caffe"], {})


def test_tflite_runtime_stands_in_for_litert() -> None:
    modules = {"ai_edge_litert": {"found": None}, "tflite_runtime": {"found": "/x"}}
    found, reason = ready(BACKENDS["litert"], {"modules": modules})
    assert found is not None
    assert (found.module, reason) == ("tflite_runtime", None)
    modules["tflite_runtime"]["found"] = None
    assert ready(BACKENDS["litert"], {"modules": modules}) == (None, None)
