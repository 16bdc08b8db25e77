"""Deaths by memory, made for real: limits of the process, and the kernel's own killer."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Doctor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cgroups")

LIMIT = 400 * 2**20

EATING = """
import os
class InferenceSession:
    def __init__(self, *a, **k):
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 16)) * 256)
module.InferenceSession = InferenceSession
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A memory cgroup of its own with a limit, v1 or v2, where this machine allows one."""
    name = f"mtcnn-doctor-test-{uuid.uuid4().hex[:8]}"
    for mount, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        if not (mount / "cgroup.procs").exists():
            continue
        folder = mount / name
        try:
            folder.mkdir()
            (folder / limit).write_text(str(LIMIT))
        except OSError:
            continue
        if not (folder / limit).exists():
            folder.rmdir()
            continue
        yield folder
        for _ in range(50):
            try:
                folder.rmdir()
                break
            except OSError:
                time.sleep(0.1)
        return
    pytest.skip("no memory cgroup can be made here")


def test_the_kernels_own_killer_is_named(doctor: Doctor, patch_module, cgroup: Path) -> None:
    pytest.importorskip("onnxruntime")
    enter = ["sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh"]
    answer = doctor(
        "check", "--backend", "numpy", "--backend", "onnxruntime", "--format", "json",
        environment=patch_module("onnxruntime", EATING),
        prefix=enter,
    )  # fmt: skip
    assert answer.code == 1, answer.err
    run = answer.run("onnxruntime")
    assert (run["outcome"], run["signal"], run["exit_code"]) == ("out-of-memory", "SIGKILL", 137)
    assert "oom_kill count rose" in run["reason"]
    assert run["peak_rss_mb"] > 100
    assert answer.run("numpy")["outcome"] == "ok"
    errors = answer.findings("error")
    assert [f["id"] for f in errors] == ["backend-out-of-memory"]
    # What the limit is, is told as well.
    assert answer.report["facts"]["memory"]["cgroup_limit"] == LIMIT
    assert "container-memory-limit" in [f["id"] for f in answer.findings("warning")]


def test_an_address_space_limit_at_import(doctor: Doctor) -> None:
    """``ulimit -v`` so low that a framework cannot even be mapped."""
    pytest.importorskip("torch")
    limit = "ulimit -v 400000"
    answer = doctor(
        "check", "--backend", "torch", "--format", "json",
        prefix=["sh", "-c", f'{limit}; exec "$@"', "sh"],
        environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert answer.code == 1, answer.err
    assert answer.run("torch")["outcome"] == "out-of-memory"
    assert [f["id"] for f in answer.findings("error")] == ["backend-out-of-memory"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX")
def test_numbers_of_memory_are_plausible(doctor: Doctor) -> None:
    answer = doctor("check", "--level", "1", "--format", "json")
    memory = answer.report["facts"]["memory"]
    assert 2**27 < memory["available"] <= memory["total"]
