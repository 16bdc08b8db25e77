"""Ctrl-C and its kin: exit code 130, and nobody is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import psutil
import pytest

from mtcnn_doctor.report.json_report import schema

from .conftest import Customize

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

HANGING = """
import os, sys, time
if "MTCNN_DOCTOR_CHILD" in os.environ:
    import importlib.abc
    class Hang(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "numpy":
                time.sleep(600)
    sys.meta_path.insert(0, Hang())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupting_leaves_nobody_behind(customize: Customize, tmp_path: Path, name: str) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, **customize(HANGING), "TMPDIR": str(temporary)}
    doctor = subprocess.Popen(
        [sys.executable, "-m", "mtcnn_doctor", "check"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process = psutil.Process(doctor.pid)
    deadline = time.monotonic() + 30
    # Several children hang in the import of NumPy.
    while len(process.children()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = process.children(recursive=True)
    assert len(children) >= 3
    doctor.send_signal(getattr(signal, name))
    out, err = doctor.communicate(timeout=20)
    assert doctor.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    # What was known by then is shown, and what was not is named.
    assert "incomplete: interrupted before numpy" in out
    assert "0 errors" in out
    assert out.rstrip().endswith("Exit 130.")
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", ["bench", "check"])
def test_what_was_measured_before_the_interruption_is_shown(
    customize: Customize, tmp_path: Path, command: str
) -> None:
    """NumPy has finished, ONNX Runtime hangs in its import, which is no fault of its."""
    pytest.importorskip("onnxruntime")
    marker = tmp_path / "hangs"
    environment = {
        **os.environ,
        **customize(
            HANGING.replace('"numpy"', '"onnxruntime"').replace(
                "time.sleep(600)", f"open({str(marker)!r}, 'w').close(); time.sleep(600)"
            )
        ),
    }  # fmt: skip
    options = ["--size", "64x64", "--runs", "1"] if command == "bench" else []
    doctor = subprocess.Popen(
        [sys.executable, "-m", "mtcnn_doctor", command, "--backend", "numpy,onnxruntime",
         "--format", "json", "--keep", str(tmp_path / "kept"), *options],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process = psutil.Process(doctor.pid)
    deadline = time.monotonic() + 60
    # Only the one that hangs is left.
    while (not marker.exists() or len(process.children()) > 1) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    children = process.children(recursive=True)
    assert len(children) == 1
    doctor.send_signal(signal.SIGINT)
    out, err = doctor.communicate(timeout=20)
    assert doctor.returncode == 130, err
    report = json.loads(out)
    jsonschema.validate(report, schema())
    assert [(run["name"], run["outcome"]) for run in report["runs"]] == [("numpy", "ok")]
    assert len(report["runs"][0]["images"]) == 5
    assert report["incomplete"][0].startswith("interrupted before onnxruntime had finished")
    assert not [f for f in report["findings"] if f["severity"] == "error"]
    assert not (tmp_path / "kept").exists()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
