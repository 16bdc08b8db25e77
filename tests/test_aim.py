"""Remedies name the interpreter that was examined."""

from __future__ import annotations

import sys

import pytest

from mtcnn_doctor.aim import aimed
from mtcnn_doctor.model import error

FINDING = error("x", fix="y", commands=('pip install "numpy<2"', "unset PYTHONPATH"))


@pytest.mark.parametrize(
    ("python", "installed", "command"),
    [
        ("/venv/bin/python", ["pip"], '/venv/bin/python -m pip install "numpy<2"'),
        ("/my venv/bin/python", ["pip"], "'/my venv/bin/python' -m pip install \"numpy<2\""),
        ("/venv/bin/python", ["numpy"], 'uv pip install --python /venv/bin/python "numpy<2"'),
        ("/venv/bin/python", [], '/venv/bin/python -m pip install "numpy<2"'),
    ],
)
def test_pip_is_the_pip_of_the_target(python: str, installed: list[str], command: str) -> None:
    packages = {"distributions": [{"key": key} for key in installed]}
    (finding,) = aimed([FINDING], python, packages)
    assert finding.remedy is not None
    assert finding.remedy.commands == (command, "unset PYTHONPATH")


@pytest.mark.parametrize(
    ("command", "python", "start"),
    [
        ((), sys.executable, "mtcnn-doctor bench --backend"),
        (("mtcnn-doctor", "check", "-q"), sys.executable, "mtcnn-doctor bench --backend"),
        ((".venv/bin/mtcnn-doctor", "check", "--timeout", "7"), sys.executable,
         ".venv/bin/mtcnn-doctor bench --timeout 7 --backend"),
        (("/p", "-m", "mtcnn_doctor", "bench", "--timeout=7"), "/q",
         "/p -m mtcnn_doctor bench --timeout 7 --python /q --backend"),
    ],
)  # fmt: skip
def test_the_next_command_is_started_as_this_one(
    command: tuple[str, ...], python: str, start: str
) -> None:
    finding = error("x", fix="next: mtcnn-doctor bench --backend numpy --bisect")
    (found,) = aimed([finding], python, {}, command)
    assert found.remedy is not None
    assert found.remedy.text == f"next: {start} numpy --bisect"
