"""``bench --bisect`` searches import errors that depend on what else is in the process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtcnn_doctor.knowledge import curable, library_in

from .conftest import AFTER_IMPORT, Answer, Customize, Doctor
from .test_search import PORTRAIT, Plant, cure, plant, searched

__all__ = ["plant"]  # a fixture

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="static TLS of glibc"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

#: More thread-local room than the loader keeps for libraries that are loaded late (about 2 KiB).
SOURCE = """
static __thread char room[4000] __attribute__((tls_model("initial-exec")));
char *place(int i) { return &room[i]; }
"""
#: onnxruntime loads the library first of all, as frameworks load their libgomp.
LOADING = (
    AFTER_IMPORT
    + """
import ctypes, os

class Before(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "onnxruntime" and {condition}:
            try:
                ctypes.CDLL({path!r})
            except OSError as error:
                raise ImportError(str(error))

if "MTCNN_DOCTOR_CHILD" in os.environ:
    sys.meta_path.insert(0, Before())
"""
)


@pytest.fixture
def library(tmp_path: Path) -> str:
    """Compile a library whose thread-local variables do not fit in late."""
    (tmp_path / "room.c").write_text(SOURCE)
    path = tmp_path / "libroom.so.1"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", path, tmp_path / "room.c"], check=True, timeout=60
    )
    tried = subprocess.run(
        [sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(path)!r})"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "static TLS" not in tried.stderr:
        pytest.skip("this C library has room for it")
    return str(path)


def loading(path: str, condition: str = "True") -> str:
    return LOADING.replace("{path!r}", repr(path)).replace("{condition}", condition)


def bisect(doctor: Doctor, *options: Any) -> Answer:
    return doctor(
        "bench", "--backend", "onnxruntime", "--bisect", "--source", PORTRAIT, "--size", "160x160",
        "--runs", "1", "--warmup", "0", "--format", "json", *options,
    )  # fmt: skip


def test_static_tls_is_cured_by_preloading(doctor: Doctor, plant: Plant, library: str) -> None:
    pytest.importorskip("onnxruntime")
    answer = bisect(doctor, *plant(loading(library)))
    entry = searched(answer)
    # It is no want of memory, though it says so.
    assert answer.run("onnxruntime")["outcome"] == "not-loadable"
    assert entry["verdict"] == "found"
    assert cure(entry) == ["preload-library"]
    (change,) = entry["answer"]["changes"]
    assert change["code"] == f"export LD_PRELOAD={library}"
    (failure,) = [f for f in answer.findings("error") if f["id"] == "import-failure"]
    assert failure["evidence"]["known error"] == "static-tls"
    assert "--bisect" not in failure["remedy"]["text"]


def test_static_tls_after_another_import(doctor: Doctor, plant: Plant, library: str) -> None:
    """It works alone, and fails when cv2 was imported first: the order of two lines."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("cv2")
    answer = bisect(doctor, *plant(loading(library, "'cv2' in sys.modules")))
    entry = searched(answer)
    assert answer.run("onnxruntime")["outcome"] == "ok"
    assert entry["provoked_by"] == "after-cv2"
    assert cure(entry) == ["framework-first"]
    assert "import-order" in [f["id"] for f in answer.findings("error")]


def test_check_offers_the_search(doctor: Doctor, customize: Customize, library: str) -> None:
    pytest.importorskip("onnxruntime")
    answer = doctor("check", "--backend", "onnxruntime", environment=customize(loading(library)))
    said = " ".join(answer.out.split())
    assert " bench --backend onnxruntime --bisect" in said
    assert "memory limit" not in said


def test_what_is_missing_is_not_searched(doctor: Doctor, plant: Plant) -> None:
    pytest.importorskip("onnxruntime")
    answer = bisect(doctor, *plant(loading("/nowhere/libroom.so.1")))
    assert answer.run("onnxruntime")["outcome"] == "not-loadable"
    assert searched(answer)["verdict"] == "not-searched"
    assert answer.code == 1


def test_numpy_itself(doctor: Doctor, plant: Plant) -> None:
    """Nothing can be decoded before the cure is known: the images come with it."""
    code = AFTER_IMPORT + (
        "import ctypes, os\n"
        "def patch(module):\n"
        "    if os.environ.get('PYTHONNOUSERSITE') != '1':\n"
        "        ctypes.string_at(0)\n"
        "if 'MTCNN_DOCTOR_CHILD' in os.environ:\n"
        "    after_import('numpy', patch)\n"
    )
    answer = doctor(
        "bench", "--backend", "numpy", "--bisect", "--source", PORTRAIT, "--size", "160x160",
        "--runs", "1", "--warmup", "0", "--format", "json", *plant(code),
    )  # fmt: skip
    entry = searched(answer)
    assert entry["fault"]["stage"] == "import"
    assert entry["verdict"] == "found"
    assert cure(entry) == ["no-user-site"]


IMPORTING = (
    "bench",
    "--backend",
    "numpy",
    "--source",
    PORTRAIT,
    "--size",
    "160x160",
    "--runs",
    "1",
)


def test_a_module_that_is_not_there(doctor: Doctor) -> None:
    answer = doctor(*IMPORTING, "--import-first", "no_such_module")
    assert answer.code == 2
    assert "--import-first no_such_module: no module no_such_module in the target" in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_a_module_that_does_not_load(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "half_installed.py").write_text("import what_it_lacks\n")
    answer = doctor(
        *IMPORTING, "--import-first", "half_installed", environment={"PYTHONPATH": str(tmp_path)}
    )
    assert answer.code == 1
    said = " ".join(answer.out.split())
    assert "after import half_installed" in said
    assert "import-first-failure half_installed, which is to be imported first, fails" in said
    assert "No module named 'what_it_lacks'" in said


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("ImportError: /env/libgomp.so.1: cannot allocate memory in static TLS block", True),
        ("ImportError: /env/_C.so: undefined symbol: _ZN3c104warnE", True),
        ("ImportError: /lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found", True),
        ("OSError: [WinError 1114] A DLL initialization routine failed.", True),
        ("ModuleNotFoundError: No module named 'onnxruntime'", False),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file", False),
        ("ImportError: numpy.core.multiarray failed to import", False),
        ("ImportError: /lib/libm.so.6: version `GLIBC_2.38' not found", False),
    ],
)  # fmt: skip
def test_which_import_errors_are_searched(message: str, expected: bool) -> None:
    assert curable(message) is expected


def test_the_library_of_an_error() -> None:
    assert library_in("OSError: /env/libgomp-d2.so.1.0.0: cannot") == "/env/libgomp-d2.so.1.0.0"
    assert library_in("ModuleNotFoundError: No module named 'torch'") == ""
    # A path that LD_PRELOAD could not take is not offered.
    assert library_in("ImportError: /a b/x.libs/libgomp-d2.so.1.0.0: cannot") == ""
