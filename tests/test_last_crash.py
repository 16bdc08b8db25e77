"""``jupyter last-crash``: kernels that really die, and what is known of it afterwards."""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import pytest

from .conftest import Doctor
from .kernel import kernel

LOAD = "%load_ext mtcnn_doctor\nimport numpy as np"
NULL = "image = np.ones(3)\nimport ctypes\ndef read():\n    ctypes.string_at(0)\nread()"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_a_kernel_that_died_gets_a_cause(tmp_path: Path, doctor: Doctor) -> None:
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    answer = doctor("jupyter", "last-crash", environment=variables)
    assert answer.code == 0
    assert "%load_ext mtcnn_doctor" in answer.err

    with kernel(tmp_path, variables) as running:
        assert running.run(LOAD).status == "ok"
        assert running.dies_of(NULL) == -signal.SIGSEGV
    answer = doctor("jupyter", "last-crash", "--format", "json", environment=variables)
    assert answer.code == 1
    (finding,) = answer.findings()
    assert finding["id"] == "kernel-died"
    assert "died of SIGSEGV while a cell ran" in finding["title"]
    frames = finding["evidence"]["python frames"]
    assert frames[0].endswith("string_at")
    assert frames[1].endswith(":4 read")
    assert not any("interactiveshell" in frame for frame in frames)
    assert "ctypes.string_at(0)" in "\n".join(finding["evidence"]["cell"])
    assert "numpy" in finding["evidence"]["imported"]
    assert "MiB" in finding["evidence"]["memory"]

    # A bug report of today holds it, unless that is not wanted.
    command = ("report", "--level", "1", "--yes", "--quiet", "--output")
    assert doctor(*command, tmp_path / "with", environment=variables).code == 0
    packed = zipfile.ZipFile(tmp_path / "with.zip")
    assert "died of SIGSEGV while a cell ran" in packed.read("kernel-crash.md").decode()
    assert "ctypes.string_at(0)" in packed.read("kernel-crash.json").decode()
    bare = (*command, tmp_path / "bare", "--no-kernel-crash")
    assert doctor(*bare, environment=variables).code == 0
    assert set(zipfile.ZipFile(tmp_path / "bare.zip").namelist()) == {"report.md", "report.json"}

    # Another one, killed from outside, which leaves no word; the last death comes first.
    with kernel(tmp_path, variables) as running:
        assert running.run(LOAD).status == "ok"
        assert running.dies_of("import os; os.kill(os.getpid(), 9)") == -signal.SIGKILL
    answer = doctor("jupyter", "last-crash", environment=variables)
    assert "ended without a word while a cell ran" in answer.out
    listed = doctor("jupyter", "last-crash", "--list", environment=variables)
    assert [line.split()[3] for line in listed.out.splitlines()] == ["without", "Segmentation"]
    answer = doctor("jupyter", "last-crash", "--pid", "1", environment=variables)
    assert answer.code == 2
    assert "--list" in answer.err

    # One that ends on purpose leaves nothing, and one that lives is not dead.
    with kernel(tmp_path, variables) as running:
        assert running.run(LOAD).status == "ok"
        again = doctor("jupyter", "last-crash", "--list", environment=variables)
        assert again.out == listed.out
        running.run("%unload_ext mtcnn_doctor")
        assert len(list((tmp_path / "cache/mtcnn-doctor/kernels").iterdir())) == 2
