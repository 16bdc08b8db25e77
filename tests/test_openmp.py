"""Two real OpenMP runtimes in one process: Intel's, from its package, beside GNU's of torch."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .conftest import AFTER_IMPORT, Customize, Doctor

pytestmark = [
    pytest.mark.environments,
    pytest.mark.skipif(sys.platform != "linux", reason="libraries for Linux"),
]

#: Loads Intel's OpenMP after torch, as a package does that was built with Intel's compiler.
LOADING = (
    AFTER_IMPORT
    + """
import ctypes, os

def patch(module):
    for path in {paths!r}:
        ctypes.CDLL(path).omp_get_max_threads()
    {then}

if "MTCNN_DOCTOR_CHILD" in os.environ:
    after_import("torch", patch)
"""
)


@pytest.fixture(scope="module")
def intel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the paths of two copies of libiomp5.so, as two packages bring them."""
    folder = tmp_path_factory.mktemp("intel")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
         "--disable-pip-version-check", "--only-binary=:all:", "--dest", folder,
         "intel-openmp==2021.4.0"],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/libiomp5.so")]
        library = archive.read(name)
    paths = [folder / "one" / "libiomp5.so", folder / "two" / "libiomp5.so"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(library)
    return [str(path.resolve()) for path in paths]


def loading(paths: list[str], then: str = "pass") -> str:
    return LOADING.replace("{paths!r}", repr(paths)).replace("{then}", then)


CHECK = ("check", "--backend", "torch", "--subject", "none", "--format", "json")


def test_the_second_copy_ends_the_process(
    doctor: Doctor, customize: Customize, intel: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    environment = customize(loading(intel))
    before = set(Path("/dev/shm").glob("__KMP_REGISTERED_LIB_*"))
    answer = doctor(*CHECK, "--keep", tmp_path / "kept", environment=environment)
    run = answer.run("torch")
    if run["outcome"] == "ok":
        # Seen in long test runs: the runtimes themselves let it pass, so there is nothing to find.
        pytest.skip("the two copies of Intel's runtime did not notice each other here")
    assert (run["outcome"], run["signal"], run["exit_code"]) == ("crash", "SIGABRT", 134)
    # One fault, one finding; the death is its consequence.
    (found,) = answer.findings("error")
    assert (found["id"], found["about"]) == ("openmp-duplicates", "torch")
    assert "OMP: Error #15" in found["title"]
    assert found["evidence"]["Intel OpenMP"] == intel
    (gnu,) = found["evidence"]["GNU OpenMP"]
    assert "libgomp" in gnu
    assert "install the packages that bring them from one source" in found["remedy"]["text"]
    assert "GNU OpenMP comes from torch" in found["remedy"]["text"]
    # The runtimes' shared memory, named by the process, outlives a process that is killed.
    assert set(Path("/dev/shm").glob("__KMP_REGISTERED_LIB_*")) <= before
    report = (tmp_path / "kept" / "torch-crash" / "report.md").read_text()
    for path in (*intel, gnu):
        assert path in report


def test_a_pair_that_works_is_a_warning(
    doctor: Doctor, customize: Customize, intel: list[str]
) -> None:
    pytest.importorskip("torch")
    answer = doctor(*CHECK, environment=customize(loading(intel[:1])))
    assert answer.run("torch")["outcome"] == "ok"
    (found,) = answer.findings()
    assert (found["id"], found["severity"]) == ("openmp-duplicates", "warning")
    assert found["evidence"]["Intel OpenMP"] == intel[:1]
    assert answer.code == 0


def test_a_crash_beside_a_pair_has_a_suspect(
    doctor: Doctor, customize: Customize, intel: list[str]
) -> None:
    """The null is dereferenced by somebody else: the pair is not called the cause."""
    pytest.importorskip("torch")
    answer = doctor(*CHECK, environment=customize(loading(intel[:1], "ctypes.string_at(0)")))
    assert {f["id"] for f in answer.findings("error")} == {"backend-crash", "openmp-duplicates"}
    (found,) = [f for f in answer.findings("error") if f["id"] == "openmp-duplicates"]
    assert "suspect, not a proven cause" in found["effect"]
    assert found["evidence"]["Intel OpenMP"] == intel[:1]
