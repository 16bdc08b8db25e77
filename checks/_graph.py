"""Who requires whom among the installed distributions, and which requirements are not met."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from mtcnn_doctor.facts import Distribution, Packages
from mtcnn_doctor.knowledge import releases

from ._installed import PROVIDERS, installed, is_planned, providers_of, version_of

Installed = Mapping[str, Distribution]


@dataclass(frozen=True)
class Conflict:
    """One requirement that is not met."""

    dependant: str
    requirement: str  # normalised name
    wanted: str  # the version specifier, "" where any release would do
    found: str | None  # installed version, None where it is missing
    provider: str  # which distribution was looked at
    lies_there: bool = False  # its module is there all the same, without metadata

    @property
    def text(self) -> str:
        """Say the conflict in a few words."""
        wanted = self.requirement + self.wanted
        if self.found is None and self.lies_there:
            return (
                f"requires {wanted}, whose module is there without metadata: in which release "
                "cannot be told"
            )
        if self.found is None:
            return f"requires {wanted}, which is not installed"
        return f"requires {wanted}, but {self.provider} {self.found} is installed"

    @property
    def command(self) -> str:
        """Return the pip command that would meet the requirement."""
        name = self.requirement if self.found is None else self.provider
        return f'pip install "{name}{self.wanted}"'


def _applies(requirement: Requirement, markers: Mapping[str, str], extras: set[str]) -> bool:
    """Whether the marker of a requirement holds in the target, with these extras asked for."""
    if requirement.marker is None:
        return True
    for extra in ("", *sorted(extras)):
        try:
            if requirement.marker.evaluate({**markers, "extra": extra}):
                return True
        except (UndefinedEnvironmentName, UndefinedComparison, InvalidMarker, InvalidVersion):
            return False
    return False


# The usual way in which a requirement is tied to one extra, and to nothing else.
_ONE_EXTRA = re.compile(r"""(?:;|\band)\s*\(?\s*extra\s*==\s*['"]([^'"]+)['"]\s*\)?\s*$""")


@lru_cache(maxsize=4096)
def _requirement(line: str) -> Requirement | None:
    """Return a parsed requirement, None for a line that does not parse."""
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _parsed(lines: Iterable[str], extras: set[str]) -> Iterator[Requirement]:
    """Yield requirements; those of extras that nobody asked for are not even parsed.

    They are most of all lines, and parsing is most of the work.
    """
    for line in lines:
        if "extra" in line and " or " not in line:
            match = _ONE_EXTRA.search(line)
            if match and canonicalize_name(match[1]) not in extras:
                continue
        requirement = _requirement(line)
        if requirement is not None:
            yield requirement


#: The graph made last, and of what: several checks ask the same of the same facts.
_latest: list[tuple[Packages, Mapping[str, str], Graph]] = []


def graph_of(packages: Packages, markers: Mapping[str, str]) -> Graph:
    """Return who requires whom among the packages of a target, made once for all checks."""
    for known, under, graph in _latest:
        if known is packages and under is markers:
            return graph
    modules = packages.get("modules") or {}
    bare = {name for name, facts in modules.items() if facts.get("found")}
    _latest[:] = [(packages, markers, Graph(installed(packages), markers, bare))]
    return _latest[0][2]


class Graph:
    """Who requires whom in the target, with the extras that somebody asked for."""

    def __init__(
        self, packages: Installed, markers: Mapping[str, str], modules: Iterable[str] = ()
    ) -> None:
        """Take the packages, the target's markers, and the modules that are found there."""
        self.packages = completed(packages)
        self._modules = set(modules)
        self.markers = markers
        self._extras: dict[str, set[str]] = {key: set() for key in self.packages}
        self._known: dict[str, list[Requirement]] = {}
        self._follow_extras()

    def _follow_extras(self) -> None:
        changed = True
        while changed:
            changed = False
            for key in self.packages:
                for requirement in self.requirements(key):
                    asked = self._extras.get(canonicalize_name(requirement.name))
                    if asked is not None and not requirement.extras <= asked:
                        asked |= requirement.extras
                        self._known.pop(str(canonicalize_name(requirement.name)), None)
                        changed = True

    def requirements(self, key: str) -> list[Requirement]:
        """Return the requirements of a distribution that hold here."""
        if key not in self._known:
            extras = self._extras.get(key, set())
            lines = (self.packages.get(key) or {}).get("requires") or []
            wanted = {str(canonicalize_name(extra)) for extra in extras}
            self._known[key] = [
                requirement
                for requirement in _parsed(lines, wanted)
                if _applies(requirement, self.markers, extras)
            ]
        return self._known[key]

    def provider(self, key: str) -> str | None:
        """Return the installed distribution that fills a requirement, itself if it is there."""
        if key in self.packages:
            return key
        return next((other for other in sorted(providers_of(key)) if other in self.packages), None)

    def closure(self, roots: set[str]) -> set[str]:
        """Return these distributions and whatever they require, directly or not."""
        found: set[str] = set()
        open_keys = [key for key in roots if key in self.packages]
        while open_keys:
            key = open_keys.pop()
            if key in found:
                continue
            found.add(key)
            for requirement in self.requirements(key):
                provider = self.provider(canonicalize_name(requirement.name))
                if provider is not None:
                    open_keys.append(provider)
        return found

    def conflicts(self, key: str) -> Iterator[Conflict]:
        """Yield the requirements of a distribution that are not met."""
        seen: set[str] = set()
        for requirement in self.requirements(key):
            name = canonicalize_name(requirement.name)
            wanted = str(requirement.specifier)
            provider = self.provider(name)
            if provider is None and is_planned(self.packages[key]):
                continue  # whoever installs it brings that along
            if provider is None:
                bare = name.replace("-", "_") in self._modules
                conflict = Conflict(key, name, wanted, None, name, bare)
            else:
                version = self.packages[provider].get("version", "")
                if requirement.url or _contains(requirement, version):
                    continue
                conflict = Conflict(key, name, wanted, version, provider)
            if conflict.text not in seen:
                seen.add(conflict.text)
                yield conflict


def _contains(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return True  # a version that is none cannot be judged


def completed(packages: Installed) -> dict[str, Distribution]:
    """Return the distributions, those that nobody has installed yet with the tables' requirements.

    What a requirements file names has no metadata to ask.
    """
    found: dict[str, Distribution] = {}
    for key, distribution in packages.items():
        if "requires" not in distribution:
            row = release_of(key, distribution.get("version"))
            if row is not None and row.get("requires"):
                distribution = {**distribution, "requires": list(row["requires"])}
        found[key] = distribution
    return found


def release_of(key: str, version: str | None) -> Mapping[str, Any] | None:
    """Return what the release tables know of a release of a distribution, None for nothing."""
    parsed = version_of(version)
    if parsed is None:
        return None
    for module in ("tensorflow", "cv2", "onnxruntime"):
        if key in PROVIDERS[module]:
            table = {"cv2": "opencv"}.get(module, module)
            row = releases.release(table, parsed.public, key)
            return row or (releases.release(table, parsed.public) if module != "cv2" else None)
    return releases.release(key, parsed.public)


#: What of TensorFlow's requirements its own checks judge.
_TENSORFLOW = frozenset(("numpy", "protobuf", "keras", "h5py", "ml-dtypes"))
_FACENET = frozenset(("torch", "torchvision", "numpy", "pillow"))


def owner(packages: Installed, conflict: Conflict) -> str:
    """Return the id of the check that reports a conflict, so that no two of them do."""
    if conflict.dependant in PROVIDERS["tensorflow"] and conflict.found is not None:
        if conflict.requirement == "keras" and major(conflict.found) != keras_of(packages):
            return "keras-version"
        if conflict.requirement == "protobuf":
            return "protobuf-mismatch"
        if conflict.requirement in _TENSORFLOW:
            return "tensorflow-version-matrix"
    if conflict.dependant == "torch" and is_cuda_package(conflict.requirement):
        return "torch-version-matrix"
    if (
        conflict.dependant == "facenet-pytorch"
        and conflict.requirement in _FACENET
        and conflict.found is not None
    ):
        return "facenet-pins"
    return "requirement-conflict"


def is_cuda_package(key: str) -> bool:
    """Whether a distribution is one of NVIDIA's libraries that torch is built with."""
    return key.startswith(("nvidia-", "cuda-"))


def major(version: str | None) -> int | None:
    """Return the first number of a version."""
    parsed = version_of(version)
    return parsed.major if parsed else None


def tensorflow_of(packages: Installed) -> Distribution | None:
    """Return the TensorFlow distribution, None where there is none."""
    keys = sorted(PROVIDERS["tensorflow"] & packages.keys())
    return packages[keys[0]] if keys else None


def keras_of(packages: Installed) -> int | None:
    """Return the major release of Keras that the TensorFlow among the packages is made for."""
    tensorflow = tensorflow_of(packages)
    version = version_of(tensorflow.get("version")) if tensorflow else None
    if version is None:
        return None
    return 3 if version.release >= (2, 16) else 2
