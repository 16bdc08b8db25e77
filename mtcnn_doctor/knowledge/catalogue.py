"""The releases of each distribution as the tables know them, in one form, newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mtcnn_doctor.knowledge.place import PLATFORMS, Place
from mtcnn_doctor.knowledge.releases import rows

# Distribution: the table that holds its releases.
_TABLES = {
    "ai-edge-litert": "litert",
    "facenet-pytorch": "facenet-pytorch",
    "ipykernel": "jupyter",
    "jupyter-client": "jupyter",
    "jupyterlab": "jupyter",
    "keras": "keras",
    "mtcnn": "mtcnn",
    "numpy": "numpy",
    "nvidia-ml-py": "nvidia",
    "onnxruntime": "onnxruntime",
    "opencv-python": "opencv",
    "opencv-python-headless": "opencv",
    "openvino": "openvino",
    "pynvml": "nvidia",
    "tensorflow": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "tflite-runtime": "litert",
    "torch": "torch",
    "torchaudio": "torch",
    "torchvision": "torch",
}
#: Of these pip can make a wheel itself where there is none, given a compiler.
COMPILABLE = frozenset(("numpy", "opencv-python", "opencv-python-headless"))
#: tensorflow-cpu has wheels for these platforms only (looked up for 2.4 to 2.16).
_TENSORFLOW_CPU = frozenset(("linux_x86_64", "macos_x86_64", "win_amd64"))


@dataclass(frozen=True)
class Release:
    """One release. ``wheels`` is None for pure Python; ``known`` False where no table has it."""

    name: str
    version: Version
    requires: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    python: str = ""
    requires_python: str = ""
    wheels: Mapping[str, Any] | None = field(default=None, hash=False)
    yanked: str = ""
    known: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def excluded(self, place: Place) -> str:
        """Say why pip would not install it at a place, "" if it would."""
        if self.requires_python and not _allows(self.requires_python, place.full):
            return f"is not made for Python {place.short} (it asks for {self.requires_python})"
        if self.wheels is None:
            if self.python and not _allows(self.python, place.full):
                return f"cannot be installed on Python {place.short} (it takes {self.python})"
            return ""
        if place.has_wheel(self.wheels) or self.name in COMPILABLE:
            return ""
        return self.no_wheel(place)

    def compiled(self, place: Place) -> bool:
        """Whether pip would have to compile it there."""
        return (
            self.wheels is not None and self.name in COMPILABLE and not place.has_wheel(self.wheels)
        )

    def no_wheel(self, place: Place) -> str:
        """Say that there is no wheel, and for what there are."""
        wheels = self.wheels or {}
        here = [tag for tag in wheels.get(place.platform, ()) if not tag.endswith("t")]
        if here:
            return f"has no wheel for Python {place.short} (it has them for {_span(here)})"
        platform = PLATFORMS[place.platform][0]
        others = ", ".join(PLATFORMS[key][0] for key in wheels if key in PLATFORMS)
        return f"has no wheel for {platform} (it has them for {others})"


def _span(tags: list[str]) -> str:
    return tags[0] if len(tags) == 1 else f"{tags[0]} to {tags[-1]}"


def _allows(specifiers: str, python: str) -> bool:
    return SpecifierSet(specifiers).contains(python, prereleases=True)


def is_known(name: str) -> bool:
    """Whether a table holds releases of a distribution."""
    return name in _TABLES


@cache
def releases(name: str) -> tuple[Release, ...]:
    """Return the releases of a distribution, newest first; none where no table holds it."""
    table = _TABLES.get(name)
    if table is None:
        return ()
    if name in ("torchvision", "torchaudio"):
        found = _companions(name)
    else:
        found = [
            _of(name, row)
            for row in rows(table)
            if canonicalize_name(row.get("distribution", name)) == name
        ]
    return tuple(sorted(found, key=lambda release: release.version, reverse=True))


def usual(name: str, specifiers: str, place: Place) -> Version | None:
    """Return what an installer would take of a package that no full table holds, if that is known.

    Only the newest releases of some packages are known (``releases/support.toml``).
    """
    allowed = SpecifierSet(specifiers)
    found = [
        Version(row["version"])
        for row in rows("support")
        if row["distribution"] == name
        and allowed.contains(row["version"])
        and _allows(row["requires_python"], place.full)
    ]
    return max(found, default=None)


def newest(name: str) -> Version | None:
    """Return the newest version that the tables know of a distribution."""
    found = releases(name)
    return found[0].version if found else None


def _of(name: str, row: Mapping[str, Any]) -> Release:
    wheels: dict[str, Any] | None = row.get("wheels")
    extras = {key: tuple(lines) for key, lines in row.get("extras", {}).items()}
    if name == "tensorflow-cpu":
        every = wheels or {}
        wheels = {key: tags for key, tags in every.items() if key in _TENSORFLOW_CPU}
    elif "extra_and_cuda" in row:
        extras["and-cuda"] = tuple(row["extra_and_cuda"])
    return Release(
        name,
        Version(row["version"]),
        tuple(row.get("requires", ())),
        extras,
        row.get("python", ""),
        row.get("requires_python", ""),
        wheels,
        row.get("yanked", ""),
    )


def _companions(name: str) -> list[Release]:
    """Return releases of torchvision or torchaudio, which are built for one torch or a few.

    They have wheels for the Pythons and platforms of their torch.
    """
    made_for: dict[str, list[Release]] = {}
    for row in rows("torch"):
        torch = _of("torch", row)
        for version in (*row.get(name, ()), *row.get(f"{name}_range", ())):
            made_for.setdefault(version, []).append(torch)
    found = []
    for version, torches in made_for.items():
        first = min(torches, key=lambda torch: torch.version)
        last = max(torches, key=lambda torch: torch.version)
        asks = f"=={first.version}" if first is last else f">={first.version},<={last.version}"
        requires = (f"torch{asks}", *(("numpy",) if name == "torchvision" else ()))
        found.append(
            replace(first, name=name, version=Version(version), requires=requires, yanked="")
        )
    return found


_DEV_BOUND = re.compile(r"(\d)dev\b")


@lru_cache(maxsize=8192)
def requirement(line: str) -> Requirement | None:
    """Return a requirement as it is parsed, None where it cannot be."""
    try:
        return Requirement(_DEV_BOUND.sub(r"\1.dev0", line))
    except InvalidRequirement:
        return None
