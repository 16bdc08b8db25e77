"""Requirements of the installed distributions against what is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from mtcnn_doctor.facts import Distribution, Loaded, Packages, Python
from mtcnn_doctor.knowledge import companion_series, loose_pins
from mtcnn_doctor.model import Finding, Findings, check, error, info, skip, warning

from ._installed import (
    FRAMEWORKS,
    PROVIDERS,
    installed,
    is_loaded,
    joined,
    label,
    of_interest,
    providers_of,
)

Installed = Mapping[str, Distribution]


@dataclass(frozen=True)
class Conflict:
    """One requirement that is not met."""

    dependant: str
    requirement: str  # normalised name
    wanted: str  # the version specifier, "" where any release would do
    found: str | None  # installed version, None where it is missing
    provider: str  # which distribution was looked at

    @property
    def text(self) -> str:
        """Say the conflict in a few words."""
        wanted = self.requirement + self.wanted
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


class Graph:
    """Who requires whom in the target, with the extras that somebody asked for."""

    def __init__(self, packages: Installed, markers: Mapping[str, str]) -> None:
        self.packages = packages
        self.markers = markers
        self._extras: dict[str, set[str]] = {key: set() for key in packages}
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
                        changed = True

    def requirements(self, key: str) -> Iterator[Requirement]:
        """Yield the requirements of a distribution that hold here."""
        extras = self._extras.get(key, set())
        lines = (self.packages.get(key) or {}).get("requires") or []
        wanted = {str(canonicalize_name(extra)) for extra in extras}
        for requirement in _parsed(lines, wanted):
            if _applies(requirement, self.markers, extras):
                yield requirement

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
            if provider is None:
                conflict = Conflict(key, name, wanted, None, name)
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


def _proven(keys: set[str], states: Mapping[str, bool | None]) -> bool:
    """Whether every framework among these distributions was imported, and at least one was."""
    known = [
        states.get(framework)
        for framework, distributions in FRAMEWORKS.items()
        if keys & distributions
    ]
    return bool(known) and all(known)


@check(
    "requirement-conflict",
    family="packages",
    title="requirements of the installed packages are met",
)
def requirement_conflict(
    packages: Packages,
    python: Python,
    numpy: Loaded | None = None,
    opencv: Loaded | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
) -> Findings:
    """Compare Requires-Dist with what is installed.

    ## What it checks
    The Requires-Dist lines of every installed distribution, with the markers of the target and
    the extras that other distributions ask for. A requirement of one OpenCV, TensorFlow or ONNX
    Runtime distribution counts as met by another that brings the same module.

    ## Why it matters
    pip installs one package after the other and lets the last one win: upgrading NumPy, protobuf
    or Keras for one package leaves another with a release it was not made for, and its import or
    its first call fails. Among the packages that MTCNN detectors are made of this is an error;
    when the framework was imported all the same it is a warning; elsewhere it is only told.

    ## How to fix it
    Install a release that all sides accept with the command shown, or keep packages that cannot
    agree in separate environments.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/dependency-specifiers/
    - https://github.com/timesler/facenet-pytorch/issues/231
    """
    markers = python.get("markers")
    if not markers:
        yield skip("the marker environment of the target is not known")
        return
    present = installed(packages)
    graph = Graph(present, markers)
    core = {key for key in present if of_interest(key)}
    reach = {key: graph.closure({key}) for key in sorted(core)}
    states = {
        "numpy": is_loaded(numpy),
        "opencv": is_loaded(opencv),
        "torch": is_loaded(torch),
        "tensorflow": is_loaded(tensorflow),
        "onnxruntime": is_loaded(onnxruntime),
    }
    elsewhere: list[Conflict] = []
    for key in sorted(present):
        roots = {root for root, reached in reach.items() if key in reached}
        if not roots:
            elsewhere.extend(graph.conflicts(key))
            continue
        proven = _proven({key} if key in core else roots, states)
        yield from _findings(graph, key, proven, direct=key in core)
    if elsewhere:
        yield info(
            f"{len(elsewhere)} requirements outside MTCNN's packages are not met",
            about="other packages",
            evidence={f"{row.dependant} ({row.requirement})": row.text for row in elsewhere[:10]},
            effect="MTCNN does not depend on these packages.",
        )


def _findings(graph: Graph, key: str, proven: bool, direct: bool) -> Iterator[Finding]:
    distribution = graph.packages[key]
    loose, reason = loose_pins(key, distribution.get("version", ""))
    stopping: list[Conflict] = []
    tolerated: list[Conflict] = []
    for conflict in graph.conflicts(key):
        if conflict.requirement in loose and conflict.found is not None:
            tolerated.append(conflict)
        elif conflict.requirement == "numpy" and conflict.found is not None:
            # The faults of a binary built for another NumPy have a check of their own.
            yield _finding(graph, key, [conflict], f"{key} (numpy)", proven, direct)
        else:
            stopping.append(conflict)
    if stopping:
        yield _finding(graph, key, stopping, key, proven, direct)
    if tolerated:
        yield info(
            f"{label(distribution)} {tolerated[0].text}",
            about=f"{key} (upper bounds)",
            evidence={row.requirement: row.text for row in tolerated},
            effect=f"{reason}; a later `pip install` of it would put older ones in their place.",
        )


def _finding(
    graph: Graph, key: str, conflicts: list[Conflict], about: str, proven: bool, direct: bool
) -> Finding:
    distribution = graph.packages[key]
    missing = any(row.found is None for row in conflicts)
    # A transitive requirement of the wrong version may never be touched; a missing one is, at
    # import. What has been imported already is not stopped by either.
    kind = error if (direct or missing) and not proven else warning
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    neighbours = {canonicalize_name(row.name) for row in graph.requirements(key)}
    requires = [f"torchvision-mismatch:{key}", f"mtcnn-missing-backend:{key}"]
    if about != key:
        requires += [f"numpy-abi:{name}" for name in sorted({key, *neighbours})]
    if key in PROVIDERS["cv2"]:
        requires.append("opencv-duplicates")
    if {(canonicalize_name(row.requirement), row.found) for row in conflicts} == {("numpy", None)}:
        requires.append("numpy-missing")
    fix, commands = _remedy(graph, distribution, conflicts)
    return kind(
        f"{label(distribution)} {conflicts[0].text}{more}",
        about=about,
        evidence={row.requirement: row.text for row in conflicts},
        effect="The framework was imported all the same; single functions may fail."
        if proven
        else f"{key} may fail at import or at its first call.",
        cause="Another installation changed "
        + joined(row.requirement for row in conflicts)
        + " after it, or it was installed without its requirements.",
        fix=fix,
        commands=commands,
        requires=requires,
    )


def _remedy(
    graph: Graph, distribution: Distribution, conflicts: list[Conflict]
) -> tuple[str, list[str]]:
    """Return what to do and the commands, which must not break a framework that works."""
    torch = str(graph.packages["torch"]["version"]) if "torch" in graph.packages else None
    other = [row for row in conflicts if torch and _made_for_another(row, torch)]
    if not other:
        return (
            "Install what it asks for, unless another package needs what is there.",
            [row.command for row in conflicts[:4]],
        )
    name = f"{distribution['name']}=={distribution['version']}"
    wanted = joined(f"{row.requirement}{row.wanted}" for row in other)
    return (
        f"{wanted} is made for another release than torch {torch}; installing it here would "
        f"replace torch. Give {name} an environment of its own, in which pip chooses all of them, "
        "or take a release of it that goes with this torch.",
        [f'python -m venv other-environment && other-environment/bin/pip install "{name}"'],
    )


def _made_for_another(conflict: Conflict, torch_version: str) -> bool:
    """Whether a missing companion of torch belongs to another torch than the installed one."""
    if conflict.requirement not in ("torchvision", "torchaudio") or not conflict.wanted:
        return False
    series = companion_series(conflict.requirement, torch_version)
    # A torch that is newer than the table has a companion that no upper bound of today allows.
    return (
        "<" in conflict.wanted or "==" in conflict.wanted
        if series is None
        else not SpecifierSet(conflict.wanted).contains(f"{series}.0", prereleases=True)
    )
