"""The wheel, the editable install and a plain checkout hold the same package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mtcnn_doctor import toml

ROOT = Path(__file__).resolve().parent.parent
DATA = {
    "mtcnn_doctor/py.typed",
    "mtcnn_doctor/report/schema.json",
    "mtcnn_doctor/knowledge/signatures.toml",
    "mtcnn_doctor/knowledge/releases/torch.toml",
    "mtcnn_doctor/target/reference/weights.safetensors",
    "mtcnn_doctor/target/bootstrap.py",
    "mtcnn_doctor/target/tasks/reference.py",
    "mtcnn_doctor/checks/runs.py",
    "mtcnn_doctor/reference_images/expected.json",
    "mtcnn_doctor/reference_images/portrait.png",
}


def test_every_folder_with_code_is_a_listed_package() -> None:
    listed = set(
        toml.parse((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    )
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "mtcnn_doctor").rglob("__init__.py")
    }
    assert listed == found | {"mtcnn_doctor.checks", "mtcnn_doctor.reference_images"}


def test_core_dependencies_are_nothing_of_the_field() -> None:
    from packaging.requirements import Requirement

    project = toml.parse((ROOT / "pyproject.toml").read_text())["project"]
    names = {Requirement(line).name for line in project["dependencies"]}
    assert names == {"typer", "rich", "psutil", "packaging", "nvidia-ml-py", "tomli"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, as pip would."""
    source = tmp_path_factory.mktemp("source") / "mtcnn-doctor"
    ignore = shutil.ignore_patterns(
        ".git", "*.egg-info", "build", ".venv", "__pycache__", ".*cache"
    )
    shutil.copytree(ROOT, source, ignore=ignore)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", out, source],
        check=True, capture_output=True,
    )  # fmt: skip
    return next(out.glob("*.whl"))


@pytest.mark.environments
def test_the_wheel_holds_everything(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= DATA
    assert not [name for name in names if name.startswith(("checks/", "tests/", "reference_im"))]


@pytest.mark.environments
@pytest.mark.parametrize("how", ["wheel", "editable", "checkout"])
def test_every_way_to_install_works(wheel: Path, tmp_path: Path, how: str) -> None:
    """In an environment of its own, started from an unrelated folder, without the frameworks."""
    import venv

    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns(
        ".git", "*.egg-info", "build", ".venv", "__pycache__", ".*cache"
    )
    shutil.copytree(ROOT, source, ignore=ignore)
    if how == "wheel":
        subprocess.run([*pip, str(wheel)], check=True)
    elif how == "editable":
        subprocess.run([*pip, "--editable", str(source)], check=True)
    else:
        subprocess.run([*pip, "typer", "rich", "psutil", "packaging", "nvidia-ml-py"], check=True)
    away = tmp_path / "away"
    away.mkdir()
    cwd = source if how == "checkout" else away
    command = [python, "-m", "mtcnn_doctor"] if how == "checkout" else [
        environment / "bin" / "mtcnn-doctor"
    ]  # fmt: skip
    version = subprocess.run([*command, "--version"], cwd=cwd, capture_output=True, text=True)
    assert version.stdout.startswith("mtcnn-doctor ")
    # The target is this test's interpreter, where the frameworks are; nothing was installed there.
    done = subprocess.run(
        [*command, "check", "--backend", "numpy", "--python", sys.executable],
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numpy" in done.stdout
    # Without a target there is nothing of the field here: told, and not green.
    empty = subprocess.run([*command, "check"], cwd=cwd, capture_output=True, text=True)
    assert empty.returncode == 2
    assert "nothing to examine" in empty.stderr
