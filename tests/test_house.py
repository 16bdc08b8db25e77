"""The rules of the house: who may import whom, and what the doctor's process never loads."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mtcnn_doctor

from .interpreters import at_hand

PACKAGE = Path(mtcnn_doctor.__file__).parent
CHECKS = PACKAGE / "checks" if (PACKAGE / "checks").is_dir() else PACKAGE.parent / "checks"
FRAMEWORKS = {
    "numpy", "cv2", "torch", "tensorflow", "onnxruntime", "openvino", "ai_edge_litert",
    "tflite_runtime", "PIL", "keras",
}  # fmt: skip

#: What people import who want the detector; these may load NumPy and the target's package.
DOOR = "reference"
DOORS = {DOOR, "isolated"}

#: Room: the rooms (first name below mtcnn_doctor) that it may import. Imports run downward.
MAY_IMPORT = {
    "model": set(),
    "facts_declared": set(),
    "facts_gpu": set(),
    "facts": {"facts_gpu"},
    "errors": set(),
    "backends": set(),
    "agreement": set(),
    "aim": {"model"},
    "toml": set(),
    "pyramid": set(),
    "knowledge": {"knowledge", "toml"},
    "gallery": set(),
    "checks": {"checks", "model", "facts", "facts_declared", "knowledge", "pyramid"},
    "registry": {"model", "errors", "checks"},
    "config": {"errors", "toml"},
    "targets": {"errors", "kernels", "shell"},
    "kernels": {"kernel_commands", "surroundings"},
    "kernel_commands": {"surroundings"},
    "shell": set(),
    "blackbox": {"surroundings"},
    "surroundings": set(),
    "subjects": {"agreement", "backends", "knowledge"},
    "sandbox": {"sandbox"},
    "runs": {"agreement", "backends", "gallery", "model", "sandbox"},
    "lint": {"errors", "lint"},
    "report": {"aim", "errors", "gallery", "lint", "model", "registry", "report", "runs"},
    "collect": {
        "agreement", "backends", "blackbox", "collect", "errors", "gallery", "kernels", "model",
        "runs", "sandbox", "shell", "subjects", "targets",
    },
    "examine": {"aim", "backends", "collect", "model", "registry", "runs", "sandbox"},
    "investigate": {
        "agreement", "backends", "collect", "errors", "examine", "gallery", "knowledge", "model",
        "pyramid", "runs", "subjects", "surroundings", "targets", "toml",
    },
    "declared": {
        "collect", "declared", "errors", "knowledge", "model", "registry", "targets", "toml",
    },
    "history": {"blackbox", "history", "model", "runs"},
    "cli": {
        "backends", "blackbox", "cli", "collect", "config", "declared", "errors", "examine",
        "history", "investigate",
        "lint", "model", "registry", "report", "subjects", "surroundings",
        "targets",
    },
    "notebook": {
        "backends", "blackbox", "cli", "model", "notebook", "registry", "report", "sandbox",
        "targets",
    },
    # The doors for other people's programs: they live in their process, and no room opens them.
    DOOR: {"backends", "target"},
    "isolated": {DOOR, "errors", "isolated_faults", "sandbox", "target", "targets"},
    "isolated_faults": {DOOR, "backends", "model", "runs", "sandbox"},
}  # fmt: skip


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Return level and dotted name of every import statement in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if base == "mtcnn_doctor":
                found += [(node.level, f"mtcnn_doctor.{alias.name}") for alias in node.names]
            else:
                found.append((node.level, base))
    return found


def rooms() -> list[tuple[str, Path]]:
    files = [(path.relative_to(PACKAGE).parts, path) for path in PACKAGE.rglob("*.py")]
    found = [
        (parts[0].removesuffix(".py"), path)
        for parts, path in files
        if parts[0] not in ("target", "__init__.py", "__main__.py", "checks", "reference_images")
    ]
    return found + [("checks", path) for path in CHECKS.rglob("*.py")]


@pytest.mark.parametrize(
    ("room", "path"), rooms(), ids=[f"{room}-{path.name}" for room, path in rooms()]
)
def test_imports_run_downward(room: str, path: Path) -> None:
    for level, name in imports_of(path):
        # Checks may share a helper among themselves, in whatever package they are installed.
        assert level == 0 or (level == 1 and room == "checks"), f"{path}: relative import"
        if level:
            continue
        top, *rest = name.split(".")
        if top != "numpy" or room not in DOORS:
            assert top not in FRAMEWORKS, f"{path} imports the patient ({name})"
        if top == "mtcnn_doctor" and rest and rest[0] != "__version__":
            assert rest[0] in MAY_IMPORT[room] | {room}, f"{path} may not import {name}"


def test_target_imports_nobody_and_nobody_imports_target() -> None:
    for path in (PACKAGE / "target").rglob("*.py"):
        for level, name in imports_of(path):
            if path.name != "bootstrap.py":
                assert level > 0 or not name.startswith("mtcnn_doctor"), path
    for room, path in rooms():
        for _, name in imports_of(path):
            if room not in DOORS:
                assert f"{name}.".startswith("mtcnn_doctor.target.") is False, (room, path)


COMMANDS = [
    ["--help"],
    ["check", "--level", "1"],
    ["check", "--backend", "numpy", "--format", "json"],
    ["check", "--backend", "numpy"],
    ["bench", "--backend", "numpy", "--runs", "1", "--warmup", "0"],
    ["bench", "--backend", "numpy", "--runs", "1", "--warmup", "0", "--bisect", "--budget", "5"],
    ["matrix", "numpy==2.2.6", "--dry-run"],
    ["fix", "--level", "1"],
    ["weights", "inspect", str(PACKAGE / "target" / "reference" / "weights.safetensors")],
    ["plan", "640x480", "--backend", "numpy"],
    ["inspect", str(PACKAGE / "py.typed"), "--subject", "none"],
    ["lint", str(PACKAGE / "cli")],
    [
        "sweep",
        "blur",
        str(CHECKS.parent / "reference_images" / "portrait.png"),
        "--values",
        "0,2",
        "--backend",
        "numpy",
        "--runs",
        "1",
    ],
    ["list"],
    ["explain", "backend-crash"],
    ["check", "--python", "/bin/ls"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=[" ".join(command) for command in COMMANDS])
def test_the_doctor_never_imports_the_patient(arguments: list[str], tmp_path: Path) -> None:
    note = tmp_path / "modules.json"
    program = (
        "import json, sys\n"
        "from mtcnn_doctor.__main__ import main\n"
        f"sys.argv = ['mtcnn-doctor', *{arguments!r}]\n"
        "code = main()\n"
        f"json.dump(sorted(sys.modules), open({str(note)!r}, 'w'))\n"
        "sys.exit(code)\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, check=False,
    )  # fmt: skip
    loaded = set(json.loads(note.read_text()))
    assert not loaded & (FRAMEWORKS | {"pynvml"})
    assert not {name for name in loaded if name.startswith("mtcnn_doctor.target.")}


def test_version_needs_neither_rich_nor_typer() -> None:
    program = (
        "import sys; sys.argv = ['mtcnn-doctor', '--version']\n"
        "from mtcnn_doctor.__main__ import main\n"
        "main(); print(sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    first, modules = done.stdout.splitlines()
    assert first == f"mtcnn-doctor {mtcnn_doctor.__version__}"
    assert not {"rich", "typer", "psutil", "packaging"} & set(ast.literal_eval(modules))


def test_level_1_needs_neither_rich_nor_psutil_for_json(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mtcnn_doctor", "check", "--level", "1",
         "--format", "json"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "rich.console" not in imported


LOAD_ALL = """
import importlib, importlib.util, os, pkgutil, sys
here = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "mtcnn_doctor_target", os.path.join(here, "__init__.py"), submodule_search_locations=[here])
package = importlib.util.module_from_spec(spec)
sys.modules["mtcnn_doctor_target"] = package
spec.loader.exec_module(package)
count = 0
for module in pkgutil.walk_packages([here], "mtcnn_doctor_target."):
    if "reference." in module.name or module.name.endswith("bootstrap"):
        compile(open(importlib.util.find_spec(module.name).origin, encoding="utf-8").read(),
                module.name, "exec")
    else:
        importlib.import_module(module.name)
    count += 1
assert not {"numpy", "torch", "tensorflow", "onnxruntime", "openvino", "ai_edge_litert", "cv2",
            "psutil"} & set(sys.modules)
print(count)
"""


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_target_loads_on_old_and_new_pythons_without_anything(version: str) -> None:
    found = at_hand(version)
    if not found:
        pytest.skip(f"no other Python {version} here")
    done = subprocess.run(
        [found[0], "-I", "-S", "-W", "error", "-c", LOAD_ALL, PACKAGE / "target"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_no_file_outgrows_a_readers_head() -> None:
    for _, path in [*rooms(), *(("target", p) for p in (PACKAGE / "target").rglob("*.py"))]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 500, f"{path} has {lines} lines: it wants to be two"
