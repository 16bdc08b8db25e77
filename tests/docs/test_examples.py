"""The examples of write-a-check.md, taken from the page and used as it says.

Those of write-a-backend.md and write-a-subject.md are in tests/test_plugin_*.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Doctor

from .lines import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the files of the page under the names that it gives them."""
    text = (ROOT / "docs" / "write-a-check.md").read_text(encoding="utf-8")
    check, test = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (settings,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "our_checks.py").write_text(check)
    (tmp_path / "mtcnn-doctor.toml").write_text(settings)
    (tmp_path / "test_our_checks.py").write_text(test)
    return tmp_path


def test_the_check_is_loaded_fires_and_is_explained(project: Path, doctor: Doctor) -> None:
    few = doctor(
        "check", "--level", "1", "--select", "our-service-threads",
        cwd=project, environment={"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    shown = "  our-service-threads  OMP_NUM_THREADS is 1, and the service starts 4 threads  [error]"
    assert (few.code, shown in few.out) == (1, True)
    page = (ROOT / "docs" / "write-a-check.md").read_text(encoding="utf-8")
    assert shown in page
    explained = doctor("explain", "our-service-threads", cwd=project)
    assert (explained.code, "our handbook" in explained.out) == (0, True)


def test_its_own_tests_pass(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_our_checks.py"],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr
