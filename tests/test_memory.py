"""Deaths by memory, made for real: limits of the process, and the kernel's own killer."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
import uuid
import zlib
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


def test_what_fits_under_a_limit_is_told_before_anything_is_run(doctor: Doctor) -> None:
    """512 MiB of address space: PyTorch does not even load, and NumPy does all there is to do."""
    pytest.importorskip("torch")
    answer = doctor(
        "check", "--level", "1", "--backend", "torch", "--backend", "numpy", "--format", "json",
        prefix=["sh", "-c", 'ulimit -v 524288; exec "$@"', "sh"],
    )  # fmt: skip
    assert answer.code == 1, answer.err
    [finding] = answer.findings("error")
    assert finding["id"] == "ram-headroom"
    assert "torch" in finding["evidence"]
    assert "numpy" not in finding["evidence"]
    assert "use a detector that takes less (numpy)" in finding["remedy"]["text"].lower()


def test_an_image_too_large_for_a_control_group(
    doctor: Doctor, cgroup: Path, tmp_path: Path
) -> None:
    """The image named as the largest that fits goes through under the same limit."""
    image = black_png(tmp_path / "large.png", 9000, 6000)
    enter = ["sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh"]
    answer = doctor(
        "check", "--level", "1", "--backend", "numpy", "--image", image, "--format", "json",
        prefix=enter,
    )  # fmt: skip
    [finding] = answer.findings("error")
    assert finding["id"] == "ram-headroom"
    assert "the control group" in finding["evidence"]["may be used"]
    fits = re.search(r"fits up to (\d+)x(\d+)", finding["evidence"]["numpy"])
    assert fits is not None
    width, height = map(int, fits.groups())
    assert 1000 < width < 9000
    # The doctor and the child that decodes the image are in the same group.
    image = black_png(tmp_path / "fits.png", width * 8 // 10, height * 8 // 10)
    answer = doctor("check", "--backend", "numpy", "--image", image, "--format", "json",
                    prefix=enter)  # fmt: skip
    assert answer.run("numpy")["outcome"] == "ok", answer.err
    assert LIMIT / 3 < answer.run("numpy")["peak_rss_mb"] * 2**20 < LIMIT


def black_png(path: Path, width: int, height: int) -> Path:
    """Write a black image, row by row."""
    squeeze = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    data = b"".join([*(squeeze.compress(row) for _ in range(height)), squeeze.flush()])
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        for name, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + name + body)
            file.write(struct.pack(">I", zlib.crc32(name + body)))
    return path


def test_a_small_dev_shm(doctor: Doctor) -> None:
    """Mounted for real, in a mount namespace of its own."""
    small = "mount -t tmpfs -o size=1m tmpfs /dev/shm"
    enter = ["unshare", "--mount", "sh", "-c", f'{small} && exec "$@"', "sh"]
    try:
        able = subprocess.run([*enter, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        able = False
    if not able:
        pytest.skip("no file system can be mounted here")
    answer = doctor(
        "check", "--level", "1", "--select", "shm-size", "--format", "json", prefix=enter
    )
    [finding] = answer.findings()
    assert (finding["id"], finding["severity"]) == ("shm-size", "warning")
    assert answer.report["facts"]["memory"]["shm_total"] == 2**20
    assert doctor("check", "--level", "1", "--select", "shm-size").code == 0


def test_the_prediction_holds_for_a_real_process() -> None:
    """The benchmark itself ends with an error where a prediction is off by more than 15 %."""
    script = Path(__file__).parent.parent / "benchmarks" / "memory.py"
    done = subprocess.run(
        [sys.executable, script, "--contender", "numpy", "--case", "1920x1080,20,0.709",
         "--case", "3000x2000,40,0.709"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("numpy") == 2
