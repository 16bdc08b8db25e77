"""Ctrl-C and its kin: exit code 130, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

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
    assert out == ""
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert list(temporary.iterdir()) == []
