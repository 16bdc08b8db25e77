"""The user's own packages, as pip installs them: stock ones pass, and faults in them are named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Answer, Doctor

Patch = Callable[[str, str], dict[str, str]]

pytestmark = [
    pytest.mark.environments,
    pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX environment"),
]

#: What facenet-pytorch needs of torchvision, whose wheels need another build of torch.
TORCHVISION = {
    "__init__.py": "from . import ops, transforms",
    "ops/__init__.py": "from . import boxes",
    "transforms/__init__.py": "from . import functional",
    "transforms/functional.py": "",
    "ops/boxes.py": """
import torch

def batched_nms(boxes, scores, idxs, iou_threshold):
    if not len(boxes):
        return torch.empty(0, dtype=torch.int64)
    boxes = boxes + (idxs.to(boxes) * (boxes.max() + 1))[:, None]
    order = torch.argsort(scores, descending=True, stable=True)
    x1, y1, x2, y2 = boxes[order].unbind(1)
    area = (x2 - x1) * (y2 - y1)
    left, kept = torch.arange(len(order)), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        width = torch.minimum(x2[best], x2[left]) - torch.maximum(x1[best], x1[left])
        height = torch.minimum(y2[best], y2[left]) - torch.maximum(y1[best], y1[left])
        shared = width.clamp(min=0) * height.clamp(min=0)
        left = left[shared <= iou_threshold * (area[best] + area[left] - shared)]
    return order[torch.stack(kept)]
""",
}

NULL = "import ctypes; ctypes.string_at(0)"


def _environment(folder: Path, *requirements: str) -> Path:
    """Return an environment of these distributions, before everything the tests run with."""
    import numpy

    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "inherit.pth").write_text(str(Path(numpy.__file__).parent.parent) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
         "--disable-pip-version-check", "--only-binary=:all:", "--target", site, *requirements],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"pip installs nothing here: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with mtcnn 1.0.0 and facenet-pytorch 2.6.0."""
    folder = tmp_path_factory.mktemp("packages") / "env"
    return _environment(
        folder, "mtcnn==1.0.0", "joblib", "cloudpickle", "lz4", "facenet-pytorch==2.6.0"
    )


@pytest.fixture(scope="module")
def facenet(packages: Path) -> Path:
    """Return the same with a stand-in for torchvision."""
    site = next(packages.glob("lib/python*/site-packages"))
    for name, text in TORCHVISION.items():
        path = site / "torchvision" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return packages


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with mtcnn 0.1.1 and a setuptools that has pkg_resources."""
    folder = tmp_path_factory.mktemp("old") / "env"
    return _environment(folder, "mtcnn==0.1.1", "setuptools<81")


def subject_findings(answer: Answer) -> list[dict]:
    return [f for f in answer.findings() if f["family"] == "subjects"]


def the_finding(answer: Answer) -> dict:
    found = subject_findings(answer)
    assert len(found) == 1, found
    return found[0]


def note(answer: Answer) -> str:
    """Return whose fault it is said to be."""
    return "".join(f["title"] for f in answer.findings("info") if f["family"] == "subjects")


def subject(answer: Answer, name: str) -> dict:
    return next(r for r in answer.report["runs"] if (r["kind"], r["name"]) == ("subject", name))


def check(doctor: Doctor, target: Path, name: str, *more: str | Path, **given: object):
    backend = "tensorflow" if name == "mtcnn" else "torch"
    return doctor("check", "--python", target, "--subject", name, "--backend", backend,
                  "--format", "json", *more, **given)  # fmt: skip


def test_without_torchvision_it_cannot_be_imported(doctor: Doctor, packages: Path) -> None:
    pytest.importorskip("torch")
    answer = check(doctor, packages, "facenet-pytorch")
    run = subject(answer, "facenet-pytorch")
    assert run["outcome"] == "not-loadable"
    assert "torchvision" in run["reason"]
    # The missing requirement is the error; that the import fails is its consequence.
    assert "requirement-conflict" in [f["id"] for f in answer.findings("error")]
    assert "subject-not-loadable" in [f["id"] for f in answer.findings("skip") if f["about"]]
    assert "what else facenet-pytorch needs is missing" in note(answer)
    assert answer.run("torch")["outcome"] == "ok"
    assert answer.code == 1


def test_stock_mtcnn_1_on_tensorflow(doctor: Doctor, packages: Path) -> None:
    pytest.importorskip("tensorflow")
    answer = check(doctor, packages, "mtcnn")
    run = subject(answer, "mtcnn")
    assert (run["outcome"], run["version"]) == ("ok", "1.0.0")
    assert run["agreement"]["expected"] > 50
    assert run["agreement"]["missing"] == run["agreement"]["extra"] == 0
    assert subject_findings(answer) == []
    jsonschema = pytest.importorskip("jsonschema")
    from mtcnn_doctor.report.json_report import schema

    jsonschema.validate(answer.report, schema())


def test_stock_mtcnn_0_1_on_tensorflow(doctor: Doctor, old: Path) -> None:
    pytest.importorskip("tensorflow")
    answer = check(doctor, old, "mtcnn")
    run = subject(answer, "mtcnn")
    assert (run["outcome"], run["version"]) == ("ok", "0.1.1"), run["reason"]
    assert run["agreement"]["expected"] > 50
    assert subject_findings(answer) == []


def test_stock_facenet_on_torch(doctor: Doctor, facenet: Path) -> None:
    pytest.importorskip("torch")
    answer = check(doctor, facenet, "facenet-pytorch")
    run = subject(answer, "facenet-pytorch")
    assert (run["outcome"], run["version"]) == ("ok", "2.6.0"), run["reason"]
    assert run["agreement"]["expected"] > 40
    assert subject_findings(answer) == []


def test_a_crash_of_the_package_alone(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    dying = patch_module(
        "facenet_pytorch.models.mtcnn",
        f"def detect(*a, **k):\n    {NULL}\nmodule.MTCNN.detect = detect",
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=dying)
    found = the_finding(answer)
    assert found["id"] == "subject-crash"
    assert "SIGSEGV (exit 139) while it looked for faces (portrait.png)" in found["title"]
    assert "your environment is fine, your package is not" in found["evidence"]["framework"]
    assert "your environment is fine, your package is not" in note(answer)
    assert answer.run("torch")["outcome"] == "ok"


def test_a_crash_of_the_framework_is_not_the_package_s(
    doctor: Doctor, facenet: Path, patch_module: Patch
) -> None:
    pytest.importorskip("torch")
    dying = patch_module(
        "torch.nn.functional", f"def conv2d(*a, **k):\n    {NULL}\nmodule.conv2d = conv2d"
    )
    # The functions of torch.nn.functional are called by name in the modules of torch.nn.
    answer = check(doctor, facenet, "facenet-pytorch", environment=dying)
    if answer.run("torch")["outcome"] == "ok":
        pytest.skip("this torch does not call torch.nn.functional.conv2d")
    assert {f["id"] for f in answer.findings() if f["family"] in ("runs", "subjects")} == {
        "backend-crash"
    }
    assert "your environment is at fault, not facenet-pytorch alone" in note(answer)


def test_an_exception_of_the_package(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    raising = patch_module(
        "facenet_pytorch.models.mtcnn",
        'def detect(*a, **k):\n    raise RuntimeError("[oops]")\nmodule.MTCNN.detect = detect',
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=raising)
    found = the_finding(answer)
    assert found["id"] == "subject-error"
    assert found["evidence"]["exception"] == "RuntimeError: [oops]"


def test_a_package_that_hangs(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    hanging = patch_module(
        "facenet_pytorch.models.mtcnn",
        "def detect(*a, **k):\n    import time; time.sleep(600)\nmodule.MTCNN.detect = detect",
    )
    answer = check(doctor, facenet, "facenet-pytorch", "--timeout", "60", environment=hanging)
    found = the_finding(answer)
    assert found["id"] == "subject-timeout"
    assert "hung while it looked for faces (portrait.png)" in found["title"]


def test_bgr_is_a_wrong_result(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    turned = patch_module(
        "facenet_pytorch.models.mtcnn",
        """
        detect = module.MTCNN.detect
        module.MTCNN.detect = lambda self, image, landmarks=False: detect(
            self, image[:, :, ::-1].copy(), landmarks)
        """,
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=turned)
    found = the_finding(answer)
    assert found["id"] == "subject-wrong-result"
    assert "faces not found" in found["evidence"]["what"]
    assert subject(answer, "facenet-pytorch")["divergence"]["stage"] == "input"
    assert "BGR, where RGB is wanted" in found["cause"]


def test_an_image_of_the_user(doctor: Doctor, facenet: Path, tmp_path: Path) -> None:
    """On an image whose faces nobody knows the package stands beside the reference."""
    pytest.importorskip("torch")
    from mtcnn_doctor import gallery

    portrait = next(p for p in gallery.bundled() if p.name == "portrait.png").path
    answer = doctor("bench", "--python", facenet, "--subject", "facenet-pytorch", "--source",
                    portrait, "--runs", "1", "--warmup", "0", "--format", "json")  # fmt: skip
    assert {r["name"] for r in answer.report["runs"]} == {"numpy", "torch", "facenet-pytorch"}
    compared = answer.report["facts"]["subjects"]["compared"]["facenet-pytorch"]
    assert [(c["reference"], c["found"], c["missing"]) for c in compared] == [(1, 1, 0)]
    assert subject_findings(answer) == []


@pytest.mark.exhaustive
def test_bench_prints_the_package_beside_its_framework(doctor: Doctor, facenet: Path) -> None:
    pytest.importorskip("torch")
    answer = doctor("bench", "--python", facenet, "--subject", "facenet-pytorch", "--runs", "1",
                    "--warmup", "0")  # fmt: skip
    comparison = answer.out[answer.out.index("comparison") :]
    assert [n in comparison for n in ("numpy", "torch", "facenet-pytorch")] == [True] * 3
    assert "subject-" not in answer.out


def test_check_runs_what_is_installed(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    """Without options `check` runs the packages by itself; `--subject none` leaves them out."""
    answer = doctor("check", "--python", facenet, "--format", "json",
                    environment={"MTCNN_DOCTOR_TEST": "1"})  # fmt: skip
    names = {r["name"] for r in answer.report["runs"] if r["kind"] == "subject"}
    assert names == {"mtcnn", "facenet-pytorch"}
    without = doctor("check", "--python", facenet, "--subject", "none", "--backend", "numpy",
                     "--format", "json")  # fmt: skip
    assert {r["kind"] for r in without.report["runs"]} == {"backend"}
    # What was recorded is judged the same elsewhere.
    recorded = facenet / "report.json"
    recorded.write_text(json.dumps(answer.report))
    again = doctor("check", "--facts", recorded, "--format", "json")
    assert [f["id"] for f in subject_findings(again)] == [f["id"] for f in subject_findings(answer)]


def test_the_environment_of_the_tests_has_no_mtcnn(packages: Path) -> None:
    """What the fixtures install is what is examined."""
    python = packages / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = subprocess.run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('mtcnn').origin)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(packages) in done.stdout
