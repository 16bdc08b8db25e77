"""Real environments with real faults: the root cause comes first, and nothing false beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Doctor

pytestmark = [
    pytest.mark.environments,
    pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX environment"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="old wheels for Python 3.11"),
]

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make an environment with exactly these distributions; returns its folder."""

    def environment(*requirements: str, inherit: bool = False) -> Path:
        import venv

        folder = tmp_path / "target"
        venv.create(folder, with_pip=False)
        site = next(folder.glob("lib/python*/site-packages"))
        if inherit:
            # Everything the tests run with, behind what is installed here.
            import numpy

            (site / "inherit.pth").write_text(str(Path(numpy.__file__).parent.parent) + "\n")
        if requirements:
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
                 "--disable-pip-version-check", "--only-binary=:all:", "--target", site,
                 *requirements],
                check=True,
            )  # fmt: skip
        return folder

    return environment


def site_of(environment: Path) -> Path:
    return next(environment.glob("lib/python*/site-packages"))


def test_onnxruntime_built_for_numpy_1_with_numpy_2(doctor: Doctor, make: Make) -> None:
    environment = make(
        "numpy==2.2.6", "onnxruntime==1.16.3", "flatbuffers", "protobuf<5", "packaging",
        "coloredlogs", "humanfriendly", "sympy", "mpmath",
    )  # fmt: skip
    answer = doctor("check", "--python", environment, "--format", "json")
    first = answer.findings()[0]
    assert (first["id"], first["about"]) == ("numpy-abi", "onnxruntime")
    assert [f["id"] for f in answer.findings("error")] == ["numpy-abi"]
    # Both ways out.
    assert "numpy<2" in " ".join(first["remedy"]["commands"])
    assert "onnxruntime" in " ".join(first["remedy"]["commands"])
    # It imports, and then the process dies; the crash is told, as the consequence it is.
    assert answer.run("onnxruntime")["outcome"] in ("crash", "not-loadable")
    skipped = {f["id"]: f for f in answer.findings("skip") if f["requires"]}
    assert "numpy-abi:onnxruntime" in str(skipped)
    assert answer.run("numpy")["outcome"] == "ok"
    assert answer.code == 1


def test_a_numpy_broken_on_disk_is_one_error(doctor: Doctor, make: Make) -> None:
    environment = make("numpy==2.2.6", "onnxruntime==1.20.1", "flatbuffers", "protobuf",
                       "packaging", "coloredlogs", "humanfriendly", "sympy", "mpmath")  # fmt: skip
    for path in (site_of(environment) / "numpy" / "_core").glob("_multiarray_umath*.so"):
        path.unlink()
    answer = doctor("check", "--python", environment, "--format", "json")
    errors = answer.findings("error")
    assert [(f["id"], f["about"]) for f in errors] == [("broken-install", "numpy")]
    assert "_multiarray_umath" in str(errors[0]["evidence"])
    assert {run["outcome"] for run in answer.report["runs"]} == {"not-loadable", "not-installed"}
    assert answer.code == 1
    text = doctor("check", "--python", environment)
    assert "from broken-install:numpy" in text.out


def test_mtcnn_without_its_framework(doctor: Doctor, make: Make) -> None:
    environment = make("numpy", "mtcnn==1.0.0", "joblib", "cloudpickle", "lz4")
    answer = doctor("check", "--python", environment, "--format", "json")
    assert [f["id"] for f in answer.findings()] == ["mtcnn-missing-backend"]
    assert answer.code == 1


def test_two_opencvs(doctor: Doctor, make: Make) -> None:
    environment = make("numpy", "opencv-python-headless==4.10.0.84")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target",
         site_of(environment), "--upgrade", "--disable-pip-version-check",
         "opencv-contrib-python-headless==4.10.0.84"],
        check=True, capture_output=True,
    )  # fmt: skip
    answer = doctor("check", "--python", environment, "--level", "1", "--format", "json")
    assert "opencv-duplicates" in [f["id"] for f in answer.findings()]


def test_torchvision_of_another_build(doctor: Doctor, make: Make) -> None:
    """The index's torchvision is built for a CUDA torch: operator torchvision::nms is missing."""
    torch = pytest.importorskip("torch")
    if "+cpu" not in torch.__version__:
        pytest.skip("needs a +cpu build of torch")
    environment = make("torchvision==0.26.0", "pillow", inherit=True)
    answer = doctor("check", "--python", environment, "--backend", "torch", "--format", "json")
    assert "torchvision-mismatch" in [f["id"] for f in answer.findings("error")]


def test_a_shadowing_file_is_reported_and_not_run(
    doctor: Doctor, make: Make, tmp_path: Path
) -> None:
    environment = make("numpy")
    work = tmp_path / "project"
    work.mkdir()
    ran = tmp_path / "ran"
    for name in ("numpy.py", "random.py"):
        (work / name).write_text(f"open({str(ran)!r}, 'w').close()\n")
    answer = doctor("check", "--python", environment, "--format", "json", cwd=work)
    errors = answer.findings("error")
    assert {f["id"] for f in errors} == {"module-shadowed"}
    assert any("numpy.py" in f["title"] + str(f["evidence"]) for f in errors)
    assert answer.run("numpy")["outcome"] == "ok"
    assert not ran.exists()


def test_a_healthy_numpy_alone(doctor: Doctor, make: Make) -> None:
    answer = doctor("check", "--python", make("numpy"), "--format", "json")
    assert answer.findings() == []
    assert answer.code == 0


def test_a_framework_without_numpy_is_one_error(doctor: Doctor, make: Make) -> None:
    environment = make("onnxruntime==1.20.1", "flatbuffers", "protobuf", "packaging",
                       "coloredlogs", "humanfriendly", "sympy", "mpmath<1.4")  # fmt: skip
    answer = doctor("check", "--python", environment, "--format", "json")
    assert [f["id"] for f in answer.findings()] == ["numpy-missing"]
    assert answer.code == 1
