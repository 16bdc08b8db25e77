"""What drivers, CUDA releases and builds need of each other: look-ups in ``releases/cuda.toml``.

A driver runs everything built for its own CUDA release and older ones. Since CUDA 11 it also runs
what was built for a newer minor release of its major one (minor-version compatibility).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.knowledge.releases import rows

#: The first major release of CUDA whose minor releases share a driver.
_FIRST_COMPATIBLE = 11


@dataclass(frozen=True)
class Wheel:
    """A build of torch by its label, and the compute capabilities that it holds code for."""

    releases: str  # PEP 440, of torch
    variants: tuple[str, ...]  # "cu128"
    capabilities: tuple[str, ...]  # "8.6"
    ptx: tuple[str, ...]  # capabilities whose code the driver translates for newer cards
    source: str


def numbers(text: str | None) -> tuple[int, ...]:
    """Return "12.8" as (12, 8), () for what holds no number."""
    return tuple(int(part) for part in re.findall(r"\d+", text or "")[:3])


def cuda_of_label(label: str) -> str:
    """Return the CUDA release of a local label: "cu128" is 12.8, "" for other labels."""
    match = re.fullmatch(r"cu(\d+)(\d)", label)
    return f"{match[1]}.{match[2]}" if match else ""


def cuda_of_driver(driver: str | None) -> str | None:
    """Return the highest CUDA release of a driver ("550.54.15"), None where unknown."""
    branch = numbers(driver)[:1]
    for row in reversed(rows("cuda", "driver_branch")):
        if branch and branch[0] >= row["branch"]:
            # Within a branch it does not change; a branch between two rows has at least the lower.
            return str(row["nvidia_smi_cuda"])
    return None


def runs(driver_cuda: str, build_cuda: str) -> bool:
    """Whether a driver whose own CUDA release is the first runs builds for the second."""
    own, wanted = numbers(driver_cuda)[:2], numbers(build_cuda)[:2]
    if not own or not wanted:
        return True  # nothing is known, so nothing is said
    if wanted[0] >= _FIRST_COMPATIBLE:
        return own[0] >= wanted[0]
    return own >= wanted


def driver_needed(cuda: str, windows: bool) -> str | None:
    """Return the oldest driver that runs builds for a CUDA release, None where unknown."""
    key = "driver_windows_min" if windows else "driver_linux_min"
    major = numbers(cuda)[:1]
    for row in rows("cuda", "minor_compat"):
        if major and row["cuda_major"] == str(major[0]):
            return row.get(key)
    return None


def torch_wheels() -> list[Wheel]:
    """Return the builds of torch whose compute capabilities are known, the newest first."""
    found = [_wheel(row) for row in rows("torch", "wheel_arch")]
    return sorted(found, key=lambda wheel: numbers(wheel.releases), reverse=True)


def _wheel(row: dict[str, Any]) -> Wheel:
    return Wheel(
        releases=str(row["torch"]),
        variants=tuple(re.findall(r"cu\d+", row["variant"])),
        capabilities=tuple(row["compute_capabilities"]),
        ptx=tuple(re.findall(r"\d+\.\d+", row.get("ptx", ""))),
        source=str(row["source"]),
    )


def torch_wheel(version: str | None, variant: str) -> Wheel | None:
    """Return the build of a torch by its release and label ("cu128"), None where unknown."""
    try:
        known = Version(version or "")
        return next(
            (
                wheel
                for wheel in torch_wheels()
                if variant in wheel.variants
                and SpecifierSet(wheel.releases).contains(known.base_version)
            ),
            None,
        )
    except (InvalidVersion, InvalidSpecifier):
        return None


def has_code_for(capability: str, compiled: tuple[str, ...], ptx: tuple[str, ...]) -> bool:
    """Whether a build runs on a device: compiled for its major capability, or translated for it.

    Code for 8.0 runs on 8.6, not the other way, and not on 9.0; PTX runs on anything newer.
    Source: CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility".
    """
    device = numbers(capability)[:2]
    if len(device) < 2:
        return True  # nothing is known, so nothing is said
    return any(
        one[0] == device[0] and one <= device for one in (numbers(text)[:2] for text in compiled)
    ) or any(numbers(text)[:2] <= device for text in ptx)
