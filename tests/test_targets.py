"""``--python`` and ``--kernel``: from what people type to an interpreter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.targets import kernels, resolve

from .conftest import Doctor
from .interpreters import at_hand


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A Jupyter data folder in which kernels can be installed."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def install(name: str, spec: object) -> None:
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        text = spec if isinstance(spec, str) else json.dumps(spec)
        (folder / "kernel.json").write_text(text)

    return install


def test_a_kernel_gives_its_interpreter_and_environment(jupyter, doctor: Doctor) -> None:
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    jupyter("mine", {"argv": argv, "env": {"OMP_NUM_THREADS": "1"}, "display_name": "Mine"})
    target = resolve(None, "Mine")
    assert target.python == sys.executable
    assert target.environment == {"OMP_NUM_THREADS": "1"}
    answer = doctor("check", "--kernel", "mine", "--level", "1", "--format", "json")
    assert answer.code == 0
    assert answer.report["facts"]["threads"]["environment"]["OMP_NUM_THREADS"] == "1"


def test_a_kernel_that_starts_through_a_wrapper(jupyter) -> None:
    jupyter("wrapped", {"argv": ["/usr/bin/env", "X=1", sys.executable, "-m", "ipykernel"]})
    assert resolve(None, "wrapped").python == sys.executable


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"argv": ["/gone/bin/python", "-m", "ipykernel"]}, "does not exist"),
        ({"argv": ["/usr/bin/ir"]}, "does not start a Python"),
        ("{broken", "not a kernelspec"),
        ({"display_name": "x"}, "not a kernelspec"),
    ],
)
def test_broken_kernels_are_told_apart(jupyter, spec: object, words: str) -> None:
    jupyter("broken", spec)
    assert "broken" in kernels()
    with pytest.raises(UsageError, match=words):
        resolve(None, "broken")


def test_the_folder_of_an_environment_will_do() -> None:
    assert resolve(sys.prefix, None).python == str(Path(sys.prefix) / "bin" / "python")


def test_a_virtual_environment_is_not_resolved_to_its_base() -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("not in a virtual environment")
    assert resolve(sys.executable, None).python == sys.executable


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.12", "3.13"])
def test_metadata_of_other_pythons(doctor: Doctor, version: str) -> None:
    found = at_hand(version)
    if not found:
        pytest.skip(f"no Python {version} here")
    # Bare interpreters hold nothing of the field, which is said, and is never green.
    answer = doctor("check", "--python", found[0], "--level", "1")
    assert answer.code in (0, 2), answer.out
    assert "Traceback" not in answer.err
    if answer.code == 2:
        assert "nothing to examine" in answer.err


def test_an_empty_name_is_not_the_doctor_itself() -> None:
    with pytest.raises(UsageError, match="--python is empty"):
        resolve("", None)


def test_an_environment_whose_base_is_gone(tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.symlink_to("/gone/python3.11")
    for given in (tmp_path / "env", python):
        with pytest.raises(UsageError, match=r"link to /gone/python3\.11, which is gone"):
            resolve(str(given), None)


def test_a_link_from_outside_into_an_environment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    python = tmp_path / "env" / "bin" / "python"
    python.symlink_to(sys.executable)
    (tmp_path / "env" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "link").symlink_to(python)
    with pytest.raises(UsageError, match="/env/bin/python"):
        resolve(str(tmp_path / "link"), None)
    assert resolve(str(python), None).python == str(python)
    detour = tmp_path / "env" / ".." / "env" / "bin" / "python"
    assert resolve(str(detour), None).python == str(python)
