"""Backends that other distributions bring: the documented one, installed and run for real."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import Doctor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links, POSIX signals")

DOCS = Path(__file__).resolve().parent.parent / "docs" / "write-a-backend.md"


def documented(language: str) -> str:
    """The code block of that language under "A backend of your own"."""
    text = DOCS.read_text(encoding="utf-8").partition("# How to write a backend")[2]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return block


def brought(tmp_path: Path, name: str, entry: str, module: str, code: str) -> dict[str, str]:
    """Install a module with an entry point by hand; returns the variables that let it be found."""
    site = tmp_path / "site"
    info = site / f"{name}-0.1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[mtcnn_doctor.backends]\n{entry}\n")
    (site / f"{module}.py").write_text(textwrap.dedent(code))
    return {"PYTHONPATH": str(site)}


def numpy_only(tmp_path: Path) -> Path:
    """An environment that sees NumPy and nothing else of the field."""
    numpy = pytest.importorskip("numpy")
    environment = tmp_path / "numpy-only"
    venv.create(environment, with_pip=False)
    site = next(environment.glob("lib/python*/site-packages"))
    for path in Path(numpy.__file__).parent.parent.iterdir():
        if path.name.lower().startswith("numpy"):
            (site / path.name).symlink_to(path)
    return environment


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The documented plug-in, built and installed by pip into a folder of its own."""
    pytest.importorskip("torch")
    # Not imported: it does not get on with a distutils that others have loaded.
    if find_spec("setuptools") is None:
        pytest.skip("needs setuptools")
    source = tmp_path_factory.mktemp("plugin")
    (source / "pyproject.toml").write_text(documented("toml"))
    (source / "mtcnn_torchscript.py").write_text(documented("python"))
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
            "--no-build-isolation", "--target", site, source,
        ],
        check=True, timeout=300,
    )  # fmt: skip
    return {"PYTHONPATH": str(site)}


def test_the_documented_backend_is_short() -> None:
    assert len(documented("python").splitlines()) < 60


def test_check_runs_the_documented_backend(doctor: Doctor, torchscript: dict[str, str]) -> None:
    answer = doctor(
        "check", "--backend", "numpy", "--backend", "torchscript", "--format", "json",
        environment=torchscript,
    )  # fmt: skip
    assert answer.findings() == []
    run = answer.run("torchscript")
    assert (run["outcome"], run["version"]) == ("ok", "0.1")
    assert run["agreement"]["agrees"]
    assert run["agreement"]["matched"] == answer.run("numpy")["agreement"]["matched"]


@pytest.mark.exhaustive
def test_bench_measures_the_documented_backend(doctor: Doctor, torchscript: dict[str, str]) -> None:
    answer = doctor("bench", "--backend", "torchscript", "--runs", "2", environment=torchscript)
    assert answer.code == 0
    assert "torchscript 0.1" in answer.out


def test_a_plugin_that_cannot_be_imported_is_a_finding(doctor: Doctor, tmp_path: Path) -> None:
    found = brought(tmp_path, "broken", "broken = broken_backend:create", "broken_backend", """
        import no_such_library
        """)  # fmt: skip
    answer = doctor(
        "check", "--backend", "numpy", "--backend", "broken", "--format", "json",
        environment=found,
    )  # fmt: skip
    (problem,) = answer.findings()
    assert (problem["id"], problem["about"]) == ("backend-plugin", "broken")
    assert "No module named 'no_such_library'" in problem["title"]
    assert answer.run("broken")["outcome"] == "not-loadable"
    assert answer.run("numpy")["outcome"] == "ok"
    assert answer.code == 1


@pytest.mark.parametrize(
    ("body", "outcome", "finding"),
    [
        ("raise RuntimeError('no licence')", "error", "backend-error"),
        ("import os; os.abort()", "crash", "backend-crash"),
    ],
)
def test_a_plugin_that_fails_ends_nothing_else(
    doctor: Doctor, tmp_path: Path, body: str, outcome: str, finding: str
) -> None:
    found = brought(tmp_path, "failing", "failing = failing:create", "failing", f"""
        def create(weights, device="cpu", threads=None, lanes=1):
            {body}
        """)  # fmt: skip
    answer = doctor(
        "check", "--backend", "numpy", "--backend", "failing", "--format", "json",
        environment=found,
    )  # fmt: skip
    assert [(f["id"], f["about"]) for f in answer.findings()] == [(finding, "failing")]
    assert answer.run("failing")["outcome"] == outcome
    assert answer.run("numpy")["outcome"] == "ok"


def test_a_plugin_is_run_unasked_and_its_answers_are_checked(
    doctor: Doctor, tmp_path: Path
) -> None:
    found = brought(tmp_path, "wrong", "wrong = wrong:create", "wrong", """
        import numpy

        class Networks:
            def pnet(self, x):
                cells = [(n - 1) // 2 - 4 for n in x.shape[2:]]
                return numpy.zeros((1, 2, *cells)), numpy.zeros((1, 4, *cells))
            def rnet(self, x):
                return numpy.zeros((len(x), 2)), numpy.zeros((len(x), 4))
            def onet(self, x):
                return (*self.rnet(x), numpy.zeros((len(x), 10)))

        def create(weights, device="cpu", threads=None, lanes=1):
            return Networks()
        """)  # fmt: skip
    answer = doctor(
        "check", "--python", numpy_only(tmp_path), "--format", "json", environment=found
    )
    assert answer.run("numpy")["outcome"] == "ok"
    assert answer.run("torch")["outcome"] == "not-installed"
    assert [(f["id"], f["about"]) for f in answer.findings()] == [("backend-wrong-result", "wrong")]
    assert answer.run("wrong")["divergence"]["stage"] == "pnet"


def test_a_plugin_does_not_take_the_name_of_a_built_in_backend(
    doctor: Doctor, tmp_path: Path
) -> None:
    found = brought(tmp_path, "taker", "numpy = taker:create", "taker", "raise RuntimeError")
    answer = doctor("check", "--backend", "numpy", "--format", "json", environment=found)
    (problem,) = answer.findings()
    assert (problem["id"], problem["severity"]) == ("backend-plugin", "warning")
    assert "taker brings a backend named numpy" in problem["title"]
    assert answer.run("numpy")["outcome"] == "ok"


def test_an_unknown_backend_is_told_the_names_there_are(doctor: Doctor, tmp_path: Path) -> None:
    found = brought(tmp_path, "extra", "extra = extra:create", "extra", "")
    answer = doctor("check", "--backend", "caffe", environment=found)
    assert answer.code == 2
    assert answer.err.startswith("error: no backend 'caffe'; there are numpy, ")
    assert answer.err.strip().endswith(", extra")
