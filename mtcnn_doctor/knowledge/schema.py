"""The form of the tables: which kinds of rows there are, and the columns of each.

Every row of every table has an id, a source, a confidence and the date on which somebody last
compared it with its source. `problems` says what a table holds that it should not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

#: The tables but those in ``releases/``, and two of another form: mitigations.toml, which
#: mitigations.py holds to its own, and subjects.toml, which holds measurements.
TABLES = (
    "abi", "cpu", "inputs", "issues", "memory", "notes", "python", "signatures", "torchvision",
)  # fmt: skip

_COMMON = {"id": str, "source": str, "confidence": str, "reviewed": str}
_COMMON_OPTIONAL: dict[str, type] = {"also": list, "note": str}


@dataclass(frozen=True)
class Kind:
    """A kind of row: its own columns with their types, and those that hold versions.

    ``specifiers`` are ranges, ``requirements`` whole requirements, ``versions`` single versions;
    ``choices`` the words that a column may hold.
    """

    columns: Mapping[str, type]
    optional: Mapping[str, type] = field(default_factory=dict)
    specifiers: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_SEVERITIES = ("error", "warning", "info")

KINDS: dict[str, Kind] = {
    "signature": Kind(
        {"family": str, "severity": str, "cause": str, "remedy": str},
        {
            "patterns": list, "needs": list, "described": list, "ambiguous": bool, "affects": list,
            "commands": list, "check": str, "signal": str, "reproduced": bool,
        },
        requirements=("affects",),
        choices={"severity": _SEVERITIES},
    ),
    "issue": Kind(
        {
            "package": str, "affected": list, "platform": list, "severity": str, "trigger": str,
            "evidence": str, "check": str,
        },
        {
            "signature": str, "cause": str, "remedy": str, "siblings": list, "with": list,
            "python": str, "driver": str, "min_compute_capability": str,
            "max_compute_capability": str, "requires_gpu": bool, "variant": list,
            "missing_import": list, "planned": bool, "commands": list,
        },
        specifiers=("affected", "python", "driver"),
        requirements=("with", "siblings"),
        versions=("min_compute_capability", "max_compute_capability"),
        choices={
            "severity": _SEVERITIES,
            "trigger": ("static", "observed", "missing-import"),
            "platform": (
                "any", "linux", "linux-x86_64", "linux-aarch64", "darwin", "darwin-arm64",
                "darwin-x86_64", "windows", "wsl2",
            ),
        },
    ),
    "note": Kind({"about": str, "says": str}),
    "input": Kind({"condition": str, "says": str, "answers": dict}, {"repair": str}),
    "numpy2": Kind({"package": str, "first": str}, {"platform": str}, versions=("first",)),
    "loose_pin": Kind(
        {"package": str, "affected": str, "requirements": list, "reason": str},
        specifiers=("affected",), requirements=("requirements",),
    ),
    "model": Kind(
        {
            "contender": str, "kind": str, "affected": str, "base_mib": float,
            "address_mib": float, "worst_percent": float, "measured": str,
        },
        {"image": float, "finest": float, "band": float, "pyramid": float},
        specifiers=("affected",), choices={"kind": ("backend", "subject")},
    ),
    "need": Kind(
        {"package": str, "affected": str, "name": str, "flags": list}, specifiers=("affected",)
    ),
    "end_of_life": Kind({"series": str, "date": str}, versions=("series",)),
    "pair": Kind({"torch": str, "torchvision": str}, {"torchaudio": str}),
    "release": Kind(
        {"version": str},
        {
            "distribution": str, "python": str, "requires_python": str, "requires": list,
            "wheels": dict, "glibc_min": str, "macos_min": dict, "yanked": str, "update": str,
            "driver_linux": str, "driver_windows": str, "wheel": str, "sdist": bool, "major": int,
            "backend_required": bool, "works_with": list, "framework": str, "needs_cv2": bool,
            "needs_pkg_resources": bool, "weights": str, "extras": dict, "abi": str,
            "driver_branch": str, "numpy2": str, "max_opset": int, "max_ir": int, "gpu_cuda": str,
            "gpu_cudnn": str, "requires_numpy2": bool, "gui": bool, "numpy_py39_plus": str,
            "numpy": list, "tested_python": str, "tested_cuda": str, "tested_cudnn": str,
            "keras_major": int, "protobuf": list, "h5py": list, "keras": list,
            "extra_and_cuda": list, "form": str, "cuda": str, "python_min": str, "cc_min": str,
            "default_cuda": str, "default_cudnn": str, "default_cuda_linux_arch": list,
            "default_windows": str, "default_macos": str, "driver_min_linux": str,
            "driver_min_windows": str, "torchvision": list, "torchaudio": list,
            "torchvision_range": list, "torchaudio_range": list, "release_matrix_python": str,
            "stable_cuda": str, "experimental_cuda": str,
        },
        specifiers=("python", "requires_python"),
        versions=(
            "version", "glibc_min", "driver_min_linux", "driver_min_windows", "torchvision",
            "torchaudio",
        ),
    ),
    "wheel_arch": Kind(
        {"torch": str, "variant": str, "compute_capabilities": list, "linux_arch": str},
        {"ptx": str}, specifiers=("torch",), versions=("compute_capabilities",),
    ),
    "minor_compat": Kind(
        {"cuda_major": str, "driver_branch_min": int, "driver_linux_min": str},
        {"driver_windows_min": str, "branch_native_below": str},
        versions=("driver_linux_min", "driver_windows_min"),
    ),
    "driver_branch": Kind({"branch": int, "nvidia_smi_cuda": str}, versions=("nvidia_smi_cuda",)),
    "coinstall": Kind(
        {
            "tensorflow": str, "extra": str, "torch_ok": list, "torch_conflict": list,
            "conflicting": list, "platform": str,
        },
        versions=("tensorflow", "torch_ok", "torch_conflict"),
    ),
    "api_difference": Kind({"topic": str, "v0": str, "v1": str}),
    "fork": Kind(
        {"repository": str, "tensorflow": str}, {"keras": str, "python": str, "h5py": str}
    ),
    "format_rule": Kind(
        {"keras": str, "format": str, "loads": bool}, {"message": str}, specifiers=("keras",)
    ),
    "jetpack": Kind(
        {"jetpack": str},
        {
            "l4t": str, "tensorrt": str, "cuda": str, "cudnn": str, "python": str, "opencv": str,
            "glibc": str, "torch": str, "boards": str,
        },
    ),
}  # fmt: skip


def problems(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong in a table, a line for each fault."""
    if document.get("schema_version") != 1:
        yield "schema_version is not 1"
    seen: set[str] = set()
    for name, rows in document.items():
        if name == "schema_version":
            continue
        kind = KINDS.get(name)
        if kind is None:
            yield f"no kind of row is called {name}"
            continue
        for row in rows:
            id = str(row.get("id", "a row without an id"))
            if id in seen:
                yield f"{id} stands there twice"
            seen.add(id)
            yield from (f"{id}: {fault}" for fault in _faults(row, kind))


def _faults(row: Mapping[str, Any], kind: Kind) -> Iterator[str]:
    required = {**_COMMON, **kind.columns}
    known = {**required, **_COMMON_OPTIONAL, **kind.optional}
    for column in required.keys() - row.keys():
        yield f"lacks {column}"
    for column, value in row.items():
        if column not in known:
            yield f"has an unknown column {column}"
        elif type(value) is not known[column]:
            yield f"{column} is of type {type(value).__name__}"
        elif value == "" or value == []:
            yield f"{column} is empty"
    if row.get("confidence") not in ("high", "medium", "low"):
        yield "confidence is high, medium or low"
    if not re.fullmatch(r"[a-z0-9]+(?:[-.+_][a-z0-9]+)*", str(row.get("id"))):
        yield "ids are of small letters, digits and hyphens"
    try:
        date.fromisoformat(str(row.get("reviewed")))
    except ValueError:
        yield "reviewed is a date"
    yield from _versions(row, kind)
    for column, words in kind.choices.items():
        for value in _each(row.get(column)):
            if value not in words:
                yield f"{column} cannot be {value}"


def _versions(row: Mapping[str, Any], kind: Kind) -> Iterator[str]:
    readers = ((kind.specifiers, SpecifierSet), (kind.requirements, Requirement),
               (kind.versions, Version))  # fmt: skip
    for columns, read in readers:
        for column in columns:
            for value in _each(row.get(column)):
                try:
                    read(value)
                except (InvalidSpecifier, InvalidRequirement, InvalidVersion) as fault:
                    yield f"{column}: {fault}"


def _each(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
