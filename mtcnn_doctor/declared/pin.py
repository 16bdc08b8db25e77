"""``pin``: releases that go together on a Python and a platform, from the knowledge base."""

from __future__ import annotations

import importlib.util
import platform as machine
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.knowledge import numpy2_support
from mtcnn_doctor.knowledge.catalogue import Release, requirement, usual
from mtcnn_doctor.knowledge.issues import Machine, known_issues
from mtcnn_doctor.knowledge.place import Place, platform_of
from mtcnn_doctor.knowledge.resolve import Search, Undecided, Want, pinned

BACKENDS = ("numpy", "torch", "tensorflow", "onnxruntime", "opencv", "openvino", "litert")
SUBJECTS = ("mtcnn", "facenet-pytorch")
_DISTRIBUTIONS = {"opencv": "opencv-python-headless", "litert": "ai-edge-litert"}
#: Platforms with wheels of tensorflow-cpu, which is a tenth of the size.
_SMALL_TENSORFLOW = ("linux_x86_64", "win_amd64")
# What uv calls the platforms.
_UV = {
    "linux_x86_64": "x86_64-manylinux_2_28",
    "linux_aarch64": "aarch64-manylinux_2_28",
    "macos_arm64": "aarch64-apple-darwin",
    "macos_x86_64": "x86_64-apple-darwin",
    "win_amd64": "x86_64-pc-windows-msvc",
}
_RESOLVE_S = 300.0


@dataclass(frozen=True)
class Pins:
    """Releases that go together: ``lines`` for a requirements file.

    ``resolved`` says whether an installer agreed, None where none was asked; ``said`` is what it
    said otherwise.
    """

    lines: tuple[str, ...]
    resolved: bool | None = None
    said: str = ""


def pins(place: Place, backends: Sequence[str], subjects: Sequence[str]) -> Pins | None:
    """Return a set of releases, None where the tables know none.

    A subject may come with a range: ``mtcnn<1``.

    Raises:
        UsageError: an unknown backend or subject.
    """
    wants = _wants(place, backends, subjects)
    try:
        found = Search(place, wants, lambda release, beside: _sound(place, release, beside)).run()
    except Undecided:
        return None
    if found is None:
        return None
    versions = {name: str(release.version) for name, release in found.chosen.items()}
    named = {want.name for want in wants}
    for name, text in found.open.items():
        version = usual(name, text, place)
        # Of what others bring along, only what is known to break them is pinned.
        if version is not None and (name in named or name in ("protobuf", "setuptools")):
            versions[name] = str(version)
    if any(not release.known for release in found.chosen.values()):
        return None
    return Pins(tuple(f"{name}=={version}" for name, version in sorted(versions.items())))


def _wants(place: Place, backends: Sequence[str], subjects: Sequence[str]) -> list[Want]:
    wants = []
    tensorflow = "tensorflow-cpu" if place.platform in _SMALL_TENSORFLOW else "tensorflow"
    for text in subjects:
        one = requirement(text)
        name = str(canonicalize_name(one.name)) if one else ""
        if one is None or name not in SUBJECTS:
            raise UsageError(f"--subject {text}: known are {' and '.join(SUBJECTS)}")
        wants.append(Want(name, str(one.specifier), origin="--subject"))
        if name == "mtcnn":
            wants.append(Want(tensorflow, origin="mtcnn needs it and does not say so"))
            exact = pinned(str(one.specifier))
            early = place.series < (3, 10) or (exact is not None and exact < Version("1"))
            if early or not one.specifier.contains("1.0.0"):
                wants.append(Want("setuptools", "<81", origin="mtcnn 0.1 needs pkg_resources"))
    for backend in backends:
        if backend not in BACKENDS:
            raise UsageError(f"--backend {backend}: known are {', '.join(BACKENDS)}")
        name = tensorflow if backend == "tensorflow" else _DISTRIBUTIONS.get(backend, backend)
        wants.append(Want(name, origin="--backend"))
    return [*wants, Want("numpy", origin="every backend")]


def _sound(place: Place, release: Release, beside: Mapping[str, Release]) -> bool:
    """Whether nothing is known against a release beside those chosen so far."""
    together = {**beside, release.name: release}
    installed = {name: str(one.version) for name, one in together.items()}
    if release.compiled(place) or not release.known:
        return False
    machine = Machine(
        installed, python=place.full, platform=place.sys_platform, machine=place.machine
    )
    if any(issue.severity != "info" for issue in known_issues(machine)):
        return False
    numpy = together.get("numpy")
    if numpy is None or numpy.version.major < 2:
        return True
    for name, one in together.items():
        support = numpy2_support(name, place.sys_platform)
        if support is not None and one.version < Version(support.first):
            return False
    return True


def resolved(found: Pins, place: Place) -> Pins:
    """Ask an installer whether it can install the releases; this uses the network.

    uv answers for every place; without it pip does for the doctor's own Python and platform.

    Raises:
        UsageError: no installer that can answer for that place.
    """
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("\n".join(found.lines) + "\n", encoding="utf-8")
        command = _command(place, str(file))
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_RESOLVE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return Pins(found.lines, False, f"{command[0]} did not answer in {_RESOLVE_S:.0f} s")
        except OSError as error:
            raise UsageError(
                f"--resolve: {command[0]} cannot be started: {error.strerror}"
            ) from error
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    said = re.sub(r"\s+", " ", " ".join(lines))[-600:]
    return Pins(found.lines, done.returncode == 0, "" if done.returncode == 0 else said)


def _command(place: Place, file: str) -> list[str]:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    platform = _UV.get(place.platform)
    if uv is not None and platform is not None and not place.free_threaded:
        return [uv, "pip", "compile", "--quiet", "--only-binary", ":all:", "--python-version",
                place.python, "--python-platform", platform, file]  # fmt: skip
    if _is_here(place) and importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip", "install", "--dry-run", "--quiet",
                "--ignore-installed", "--disable-pip-version-check", "--no-input",
                "--only-binary", ":all:", "--requirement", file]  # fmt: skip
    raise UsageError(
        f"--resolve: uv, which can resolve for {place.name}, is not installed (pip can only for "
        "the doctor's own Python and platform); install uv, or leave the option out"
    )


def _is_here(place: Place) -> bool:
    """Whether a place is the Python and the platform that the doctor itself runs on."""
    return (
        place.series == sys.version_info[:2]
        and place.platform == platform_of(sys.platform, machine.machine())
        and not place.free_threaded
    )
