"""``fix --apply`` in real environments of small wheels: mended, taken back, interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Doctor
from .matrix_wheels import wheel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX environment")

TWO_OPENCVS = (("opencv_python", "4.11.0.86"), ("opencv_python_headless", "4.10.0.84"))

#: Does something in the installer's real installations, which rehearsals and restorations are not.
IN_INSTALLATIONS = """
import sys
words = sys.orig_argv
if "install" in words and not {{"--dry-run", "--force-reinstall"}} & set(words):
    {}
"""


@dataclass(frozen=True)
class Patient:
    """An environment of small wheels, and the variables that make installers find no others."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def install(self, *wheels: str) -> None:
        """Unpack wheels, which is quicker than an installer and comes to the same."""
        for name in wheels:  # one after the other: who comes last has its files there
            (path,) = Path(self.variables["PIP_FIND_LINKS"]).glob(f"{name}-*.whl")
            with zipfile.ZipFile(path) as archive:
                archive.extractall(self.site)
            record = next(self.site.glob(f"{name}-*.dist-info")) / "RECORD"
            os.utime(record, (self.clock(), self.clock()))

    def clock(self) -> float:
        """A later time at each installation, however coarse the clock of the files is."""
        return 1e9 + 10 * len(list(self.site.glob("*.dist-info")))

    def state(self) -> dict[str, str]:
        """The files of the packages with their text, and the names of what is installed."""
        return {
            str(path.relative_to(self.site)): path.read_text("utf-8") if path.is_file() else ""
            for path in (*self.site.glob("*/*.py"), *self.site.iterdir())
            if path.parent.name not in ("pip", "__pycache__") and path.name != "__pycache__"
        }


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """An environment with pip (the tests' own, copied) and an index that is a folder of wheels."""
    import venv

    import pip

    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "empty").mkdir()
    made = Patient(
        folder,
        {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path / "wheels"),
            "UV_DEFAULT_INDEX": (tmp_path / "empty").as_uri(),
            "UV_FIND_LINKS": str(tmp_path / "wheels"),
            "UV_CACHE_DIR": str(tmp_path / "uv"),
            "XDG_CACHE_HOME": str(tmp_path / "xdg"),
        },
    )
    source = Path(pip.__file__).parent
    for path in (source, *source.parent.glob("pip-*.dist-info")):
        shutil.copytree(path, made.site / path.name)
    for name, version in TWO_OPENCVS:
        files = {"cv2/__init__.py": f"__version__ = '{version}'\n", f"cv2/{name}.py": ""}
        wheel(tmp_path / "wheels", name, version, files=files)
    wheel(tmp_path / "wheels", "numpy", "2.2.6", files={"numpy/__init__.py": "new = True\n"})
    made.install("numpy")
    return made


@pytest.fixture
def two_opencvs(patient: Patient) -> Patient:
    """Two OpenCV distributions that own the same files; the desktop one came last."""
    patient.install("opencv_python_headless", "opencv_python")
    return patient


def fix(
    doctor: Doctor, patient: Patient, *arguments: str | Path
) -> tuple[int, dict[str, Any], str]:
    answer = doctor(
        "fix", "--python", patient.folder, "--level", "1", "--format", "json", *arguments,
        environment=patient.variables,
    )  # fmt: skip
    return answer.code, json.loads(answer.out), answer.err


def test_two_opencvs_become_one_and_two_again(doctor: Doctor, two_opencvs: Patient) -> None:
    patient = two_opencvs
    before = patient.state()
    code, planned, _ = fix(doctor, patient)
    assert code == 1
    (step,) = planned["steps"]
    assert step["findings"][0]["name"] == "opencv-duplicates:opencv"
    assert (step["kind"], step["reversible"], step["verified"]) == ("automatic", True, None)
    assert step["commands"][0][0] == str(patient.python)
    assert patient.state() == before  # looking changes nothing

    code, done, said = fix(doctor, patient, "--apply", "--yes")
    assert code == 0
    assert done["applied"]["state"] == "fixed"
    assert done["applied"]["gone"] == ["opencv-duplicates:opencv"]
    assert done["steps"][0]["verified"] is True
    assert done["applied"]["changes"] == [
        {"name": "opencv-python", "before": "4.11.0.86", "after": None}
    ]
    assert "Would install opencv-python-headless-4.10.0.84" in said.replace("_", "-")
    assert (patient.site / "cv2" / "opencv_python_headless.py").exists()
    assert not (patient.site / "cv2" / "opencv_python.py").exists()
    log = Path(done["applied"]["log"].replace("~", str(Path.home()))).read_text(encoding="utf-8")
    assert "Successfully uninstalled opencv" in log

    answer = doctor(
        "fix", "--restore", done["applied"]["freeze"].replace("~", str(Path.home())), "--yes",
        environment=patient.variables,
    )  # fmt: skip
    assert (answer.code, answer.out) == (0, "what is installed is what it was\n")
    assert patient.state() == before


@pytest.fixture
def old_onnxruntime(patient: Patient) -> Patient:
    """ONNX Runtime for NumPy 1 beside NumPy 2: the remedy is NumPy 1, if an index has it."""
    wheels = Path(patient.variables["PIP_FIND_LINKS"])
    wheel(wheels, "onnxruntime", "1.16.3", requires=["numpy>=1.24"],
          files={"onnxruntime/__init__.py": ""})  # fmt: skip
    patient.install("onnxruntime")
    for path in patient.site.glob("pip*"):
        shutil.rmtree(path)  # uv installs, then, and is quicker
    return patient


def test_what_made_it_worse_is_taken_back(doctor: Doctor, old_onnxruntime: Patient) -> None:
    patient = old_onnxruntime
    wheels = Path(patient.variables["PIP_FIND_LINKS"])
    # With this NumPy the interpreter dies before its first line, in every child of the doctor.
    fault = "import os, ctypes; 'MTCNN_DOCTOR_CHILD' in os.environ and ctypes.string_at(0)\n"
    wheel(wheels, "numpy", "1.26.4", files={"numpy/__init__.py": "", "fault.pth": fault})
    before = patient.state()
    code, done, said = fix(doctor, patient, "--apply", "--yes")
    assert "it got worse" in said
    assert done["environment"]["installer"] == "uv"
    assert done["applied"]["state"] == "restored"
    assert done["applied"]["new"] == ["python-startup:python"]
    # What cannot be told any more is not gone.
    assert done["applied"]["gone"] == []
    assert any("python-startup" in line for line in done["applied"]["worse"])
    assert any("the findings are what they were" in line for line in done["applied"]["advice"])
    assert done["steps"][0]["verified"] is False
    assert code == 1
    assert patient.state() == before


def test_a_step_that_the_installer_cannot_do_changes_nothing(
    doctor: Doctor, old_onnxruntime: Patient
) -> None:
    before = old_onnxruntime.state()
    code, done, _ = fix(doctor, old_onnxruntime, "--apply", "--yes")
    assert code == 1
    assert done["applied"]["state"] == "unchanged"
    (step,) = done["applied"]["steps"]
    assert step["outcome"] == "failed"
    assert "nothing was changed" in step["said"]
    assert "numpy<2" in step["said"]
    assert done["steps"][0]["verified"] is None
    assert old_onnxruntime.state() == before


@pytest.mark.exhaustive
def test_a_step_that_fails_half_way_is_taken_back(doctor: Doctor, two_opencvs: Patient) -> None:
    patient = two_opencvs
    (patient.site / "sitecustomize.py").write_text(
        IN_INSTALLATIONS.format("import os; os._exit(9)"), encoding="utf-8"
    )
    before = patient.state()
    code, done, _ = fix(doctor, patient, "--apply", "--yes")
    assert code == 1
    (step,) = done["applied"]["steps"]
    assert step["outcome"] == "failed"
    assert "what it had changed was put back" in step["said"]
    assert patient.state() == before


def test_ctrl_c_between_uninstalling_and_installing(
    doctor: Doctor, two_opencvs: Patient, tmp_path: Path
) -> None:
    patient = two_opencvs
    reached = tmp_path / "reached"
    (patient.site / "sitecustomize.py").write_text(
        IN_INSTALLATIONS.format(
            f"import pathlib, time; pathlib.Path({str(reached)!r}).touch(); time.sleep(600)"
        ),
        encoding="utf-8",
    )
    before = patient.state()
    process = subprocess.Popen(
        [sys.executable, "-m", "mtcnn_doctor", "fix", "--python", patient.folder, "--level", "1",
         "--apply", "--yes"],
        cwd=tmp_path, env={**os.environ, **patient.variables, "NO_COLOR": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not reached.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "what is installed now was written to" in err
    assert "interrupted" in out
    assert "opencv-python: 4.11.0.86 -> removed" in out
    assert "the environment is not as it was; to bring it back: mtcnn-doctor fix --restore" in out
    (freeze,) = (tmp_path / "xdg" / "mtcnn-doctor" / "fix").glob("*/freeze.json")
    assert not (patient.site / "cv2" / "__init__.py").exists()
    answer = doctor("fix", "--restore", freeze, "--yes", environment=patient.variables)
    assert answer.code == 0
    assert patient.state() == before


@pytest.mark.exhaustive
def test_uv_installs_where_there_is_no_pip(doctor: Doctor, two_opencvs: Patient) -> None:
    patient = two_opencvs
    for path in patient.site.glob("pip*"):
        shutil.rmtree(path)
    before = patient.state()
    code, done, _ = fix(doctor, patient, "--apply", "--yes")
    assert (code, done["applied"]["state"]) == (0, "fixed")
    assert done["environment"]["installer"] == "uv"
    answer = doctor(
        "fix", "--restore", done["applied"]["freeze"].replace("~", str(Path.home())), "--yes",
        environment=patient.variables,
    )  # fmt: skip
    assert answer.code == 0
    cv2 = {name: text for name, text in before.items() if name.startswith("cv2/")}
    assert {k: v for k, v in patient.state().items() if k.startswith("cv2/")} == cv2


@pytest.mark.exhaustive
def test_nobody_who_says_no_gets_anything(two_opencvs: Patient, tmp_path: Path) -> None:
    """On a terminal it asks, and everything but yes is no."""
    import pty

    patient = two_opencvs
    before = patient.state()
    for said, code in (("n\n", 1), ("\n", 1), ("y\n", 0)):
        ours, theirs = pty.openpty()
        os.write(ours, said.encode())
        done = subprocess.run(
            [sys.executable, "-m", "mtcnn_doctor", "fix", "--python", patient.folder, "--level",
             "1", "--apply"],
            cwd=tmp_path, env={**os.environ, **patient.variables}, stdin=theirs,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        os.close(ours)
        os.close(theirs)
        assert (done.returncode, "carry this out" in done.stderr) == (code, True)
        assert (patient.state() == before) == (code == 1)
