"""The notebook extension in real kernels: one kernel, many cells."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kernel import Kernel, kernel

REPORT = "application/vnd.mtcnn-doctor.report+json"
#: What must not come into the kernel by a magic.
PATIENTS = ("numpy", "cv2", "torch", "tensorflow", "onnxruntime", "openvino")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A notebook with the extension loaded, and a package of which the version changes."""
    folder = tmp_path_factory.mktemp("notebook")
    site = folder / "site"
    (site / "sklearn").mkdir(parents=True)
    (site / "sklearn" / "__init__.py").write_text("__version__ = '0.1.0'\n")
    _metadata(site, "0.1.0")
    # A file that would hide a module of the standard library from whoever starts here.
    (folder / "random.py").write_text("raise SystemExit('the notebook folder was imported')\n")
    variables = {"PYTHONPATH": str(site), "JUPYTER_DATA_DIR": str(folder / "none")}
    with kernel(folder, variables) as running:
        loaded = running.run("import sys, os; sys.path.remove('')\n%load_ext mtcnn_doctor")
        assert loaded.status == "ok", loaded
        yield running


def _metadata(site: Path, version: str) -> None:
    for old in site.glob("scikit_learn-*"):
        shutil.rmtree(old)
    info = site / f"scikit_learn-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: scikit-learn\nVersion: {version}\n"
    )


def test_a_report_is_an_object(page: Kernel) -> None:
    cell = page.run("report = %mtcnn_doctor check --level 1\nreport")
    assert cell.status == "ok", cell
    # The file that was put there, and nothing else.
    assert "Exit 1." in cell.result["text/plain"]
    assert "<code>module-shadowed</code>" in cell.result["text/html"]
    assert "<script" not in cell.result["text/html"]
    problems = [f for f in cell.result[REPORT]["findings"] if f["severity"] in ("error", "warning")]
    assert [(f["id"], f["about"]) for f in problems] == [("module-shadowed", "random")]
    cell = page.run(f"print([m for m in {PATIENTS} if m in sys.modules], report.verdict)")
    assert cell.stdout == "[] fail\n"


def test_options_are_those_of_the_command(page: Kernel) -> None:
    cell = page.run("%mtcnn_doctor check --levle 1")
    assert cell.status == "error"
    assert "No such option: --levle" in cell.stderr
    assert "Traceback" not in cell.stderr
    shown = page.run("%mtcnn_doctor explain numpy-abi").result
    assert "## How to fix it" in shown["text/plain"]
    cell = page.run("%mtcnn_doctor check --level 1 --format json")
    assert json.loads(page.run("print(_.text)").stdout)["schema_version"] == 1


def test_completion(page: Kernel) -> None:
    assert page.complete("%mtcnn_doctor ch") == ["check"]
    assert page.complete("%mtcnn_doctor check --lev") == ["--level"]
    assert page.complete("%mtcnn_doctor check --format j") == ["json", "junit"]
    assert page.complete("%mtcnn_doctor bench --backend onn") == ["onnxruntime"]
    assert page.complete("%mtcnn_doctor jupyter la") == ["last-crash"]
    assert "numpy-abi" in page.complete("%mtcnn_doctor explain numpy-a")
    assert "--notebook" not in page.complete("%mtcnn_doctor check --no")


def test_a_stale_module_and_a_variable_set_too_late(page: Kernel) -> None:
    page.run("import sklearn, numpy")
    report = page.run("%mtcnn_doctor check --level 1 --select jupyter").result[REPORT]
    assert report["verdict"] == "pass"
    order = [row["module"] for row in report["facts"]["notebook"]["imported"]]
    assert order[:2] == ["sklearn", "numpy"]
    site = Path(page.run("print(sklearn.__path__[0])").stdout.strip()).parent
    _metadata(site, "1.0.0")
    cell = page.run(
        "os.environ['OMP_NUM_THREADS'] = '3'\n%mtcnn_doctor check --level 1 --select jupyter"
    )
    found = {f["id"]: f for f in cell.result[REPORT]["findings"] if f["severity"] == "warning"}
    assert set(found) == {"notebook-stale-module", "notebook-import-order"}
    stale = found["notebook-stale-module"]
    assert (stale["about"], stale["evidence"]["on disk"]) == ("sklearn", "1.0.0")
    assert found["notebook-import-order"]["about"] == "OMP_NUM_THREADS"
    page.run("del os.environ['OMP_NUM_THREADS']")


def test_the_stop_button_ends_the_children(page: Kernel, tmp_path: Path) -> None:
    # A backend that hangs while it is imported.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\n"
        "class Hang:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'onnxruntime': time.sleep(600)\n"
        "sys.meta_path.insert(0, Hang())\n"
    )
    page.run(f"os.environ['PYTHONPATH'] = {str(tmp_path)!r}")
    stop = threading.Timer(6, page.stop)
    stop.start()
    cell = page.run("%mtcnn_doctor check --backend onnxruntime --timeout 300")
    stop.cancel()
    assert cell.error.startswith("KeyboardInterrupt")
    # What was known by then is shown all the same.
    report = next(shown[REPORT] for shown in cell.shown if REPORT in shown)
    assert any("interrupted" in reason for reason in report["incomplete"])
    assert page.run("print(6 * 7)").stdout == "42\n"
    assert _children_of(page) == []


def _children_of(page: Kernel) -> list[str]:
    """Return the processes below the kernel, after a moment to go."""
    psutil = pytest.importorskip("psutil")
    number = int(page.run("print(os.getpid())").stdout)
    for _ in range(50):
        left = [str(p) for p in psutil.Process(number).children(recursive=True)]
        if not left:
            break
        time.sleep(0.1)
    return left


def test_load_and_unload(page: Kernel) -> None:
    assert page.run("%reload_ext mtcnn_doctor").status == "ok"
    page.run("%unload_ext mtcnn_doctor")
    assert "not found" in page.run("%mtcnn_doctor list").stderr
    assert page.run("%load_ext mtcnn_doctor").status == "ok"
    assert "numpy-abi" in page.run("%mtcnn_doctor list").result["text/plain"]


def test_in_a_terminal(tmp_path: Path) -> None:
    ipython = pytest.importorskip("IPython")
    assert ipython
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "-c",
         "%load_ext mtcnn_doctor\n%mtcnn_doctor check --level 1"],
        env={**os.environ, "IPYTHONDIR": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Exit 0." in done.stdout, done.stderr
