"""Releases that are known to fail: the rows of ``issues.toml``, and which of them hold here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.knowledge.lookup import signatures, table


@dataclass(frozen=True)
class Issue:
    """A known fault of releases; the columns are explained at the top of ``issues.toml``."""

    id: str
    package: str
    affected: tuple[str, ...]
    platform: tuple[str, ...]
    severity: str
    trigger: str
    cause: str
    remedy: str
    source: str
    evidence: str
    confidence: str
    reviewed: str
    check: str
    signature: str = ""
    siblings: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    python: str = ""
    driver: str = ""
    min_compute_capability: str = ""
    max_compute_capability: str = ""
    requires_gpu: bool = False
    variant: tuple[str, ...] = ()
    missing_import: tuple[str, ...] = ()
    planned: bool = False
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What decides which issues hold. What is not known stays empty, and then nothing holds by it.

    ``installed`` are versions by distribution, ``variants`` the build labels (cu126, cpu) by
    distribution, ``capabilities`` the compute capabilities of the GPUs. ``planned`` names the
    distributions that are to be installed and are not yet.
    """

    installed: Mapping[str, str]
    python: str = ""
    platform: str = ""
    machine: str = ""
    wsl: bool = False
    driver: str = ""
    capabilities: tuple[str, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    planned: frozenset[str] = frozenset()

    @property
    def platforms(self) -> frozenset[str]:
        """The words of the tables that fit this machine."""
        system = {"win32": "windows"}.get(self.platform, self.platform)
        arch = {"amd64": "x86_64", "arm64": "arm64"}.get(self.machine.lower(), self.machine)
        return frozenset({"any", system, f"{system}-{arch}"} | ({"wsl2"} if self.wsl else set()))


@cache
def conditions() -> tuple[Issue, ...]:
    """Return all known issues as they stand, cause and remedy empty where a signature has them.

    The table of signatures, which is large, stays closed.
    """
    found = []
    for row in table("issues")["issue"]:
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in row.items()
        }
        values["requirements"] = values.pop("with", ())
        found.append(Issue(**{"cause": "", "remedy": "", **values}))
    return tuple(found)


@cache
def issues() -> tuple[Issue, ...]:
    """Return all known issues; cause and remedy come from the signature where they are its own."""
    return tuple(_told(row) for row in conditions())


def _told(row: Issue) -> Issue:
    """Return an issue with its cause and its remedy."""
    if row.cause and row.remedy:
        return row
    failure = next((one for one in signatures() if one.id == row.signature), None)
    if failure is None:
        return row
    return replace(row, cause=row.cause or failure.cause, remedy=row.remedy or failure.remedy)


def known_issues(
    machine: Machine, missing: Collection[str] = (), shown: Collection[str] = ()
) -> list[Issue]:
    """Return the issues that hold on a machine.

    Args:
        machine: What is installed, and on what.
        missing: Modules that could not be imported, for rows that wait for one.
        shown: Ids of signatures that a run showed, for rows that go by what is observed; without
            it none of these rows holds, whatever is installed.
    """
    return [
        _told(row)
        for row in conditions()
        if (
            row.trigger == "static"
            or (row.trigger == "observed" and row.signature in shown)
            or (row.trigger == "missing-import" and set(row.missing_import) & set(missing))
        )
        and holds(row, machine)
    ]


def holds(row: Issue, machine: Machine) -> bool:
    """Whether all conditions of a row but its trigger are met."""
    installed = {_normal(key): value for key, value in machine.installed.items()}
    if row.planned:
        installed = {key: version for key, version in installed.items() if key in machine.planned}
    return (
        bool(machine.platforms & set(row.platform))
        and _affected(row, machine, installed)
        and all(_met(text, installed) for text in row.requirements)
        and (not row.python or _contains(row.python, machine.python))
        and (not row.driver or _contains(row.driver, machine.driver))
        and _gpu(row, machine)
        and (not row.variant or machine.variants.get(row.package) in row.variant)
    )


@lru_cache(maxsize=4096)
def _normal(name: str) -> str:
    """Return a normalised name; each is asked for once a row."""
    return str(canonicalize_name(name))


def _affected(row: Issue, machine: Machine, installed: Mapping[str, str]) -> bool:
    if row.package == "nvidia-driver":
        versions = [machine.driver]
    else:
        names = [canonicalize_name(name) for name in (row.package, *row.siblings)]
        versions = [installed[name] for name in names if name in installed]
    return any(_contains(spec, version) for spec in row.affected for version in versions)


def _met(text: str, installed: Mapping[str, str]) -> bool:
    requirement = Requirement(text)
    version = installed.get(canonicalize_name(requirement.name))
    return version is not None and _contains(str(requirement.specifier), version)


def _gpu(row: Issue, machine: Machine) -> bool:
    if not row.requires_gpu:
        return True
    low = Version(row.min_compute_capability or "0")
    high = Version(row.max_compute_capability or "999")
    return any(low <= Version(capability) <= high for capability in machine.capabilities)


def _contains(specifiers: str, version: str) -> bool:
    if not version:
        return False
    try:
        return SpecifierSet(specifiers).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
