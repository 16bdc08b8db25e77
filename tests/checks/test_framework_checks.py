from mtcnn_doctor.checks.frameworks import (
    mtcnn_missing_backend,
    mtcnn_pkg_resources,
    opencv_duplicates,
    opencv_system_library,
    torchvision_mismatch,
)

from mtcnn_doctor.model import Severity


def test_two_opencv_distributions(problems, installed):
    packages = installed("opencv-python==4.9.0.80", "opencv-python-headless==4.11.0.86")
    [finding] = problems(opencv_duplicates, packages=packages)
    assert finding.severity is Severity.ERROR
    assert "opencv-python 4.9.0.80, opencv-python-headless 4.11.0.86" in finding.title
    [finding] = problems(opencv_duplicates, packages=packages, opencv={"state": "ok"})
    assert finding.severity is Severity.WARNING


def test_one_opencv_distribution(problems, installed):
    assert problems(opencv_duplicates, packages=installed("opencv-python==4.9.0.80")) == []


def _no_library(name):
    message = f"{name}: cannot open shared object file: No such file or directory"
    error = {"type": "ImportError", "message": message, "last_line": f"ImportError: {message}"}
    return {"state": "not-loadable", "error": error}


def test_missing_system_library(problems, installed):
    [finding] = problems(
        opencv_system_library,
        opencv=_no_library("libGL.so.1"),
        packages=installed("opencv-python==4.11.0.86"),
    )
    assert finding.title == "cv2 needs libGL.so.1, which this system does not have"
    assert finding.remedy.commands == ("apt-get install -y libgl1 libglib2.0-0",)
    assert "opencv-python-headless" in finding.remedy.text


def test_other_failures_of_opencv(problems):
    error = {"message": "numpy.core.multiarray failed to import", "last_line": "ImportError"}
    assert problems(opencv_system_library, opencv={"state": "not-loadable", "error": error}) == []
    assert problems(opencv_system_library, opencv={"state": "ok"}) == []


def test_torchvision_of_another_release(problems, installed):
    packages = installed("torch==2.9.0", "torchvision==0.23.0")
    [finding] = problems(torchvision_mismatch, packages=packages)
    assert "goes with 0.24" in finding.title


def test_torchvision_of_another_kind(problems, installed):
    """Seen to fail: torch 2.13.0+cpu with torchvision 0.28.0 from PyPI."""
    packages = installed("torch==2.13.0+cpu", "torchvision==0.28.0")
    [finding] = problems(torchvision_mismatch, packages=packages)
    assert finding.severity is Severity.ERROR
    packages = installed("torch==2.9.0+cu126", "torchvision==0.24.0+cu130")
    assert problems(torchvision_mismatch, packages=packages)
    packages = installed("torch==2.9.0+cu126", "torchvision==0.24.0+cpu")
    [finding] = problems(torchvision_mismatch, packages=packages)
    assert finding.severity is Severity.WARNING


def test_pairs_that_match(problems, installed):
    for torch, vision in (
        ("2.13.0", "0.28.0"),
        ("2.13.0+cpu", "0.28.0+cpu"),
        ("2.9.1+cu126", "0.24.1+cu128"),
        ("2.2.2", "0.17.2"),
        ("1.13.1", "0.14.1"),
        ("3.1.0", "0.99.0"),
    ):
        packages = installed(f"torch=={torch}", f"torchvision=={vision}")
        assert problems(torchvision_mismatch, packages=packages) == [], (torch, vision)
    windows = {"platform": "win32"}
    packages = installed("torch==2.9.0+cpu", "torchvision==0.24.0")
    assert problems(torchvision_mismatch, packages=packages, python=windows) == []


def test_torchaudio(problems, installed):
    packages = installed("torch==2.9.0", "torchaudio==2.8.0")
    assert problems(torchvision_mismatch, packages=packages)
    packages = installed("torch==2.13.0", "torchaudio==2.11.0")
    assert problems(torchvision_mismatch, packages=packages) == []


def test_mtcnn_without_tensorflow(problems, installed):
    [finding] = problems(mtcnn_missing_backend, packages=installed("mtcnn==1.0.0"))
    assert finding.remedy.commands == ('pip install "mtcnn[tensorflow]"',)
    assert problems(mtcnn_missing_backend, packages=installed("mtcnn==0.1.1"))


def test_mtcnn_with_tensorflow(problems, installed):
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"):
        packages = installed("mtcnn==1.0.0", f"{name}==2.18.0")
        assert problems(mtcnn_missing_backend, packages=packages) == []
    modules = {"tensorflow": {"found": "/opt/tensorflow"}}
    assert (
        problems(mtcnn_missing_backend, packages=installed("mtcnn==1.0.0", modules=modules)) == []
    )
    assert problems(mtcnn_missing_backend, packages=installed("facenet-pytorch==2.6.0")) == []


def test_mtcnn_01_without_pkg_resources(problems, installed):
    packages = installed("mtcnn==0.1.1", "setuptools==82.0.0")
    [finding] = problems(mtcnn_pkg_resources, packages=packages)
    assert finding.remedy.commands == ('pip install "setuptools<81"',)
    assert problems(mtcnn_pkg_resources, packages=installed("mtcnn==0.1.1"))


def test_pkg_resources_is_there_or_not_needed(problems, installed):
    packages = installed("mtcnn==0.1.1", "setuptools==80.9.0")
    assert problems(mtcnn_pkg_resources, packages=packages) == []
    assert problems(mtcnn_pkg_resources, packages=installed("mtcnn==1.0.0")) == []
    modules = {"pkg_resources": {"found": "/usr/lib/python3/dist-packages/pkg_resources"}}
    packages = installed("mtcnn==0.1.1", modules=modules)
    assert problems(mtcnn_pkg_resources, packages=packages) == []


def test_two_opencv_of_one_release_are_a_warning(problems, installed):
    alike = installed("opencv-python==5.0.0.93", "opencv-python-headless==5.0.0.93")
    [finding] = problems(opencv_duplicates, packages=alike)
    assert finding.severity.value == "warning"
