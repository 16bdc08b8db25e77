"""The tutorial, from its first line to its last: a real environment, a kernel that really dies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_doctor.gallery import bundled
from tests.kernel import kernel

from .lines import ROOT, lines
from .test_commands import missing_lines

PAGE = "docs/tutorial.md"

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.environments,
    pytest.mark.skipif(
        sys.platform != "linux" or sys.version_info[:2] != (3, 11), reason="Linux, Python 3.11"
    ),
]


def test_the_tutorial_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    patient = home / "faces"
    subprocess.run([sys.executable, "-m", "venv", patient], check=True)
    packages = re.findall(r"numpy==[\d.]+|onnxruntime==[\d.]+", (ROOT / PAGE).read_text())[:2]
    subprocess.run(
        [patient / "bin" / "python", "-m", "pip", "install", "-q", f"{ROOT}[notebook]", *packages],
        check=True, capture_output=True,
    )  # fmt: skip
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "NO_COLOR": "1"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    spec = home / ".local" / "share" / "jupyter" / "kernels" / "faces"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        f'{{"argv": ["{patient}/bin/python", "-m", "ipykernel_launcher", "-f", '
        '"{connection_file}"], "display_name": "faces", "language": "python"}'
    )
    portrait = next(Path(one.path) for one in bundled() if one.name == "portrait.png")
    shutil.copy(portrait, home / "photo.png")
    (cell,) = re.findall(r"^```python\n(.*?)^```", (ROOT / PAGE).read_text(), re.S | re.M)
    with kernel(home, own, "faces") as running:
        running.run("%load_ext mtcnn_doctor")
        assert running.dies_of(cell) == -11

    checks = iter([1, 0])
    for line in lines(PAGE):
        if (
            not line.shown
            or line.quoted
            or "--bisect" in line.text
            or line.text.split()[1] == "pin"
        ):
            continue
        arguments = [word.replace("~", str(home)) for word in line.doctor or []]
        # The traces are those of the patient, whose doctor is asked for them.
        python = patient / "bin" / "python" if arguments[0] == "jupyter" else sys.executable
        done = subprocess.run(
            [python, "-m", "mtcnn_doctor", *arguments], cwd=home, env=dict(os.environ),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert missing_lines(line.shown, done.stdout) == [], line.place + done.stdout + done.stderr
        if arguments[0] == "check":
            assert done.returncode == next(checks)
    with kernel(home, own, "faces") as running:
        assert "confidence=0.99" in running.run(cell).result["text/plain"]
