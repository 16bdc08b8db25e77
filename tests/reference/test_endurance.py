"""Memory and traces over many images of different sizes, each backend in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_doctor.target.reference import networks

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "endurance.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("backend", networks.BACKENDS)
def test_memory_does_not_grow_with_the_number_of_images(backend, tmp_path):
    note = tmp_path / "note.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--backend", backend, "--images", "60", "--json", note],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 2 and "installed" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    found = json.loads(note.read_text(encoding="utf-8"))[backend]
    # Frameworks keep what they prepared for a size, up to a limit: up to 56 MB have been seen. A
    # leaked graph, image or result for each size is several megabytes an image.
    after_20, after_60 = found["rss_mb"]["20"], found["rss_mb"]["60"]
    assert after_60 - after_20 < 100
    assert found["traces"] in (None, {"pnet": 1, "rnet": 1, "onet": 1})
