"""Jupyter kernels of this machine: found as Jupyter finds them, and their interpreters asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtcnn_doctor import kernels, shell
from mtcnn_doctor.kernels import Launcher

from .conftest import Answer, Doctor

ARGV = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's folders, all of them below one that is empty."""
    for name in list(os.environ):
        if name.startswith(("JUPYTER_", "CONDA_", "XDG_DATA", "IPYTHONDIR")):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYENV_ROOT", os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def register(places: Path) -> Callable[..., Path]:
    """Register a kernel in the folder of the user."""

    def write(name: str, *argv: str, folder: Path | None = None, **more: Any) -> Path:
        spec = (folder or places / "data") / "kernels" / name
        spec.mkdir(parents=True)
        document = {"argv": list(argv), "display_name": name.title(), "language": "python", **more}
        (spec / "kernel.json").write_text(json.dumps(document), encoding="utf-8")
        return spec / "kernel.json"

    return write


def here() -> Launcher:
    return Launcher(sys.executable, sys.prefix, "target")


def the(name: str) -> kernels.Kernel:
    (found,) = [kernel for kernel in kernels.all_kernels([here()]) if kernel.name == name]
    return found


def about(answer: Answer, id: str) -> list[dict[str, Any]]:
    return [
        finding for finding in answer.findings("error", "warning", "info") if finding["id"] == id
    ]


# -- found and resolved as Jupyter does -----------------------------------------------------------


def test_found_where_jupyter_finds_them(
    places: Path, register: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pytest.importorskip("jupyter_core.paths")
    manager = pytest.importorskip("jupyter_client.kernelspec").KernelSpecManager
    monkeypatch.setenv("JUPYTER_PATH", os.pathsep.join([str(places / "one"), str(places / "two")]))
    for number, folder in enumerate((places / "two", places / "one", places / "data")):
        register("same", sys.executable, *ARGV, folder=folder)
        register(f"only-{number}", sys.executable, *ARGV, folder=folder)
    ours = kernels.folders(here())
    assert [str(folder) for folder in ours[:-1]] == paths.jupyter_path("kernels")
    found = {name: str(path.parent) for name, path in kernels.spec_files(here()).items()}
    theirs = manager().find_kernel_specs()
    theirs.pop("python3", None), found.pop("python3", None)
    assert found == theirs
    assert found["same"] == str(places / "one" / "kernels" / "same")


@pytest.mark.parametrize("prefer", ["1", "0"])
def test_the_environment_before_the_user_or_after(
    places: Path, monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    paths = pytest.importorskip("jupyter_core.paths")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", prefer)
    ours = [str(folder) for folder in kernels.folders(here())]
    assert ours[:-1] == paths.jupyter_path("kernels")


def test_a_bare_python_is_that_of_the_jupyter_that_starts_it(register: Callable[..., Path]) -> None:
    register("bare", "python", *ARGV)
    command = the("bare").command
    assert command is not None
    assert command.python == sys.executable
    assert command.module == "ipykernel_launcher"


@pytest.mark.parametrize(
    "words",
    [
        ["/usr/bin/env", "-u", "PYTHONPATH", "A=1", "{python}", *ARGV],
        ["env", "-S", "A=1 {python} -m ipykernel_launcher", "-f", "{connection_file}"],
        ["nice", "-n", "5", "{python}", "-X", "frozen_modules=off", *ARGV],
        ["{python}", "-Im", "ipykernel_launcher", "-f", "{connection_file}"],
        ["bash", "-c", "exec {python} -m ipykernel_launcher -f {connection_file}"],
        ["{prefix}/bin/python", *ARGV],
        ["{resource_dir}/start.sh", "{connection_file}"],
        ["python", "-m", "nb_conda_kernels.runner", "/opt/conda", "{prefix}", "python", *ARGV],
        ["/opt/conda/bin/conda", "run", "--no-capture-output", "-p", "{prefix}", "python", *ARGV],
        ["conda", "run", "-n", "{env}", "python", *ARGV],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_through_wrappers(
    places: Path, register: Callable[..., Path], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_ENVS_PATH", str(Path(sys.prefix).parent))
    given = {"{python}": sys.executable, "{env}": Path(sys.prefix).name}
    for mark, value in given.items():
        words = [word.replace(mark, value) for word in words]
    spec = register("wrapped", *words)
    (spec.parent / "start.sh").write_text(
        "#!/bin/sh\n# not /nowhere/bin/python3\n"
        f'exec "{sys.executable}" -m ipykernel_launcher -f "$1"\n'
    )
    command = the("wrapped").command
    assert command is not None
    assert command.python is not None
    assert shell.same_environment(command.python, sys.executable)
    assert command.module == "ipykernel_launcher"
    assert not command.missing


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["/gone/bin/python", *ARGV], True),
        (["python2.99", *ARGV], True),
        (["./venv-of-nobody/bin/python", *ARGV], True),
        (["conda", "run", "-n", "nobody-has-this", "python", *ARGV], True),
        (["{resource_dir}/gone.sh"], False),
        (["uv", "run", "--with", "ipykernel", "python", *ARGV], False),
        (["/usr/bin/xpython", "-f", "{connection_file}"], False),
    ],
    ids=lambda words: str(words),
)
def test_what_is_gone_and_what_cannot_be_told(
    register: Callable[..., Path], words: list[str], missing: bool
) -> None:
    register("odd", *words)
    command = the("odd").command
    assert command is not None
    assert command.missing is missing
    assert command.why
    assert missing or command.python is None


def test_variables_are_filled_in(
    register: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "/data")
    register("set", sys.executable, *ARGV, env={"A": "${WHERE}/models", "B": "${NOT_SET}"})
    assert the("set").environment == {"A": "/data/models", "B": "${NOT_SET}"}


# -- judged ---------------------------------------------------------------------------------------


def test_only_its_own_kernel_and_nothing_is_said(places: Path, doctor: Doctor) -> None:
    answer = doctor("check", "--level", "1", "--format", "json")
    assert answer.code == 0, answer.out
    assert [
        f for f in answer.findings("error", "warning", "info") if f["family"] == "jupyter"
    ] == []


def test_kernels_of_other_environments(
    places: Path, register: Callable[..., Path], doctor: Doctor
) -> None:
    # A kernelspec of a deleted environment.
    for name in ("deleted", "bare", "dying", "hanging"):
        venv.create(places / name, symlinks=True)
    register("deleted", str(places / "deleted/bin/python"), *ARGV)
    shutil.rmtree(places / "deleted")
    # An environment that never had ipykernel.
    register("bare", str(places / "bare/bin/python"), *ARGV)
    # A Python that dies as it starts, and one that never comes up.
    for name, code in (("dying", "os._exit(3)"), ("hanging", "time.sleep(999)")):
        (site,) = (places / name).glob("lib/*/site-packages")
        (site / "sitecustomize.py").write_text(f"import os, time\n{code}\n")
        register(name, str(places / name / "bin/python"), *ARGV)
    register("wreck", "x")
    (places / "data/kernels/wreck/kernel.json").write_text("{")
    register("julia", "/usr/bin/julia", language="julia")
    # This very interpreter under another name.
    register("mine", sys.executable, *ARGV)

    answer = doctor("check", "--level", "1", "--timeout", "2", "--format", "json")
    assert answer.code == 1
    broken = {f["about"]: f for f in about(answer, "kernel-missing-interpreter")}
    assert sorted(broken) == ["deleted", "dying", "hanging", "wreck"]
    assert "is gone" in broken["deleted"]["title"]
    assert str(places / "deleted") in broken["deleted"]["evidence"]["reason"]
    assert "exit code 3" in broken["dying"]["evidence"]["reason"]
    assert "in time" in broken["hanging"]["title"]
    assert broken["wreck"]["severity"] == "warning"
    (lacking,) = about(answer, "kernel-no-ipykernel")
    assert lacking["about"] == "bare"
    (other,) = about(answer, "kernel-interpreter-mismatch")
    assert other["severity"] == "info"
    assert list(other["evidence"]) == ["bare"]
    assert "no numpy" in other["evidence"]["bare"]
    (mine,) = [k for k in answer.report["facts"]["jupyter"]["kernels"] if k["name"] == "mine"]
    assert mine["is_target"]


@pytest.mark.environments
def test_a_kernel_of_another_environment_with_other_versions(
    places: Path, register: Callable[..., Path], doctor: Doctor
) -> None:
    pip = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if pip is None:
        pytest.skip("uv is not installed")
    venv.create(places / "other", symlinks=True)
    python = places / "other/bin/python"
    subprocess.run(
        [pip, "pip", "install", "-q", "--python", python, "numpy==1.26.4", "ipykernel"], check=True
    )
    subprocess.run(
        [python, "-m", "ipykernel", "install", "--prefix", places / "data-of-other"],
        check=True,
        capture_output=True,
    )
    shutil.copytree(
        places / "data-of-other/share/jupyter/kernels/python3", places / "data/kernels/old"
    )
    answer = doctor("check", "--level", "1", "--format", "json")
    assert answer.code == 0
    (finding,) = about(answer, "kernel-interpreter-mismatch")
    assert "numpy 1.26.4" in finding["evidence"]["old"]
    # By its name it is examined in full.
    answer = doctor("check", "--kernel", "old", "--level", "1", "--format", "json")
    assert answer.report["target"]["python"] == str(python)
    assert about(answer, "kernel-no-ipykernel") == []


def test_each_kernel_can_be_examined_by_its_name(
    places: Path, register: Callable[..., Path], doctor: Doctor
) -> None:
    register("mine", "env", "OMP_NUM_THREADS=1", sys.executable, *ARGV)
    answer = doctor("check", "--kernel", "MINE", "--level", "1", "--format", "json")
    assert answer.code == 0, answer.err
    assert answer.report["facts"]["threads"]["environment"]["OMP_NUM_THREADS"] == "1"
    answer = doctor("check", "--kernel", "nobodys", "--level", "1")
    assert answer.code == 2
    assert "found: mine" in answer.err


def test_the_interpreter_of_a_command(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{sys.executable}\nimport sys\n")
    assert shell.interpreter_of(str(script)) == sys.executable
    # As pip and uv write it when the path is long, or has a blank in it.
    script.write_text("#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n")
    assert shell.interpreter_of(str(script)) == "/a b/bin/python"
    script.write_text("#!/bin/sh\necho\n")
    assert shell.interpreter_of(str(script)) is None
