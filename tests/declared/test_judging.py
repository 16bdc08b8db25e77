"""``check --requirements``: which line excludes which, and what would be chosen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.cli.check import exit_code
from mtcnn_doctor.declared.judge import Question
from mtcnn_doctor.declared.judge import judge as judged
from mtcnn_doctor.report.json_report import schema, to_data
from mtcnn_doctor.targets import Target
from tests.conftest import Answer, Doctor

Judge = Callable[..., Answer]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Judge the text of a file, in this process; the reports are held to the schema."""
    monkeypatch.chdir(tmp_path)
    checks = registry.load(()).checks

    def run(
        text: str,
        python: str = "3.11",
        platform: str = "linux-x86_64",
        name: str = "requirements.txt",
    ) -> Answer:
        Path(name).write_text(text, encoding="utf-8")
        question = Question([Path(name)], python, platform)
        report = judged(question, Target(sys.executable), checks)
        data = to_data(report)
        jsonschema.validate(data, schema())
        return Answer(exit_code(report, "error"), json.dumps(data), "")

    return run


def problems(answer: Answer) -> list[tuple[str, str]]:
    return [(one["id"], one["title"]) for one in answer.findings()]


def chosen(answer: Answer) -> dict[str, str]:
    return {one["name"]: one["version"] for one in answer.report["facts"]["declared"]["chosen"]}


def test_a_pin_that_another_excludes(judge: Judge) -> None:
    answer = judge("# faces\nfacenet-pytorch==2.6.0\n\ntorch==2.13.0\n")
    assert problems(answer) == [
        (
            "pin-conflict",
            "facenet-pytorch 2.6.0 asks for torch<2.3.0,>=2.2.0; torch==2.13.0 is pinned in "
            "requirements.txt:4",
        )
    ]
    assert answer.code == 1
    assert "--no-deps" in answer.findings()[0]["remedy"]["text"]


def test_no_wheel_for_this_python(judge: Judge) -> None:
    answer = judge("tensorflow==2.15.0\n", "3.13", "macos-arm64")
    (finding,) = answer.findings()
    assert finding["id"] == "pin-no-wheel"
    assert finding["title"].startswith("tensorflow 2.15.0 has no wheel for Python 3.13")
    assert "tensorflow 2.20.0" in finding["remedy"]["text"]


@pytest.mark.parametrize(
    ("text", "python", "platform", "said"),
    [
        ("torch==2.13.0", "3.11", "macos-x86_64", "no wheel for macos-x86_64"),
        ("torch>=2.3", "3.12", "macos-intel", "no release of torch within >=2.3"),
        ("facenet-pytorch==2.6.0", "3.13", "linux", "cannot be installed on Python 3.13"),
        ("mtcnn==1.0.0", "3.9", "linux", "is not made for Python 3.9"),
        ("numpy<2\nnumpy==2.2.6", "3.11", "linux", "exclude each other"),
        ("torch==2.2.2\ntorchvision==0.18.0", "3.11", "linux", "asks for torch==2.3.0"),
        ("tensorflow-cpu==2.15.1\nprotobuf==5.29.0", "3.11", "linux", "asks for protobuf"),
        ("onnxruntime==1.31.1", "3.10", "linux", "is not made for Python 3.10"),
        ("tensorflow-cpu==2.16.1", "3.12", "macos-arm64", "no wheel for macos-arm64"),
        ("torch==2.13.0", "3.13t", "linux", "no wheel for Python 3.13t"),
    ],
)
def test_what_cannot_be_installed(
    judge: Judge, text: str, python: str, platform: str, said: str
) -> None:
    answer = judge(text, python, platform)
    assert said in "\n".join(title for _, title in problems(answer))
    assert answer.code == 1


@pytest.mark.parametrize(
    ("text", "python", "platform", "expected"),
    [
        # As pip does, what comes first keeps the newest release.
        (
            "torch\nfacenet-pytorch", "3.11", "linux",
            {"torch": "2.15.0", "facenet-pytorch": "2.5.3", "torchvision": "0.29.2"},
        ),
        (
            "facenet-pytorch\ntorch", "3.11", "linux",
            {"facenet-pytorch": "2.6.0", "torch": "2.2.2", "torchvision": "0.17.2",
             "numpy": "1.26.4"},
        ),
        ("mtcnn[tensorflow]", "3.13", "macos-arm64", {"mtcnn": "1.0.0", "tensorflow": "2.21.0"}),
        (
            "mtcnn==1.0.0\ntensorflow-cpu\nopencv-python-headless\nnumpy<2", "3.11", "linux",
            {"opencv-python-headless": "4.11.0.86", "numpy": "1.26.4"},
        ),
        ("torch==2.13.0+cpu\nnumpy", "3.11", "linux", {"torch": "2.13.0+cpu"}),
    ],
)  # fmt: skip
def test_ranges_that_some_known_releases_meet(
    judge: Judge, text: str, python: str, platform: str, expected: dict[str, str]
) -> None:
    answer = judge(text, python, platform)
    assert problems(answer) == []
    assert answer.code == 0
    assert answer.report["verdict"] == "pass"
    assert expected.items() <= chosen(answer).items()


def test_lines_that_only_together_leave_nothing(judge: Judge) -> None:
    """Nobody names NumPy; one asks for 1 and the other for 2."""
    answer = judge("pandas\ntensorflow==2.16.1\ntorch\nopencv-python-headless>=4.12\n")
    assert problems(answer)[0] == (
        "pin-conflict",
        "no known releases for Python 3.11 on linux-x86_64 meet these lines together: "
        "tensorflow==2.16.1 (requirements.txt:2), opencv-python-headless>=4.12 "
        "(requirements.txt:4)",
    )
    assert answer.code == 1


def test_the_checks_of_an_installed_environment_judge_the_choice(judge: Judge) -> None:
    answer = judge("mtcnn==0.1.1\nopencv-python-headless==4.10.0.84\nsetuptools==82.0.1\n")
    found = {one["id"]: one for one in answer.findings()}
    assert set(found) == {"opencv-duplicates", "mtcnn-missing-backend", "mtcnn-pkg-resources"}
    assert found["opencv-duplicates"]["evidence"]["declared in"] == "requirements.txt:2"
    assert "mtcnn 0.1.1" in found["opencv-duplicates"]["evidence"]["opencv-python is brought by"]
    assert "setuptools<81" in found["mtcnn-pkg-resources"]["remedy"]["text"]
    assert found["mtcnn-pkg-resources"]["remedy"]["commands"] == []


def test_what_the_tables_do_not_know_is_never_green(judge: Judge) -> None:
    answer = judge("torch==77.0\nnumpy==2.2.6\npandas\n--extra-index-url https://example.invalid\n")
    assert answer.code == 0
    assert answer.report["verdict"] == "warn"
    assert "torch 77.0 (requirements.txt:1) is not in the tables" in answer.report["incomplete"][0]
    told = "\n".join(one["title"] for one in answer.findings("info"))
    assert "pandas" in told
    assert "requirements.txt:4 names another index" in told
    again = judge("torch>=77\n")
    assert "torch>=77 (requirements.txt:1) is not in the tables" in again.report["incomplete"][0]


def test_nothing_to_examine(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("requests\n", encoding="utf-8")
    answer = doctor("check", "--requirements", "requirements.txt", cwd=tmp_path)
    assert answer.code == 2
    assert answer.err.startswith("error: nothing to examine: requirements.txt asks for none of")
    assert answer.err.count("\n") == 1


def test_a_lock_may_overrule_on_purpose(judge: Judge) -> None:
    packages = [("facenet-pytorch", "2.6.0"), ("torch", "2.13.0"), ("torchvision", "0.28.0"),
                ("numpy", "2.2.6"), ("pillow", "12.0.0")]  # fmt: skip
    text = 'lock-version = "1.0"\n' + "".join(
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in packages
    )
    answer = judge(text, name="pylock.toml")
    told = [one["title"] for one in answer.findings("info") if one["id"] == "pin-conflict"]
    assert any("torch==2.13.0 is locked in pylock.toml:" in title for title in told)
    assert all(one["id"] != "pin-conflict" for one in answer.findings("error"))


def test_python_that_the_project_excludes(judge: Judge) -> None:
    text = '[project]\nname = "x"\nrequires-python = ">=3.12"\ndependencies = ["numpy"]\n'
    answer = judge(text, name="pyproject.toml")
    assert problems(answer) == [
        ("pin-python", "pyproject.toml:3 asks for Python >=3.12, not for Python 3.11")
    ]
    assert judge(text, "3.12", name="pyproject.toml").code == 0


def test_the_text_says_what_was_judged(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==2.2.6\ntorch\n", encoding="utf-8")
    answer = doctor(
        "check", "--requirements", "requirements.txt", "--python-version", "3.12",
        "--platform", "windows", cwd=tmp_path,
    )  # fmt: skip
    assert answer.code == 0
    assert "checking requirements.txt (3.12, win32 AMD64)" in answer.out
    assert "torch 2.15.0" in answer.out
    assert "nothing was imported or run" in answer.out
    assert "gpu" not in answer.out


def test_the_target_decides_where_nothing_is_given(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    answer = doctor("check", "--requirements", "requirements.txt", "--format", "json", cwd=tmp_path)
    own = doctor("check", "--level", "1", "--select", "python-version", "--format", "json")
    for key in ("version", "machine", "platform"):
        assert answer.report["target"][key] == own.report["target"][key]


@pytest.mark.parametrize(
    "options",
    [
        ("--python-version", "3.12"),
        ("--requirements", "requirements.txt", "--backend", "torch"),
        ("--requirements", "requirements.txt", "--platform", "amiga"),
        ("--requirements", "requirements.txt", "--python-version", "4"),
        ("--requirements", "missing.txt"),
        ("--requirements", "requirements.txt", "--extra", "tf"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(
    doctor: Doctor, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    answer = doctor("check", *options, cwd=tmp_path)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1


def test_a_constraint_binds_only_what_is_asked_for(judge: Judge) -> None:
    # No release of TensorFlow 2.10 has wheels for 3.11, which matters to nobody here.
    Path("limits.txt").write_text("tensorflow==2.10.0\nnumpy==2.1.0\n", encoding="utf-8")
    answer = judge("-c limits.txt\nmtcnn\n")
    assert [id for id, _ in problems(answer)] == ["mtcnn-missing-backend"]
    for lines in ("mtcnn\ntensorflow\n", "mtcnn[tensorflow]==1.0.0\n"):
        assert problems(judge(f"-c limits.txt\n{lines}"))[0][0].startswith("pin-")
    answer = judge("-c limits.txt\nmtcnn\ntensorflow\n")
    assert "pin-no-wheel" in [id for id, _ in problems(answer)]


def test_nothing_is_said_to_be_installed(judge: Judge) -> None:
    told = [title for _, title in problems(judge("mtcnn==1.0.0\ntorch==2.2.2\nnumpy==2.1.0\n"))]
    assert "mtcnn 1.0.0 would be installed, and TensorFlow not" in told
    assert not any("is installed" in title for title in told)


def test_of_a_release_that_is_not_known_nothing_is_claimed(judge: Judge) -> None:
    answer = judge("mtcnn==9.9.9\n")
    assert problems(answer) == []
    assert "mtcnn 9.9.9" in answer.report["incomplete"][0]
    assert answer.report["verdict"] == "warn"


def test_an_address_says_what_it_takes(judge: Judge) -> None:
    answer = judge("git+https://example.org/timesler/facenet-pytorch.git@v2\n")
    assert problems(answer) == []
    remarks = answer.report["facts"]["declared"]["remarks"]
    assert "takes facenet-pytorch from elsewhere" in remarks[0]


@pytest.mark.parametrize("option", ["--requirements", "--facts"])
def test_what_never_ends_is_not_read(doctor: Doctor, option: str) -> None:
    answer = doctor("check", option, "/dev/zero")
    assert answer.code == 2
    assert answer.err.startswith(f"error: {option} /dev/zero is not a regular file")
    assert len(answer.err.splitlines()) == 1
