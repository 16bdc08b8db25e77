"""``pin``: sets that go together, told as lines of a requirements file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.declared.judge import Question
from mtcnn_doctor.declared.judge import judge as judged
from mtcnn_doctor.declared.pin import BACKENDS, pins
from mtcnn_doctor.knowledge.place import Place
from mtcnn_doctor.targets import Target
from tests.conftest import Doctor


@pytest.mark.parametrize(
    ("python", "platform"),
    [("3.9", "linux_x86_64"), ("3.12", "win_amd64"), ("3.13", "macos_arm64")],
)
def test_what_is_pinned_passes_our_own_judgement(
    python: str, platform: str, tmp_path: Path
) -> None:
    checks = registry.load(()).checks
    path = tmp_path / "requirements.txt"
    sets = [((one,), ()) for one in BACKENDS] + [((), ("mtcnn",)), ((), ("facenet-pytorch",))]
    for backends, subjects in sets:
        found = pins(Place(python, platform), backends, subjects)
        if found is None:
            assert (python, backends) in (("3.9", ("openvino",)), ("3.9", ("litert",)))
            continue
        assert all(line.count("==") == 1 for line in found.lines)
        path.write_text("\n".join(found.lines), encoding="utf-8")
        report = judged(
            Question([path], python, platform.replace("_", "-", 1)), Target(sys.executable), checks
        )
        problems = [one.title for one in report.findings if one.is_problem]
        assert (problems, report.incomplete) == ([], ()), (found.lines, backends, subjects)


def test_a_range_of_a_subject_and_what_it_needs_silently() -> None:
    found = pins(Place("3.11", "linux_x86_64"), (), ("mtcnn<1",))
    assert found is not None
    lines = dict(line.split("==") for line in found.lines)
    assert lines["mtcnn"] == "0.1.1"
    assert int(lines["setuptools"].split(".")[0]) < 81
    assert "tensorflow-cpu" in lines


def test_nothing_is_known_for_a_python_without_wheels(doctor: Doctor) -> None:
    answer = doctor("pin", "--subject", "mtcnn", "--python-version", "3.14", "--platform", "linux")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("no releases of mtcnn are known")


def test_its_output_is_a_requirements_file(doctor: Doctor, tmp_path: Path) -> None:
    where = ("--python-version", "3.12", "--platform", "linux")
    for form in ("text", "requirements"):
        answer = doctor("pin", "--backend", "onnxruntime", *where, "--format", form)
        assert answer.code == 0
        path = tmp_path / "requirements.txt"
        path.write_text(answer.out, encoding="utf-8")
        assert doctor("check", "--requirements", path, *where).code == 0
    data = json.loads(doctor("pin", "--backend", "onnxruntime", *where, "--format", "json").out)
    assert data["pins"] == answer.out.splitlines()
    assert data["resolved"] is None


@pytest.mark.parametrize("option", [("--backend", "amiga"), ("--subject", "dlib")])
def test_what_is_not_known_is_one_line(doctor: Doctor, option: tuple[str, str]) -> None:
    answer = doctor("pin", *option)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
