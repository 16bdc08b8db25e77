"""Real environments whose releases do not go together: one root cause each, and nothing beside it.

By default only those that are made in seconds; the others are many and large: ``-m exhaustive``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Answer, Doctor
from .interpreters import at_hand

uv = pytest.importorskip("uv")

pytestmark = [
    pytest.mark.environments,
    pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX environment"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="old wheels for Python 3.11"),
]

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Make an environment as pip would resolve it, then lay more over it without asking."""

    def environment(*requirements: str, over: tuple[str, ...] = (), python: str = "") -> Path:
        folder = tmp_path / "target"
        interpreter: Path | str = sys.executable
        if python:
            others = at_hand(python)
            if not others:
                pytest.skip(f"no Python {python} here")
            interpreter = others[0]
        run("venv", "--quiet", "--python", interpreter, folder)
        target = ("--quiet", "--python", folder / "bin" / "python")
        run("pip", "install", *target, *requirements)
        for one in over:
            run("pip", "install", *target, "--no-deps", one)
        return folder

    return environment


def run(*arguments: Path | str) -> None:
    subprocess.run([uv.find_uv_bin(), *map(str, arguments)], check=True)


def told(answer: Answer) -> list[tuple[str, str, str]]:
    """Return severity, id and subject of what is wrong, in the order told."""
    return [(f["severity"], f["id"], f["about"]) for f in answer.findings()]


@pytest.fixture
def check(doctor: Doctor) -> Callable[..., Answer]:
    """Examine an environment from an empty folder."""

    def examine(environment: Path, *options: str, **variables: str) -> Answer:
        return doctor(
            "check", "--python", environment, "--format", "json", *options, environment=variables
        )

    return examine


Check = Callable[..., Answer]


def test_another_numpy_through_pythonpath(build: Build, check: Check, tmp_path: Path) -> None:
    environment = build("numpy==1.26.4", "opencv-python-headless==4.8.1.78")
    elsewhere = tmp_path / "elsewhere"
    run("pip", "install", "--quiet", "--python", environment / "bin" / "python", "--target",
        elsewhere, "numpy==2.2.6")  # fmt: skip
    answer = check(environment, PYTHONPATH=str(elsewhere))
    assert told(answer) == [("error", "path-pollution", "numpy")]
    assert "import-failure" in {f["id"] for f in answer.findings("skip") if f["requires"]}
    assert answer.code == 1
    healthy = check(environment)
    assert (told(healthy), healthy.code) == ([], 0)


def test_what_an_interrupted_pip_left(build: Build, check: Check) -> None:
    environment = build("numpy")
    next(environment.glob("lib/python*/site-packages")).joinpath("~umpy").mkdir()
    answer = check(environment, "--level", "1")
    assert told(answer) == [("warning", "broken-install", "leftovers")]


def test_a_program_that_calls_mtcnn_as_it_was_called_before(
    build: Build, check: Check, tmp_path: Path
) -> None:
    environment = build("mtcnn==1.0.0", "numpy")
    site = next(environment.glob("lib/python*/site-packages"))
    # Nothing is imported at level 1: a TensorFlow by name is enough.
    (site / "tensorflow").mkdir()
    (site / "tensorflow" / "__init__.py").touch()
    work = tmp_path / "work"  # where the doctor is started
    (work / "old.py").write_text("from mtcnn import MTCNN\nMTCNN(min_face_size=40)\n")
    (work / "new.py").write_text(
        "from mtcnn import MTCNN\nMTCNN().detect_faces(x, min_face_size=60)\n"
    )
    answer = check(environment, "--level", "1")
    assert told(answer) == [
        ("error", "mtcnn-api-change", "old.py"),
        ("warning", "mtcnn-silent-empty", "new.py:2"),
    ]


@pytest.mark.exhaustive
def test_numpy_2_with_a_tensorflow_for_numpy_1(build: Build, check: Check) -> None:
    environment = build("tensorflow-cpu==2.15.1", over=("numpy==2.2.6",))
    assert told(check(environment)) == [("error", "numpy-abi", "tensorflow-cpu")]


@pytest.mark.exhaustive
def test_numpy_2_with_an_opencv_for_numpy_1(build: Build, check: Check) -> None:
    environment = build("opencv-python-headless==4.8.1.78", "numpy==2.2.6")
    assert told(check(environment)) == [("error", "numpy-abi", "opencv-python-headless")]


@pytest.mark.exhaustive
def test_protobuf_4_with_tensorflow_2_8(build: Build, check: Check) -> None:
    environment = build("tensorflow-cpu==2.8.0", "numpy<1.24", "protobuf==4.25.3", python="3.10")
    answer = check(environment)
    assert told(answer) == [("error", "protobuf-mismatch", "tensorflow-cpu")]
    assert "import-failure" in {f["id"] for f in answer.findings("skip") if f["requires"]}


@pytest.mark.exhaustive
def test_keras_on_the_wrong_ground(build: Build, check: Check) -> None:
    environment = build("tensorflow-cpu==2.21.0", "mtcnn==1.0.0")
    assert told(check(environment)) == []
    for variables in ({"KERAS_BACKEND": "torch"}, {"TF_USE_LEGACY_KERAS": "1"}):
        answer = check(environment, **variables)
        assert told(answer) == [("error", "keras-version", "mtcnn")]
        assert answer.run("tensorflow")["outcome"] == "ok"
        assert "subject-not-loadable" in {f["id"] for f in answer.findings("skip")}


@pytest.mark.exhaustive
def test_mtcnn_0_1_with_the_setuptools_of_today(build: Build, check: Check) -> None:
    environment = build("tensorflow-cpu==2.21.0", "mtcnn==0.1.1", "setuptools>=82")
    assert told(check(environment)) == [("error", "mtcnn-pkg-resources", "mtcnn")]


@pytest.mark.exhaustive
def test_three_opencvs_and_one_uninstalled(build: Build, check: Check) -> None:
    wheels = [f"{name}==4.11.0.86" for name in ("opencv-python-headless", "opencv-contrib-python")]
    environment = build("opencv-python==4.11.0.86", over=tuple(wheels))
    run("pip", "uninstall", "--quiet", "--python", environment / "bin" / "python",
        "opencv-contrib-python")  # fmt: skip
    assert told(check(environment)) == [("error", "opencv-duplicates", "opencv")]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "packages", [("numpy", "opencv-python-headless", "onnxruntime"), ("tensorflow-cpu",)]
)
@pytest.mark.parametrize("python", ["3.9", "3.10", "3.12", "3.13"])
def test_what_pip_resolves_today_is_healthy(
    build: Build, check: Check, python: str, packages: tuple[str, ...]
) -> None:
    answer = check(build(*packages, python=python))
    assert (told(answer), answer.code) == ([], 0)
