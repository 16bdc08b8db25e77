"""Where packages are to be installed: a version of Python on a platform, perhaps not this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement

#: Platform names as people write them, by the names of the tables.
PLATFORMS: dict[str, tuple[str, ...]] = {
    "linux_x86_64": ("linux-x86_64", "linux-amd64", "linux"),
    "linux_aarch64": ("linux-aarch64", "linux-arm64"),
    "macos_arm64": ("macos-arm64", "darwin-arm64", "macos"),
    "macos_x86_64": ("macos-x86_64", "macos-intel", "darwin-x86_64"),
    "win_amd64": ("windows-amd64", "windows-x86_64", "windows", "win-amd64", "win_amd64"),
    "win_arm64": ("windows-arm64", "win-arm64"),
}

# sys.platform, platform.system(), os.name, platform.machine()
_MARKERS = {
    "linux_x86_64": ("linux", "Linux", "posix", "x86_64"),
    "linux_aarch64": ("linux", "Linux", "posix", "aarch64"),
    "macos_arm64": ("darwin", "Darwin", "posix", "arm64"),
    "macos_x86_64": ("darwin", "Darwin", "posix", "x86_64"),
    "win_amd64": ("win32", "Windows", "nt", "AMD64"),
    "win_arm64": ("win32", "Windows", "nt", "ARM64"),
}


@dataclass(frozen=True)
class Place:
    """A CPython, "3.13" or "3.13.1", on a platform, which is a key of :data:`PLATFORMS`."""

    python: str
    platform: str
    free_threaded: bool = False

    @property
    def series(self) -> tuple[int, int]:
        """Return (major, minor)."""
        major, minor = self.python.split(".")[:2]
        return int(major), int(minor)

    @property
    def full(self) -> str:
        """The version to hold ranges against; without a patch level, a late one is meant."""
        return self.python if self.python.count(".") > 1 else f"{self.python}.99"

    @property
    def short(self) -> str:
        """Return "3.13", or "3.13t" without the global lock."""
        return "{}.{}".format(*self.series) + ("t" if self.free_threaded else "")

    @property
    def name(self) -> str:
        """Say it in words."""
        return f"Python {self.short} on {PLATFORMS[self.platform][0]}"

    @property
    def sys_platform(self) -> str:
        """What ``sys.platform`` is there."""
        return _MARKERS[self.platform][0]

    @property
    def machine(self) -> str:
        """What ``platform.machine()`` is there."""
        return _MARKERS[self.platform][3]

    def markers(self) -> dict[str, str]:
        """Return the PEP 508 marker environment."""
        sys_platform, system, os_name, machine = _MARKERS[self.platform]
        return {
            "implementation_name": "cpython",
            "implementation_version": self.full,
            "os_name": os_name,
            "platform_machine": machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": system,
            "platform_version": "",
            "python_full_version": self.full,
            "python_version": "{}.{}".format(*self.series),
            "sys_platform": sys_platform,
        }

    def has_wheel(self, wheels: Mapping[str, Any]) -> bool:
        """Whether one of the wheels of a release (platform to Python tags) can be used here.

        "3.11" is a tag of one Python, "3.13t" of one without the global lock, "3.7+" of the stable
        interface, which every later Python but a free-threaded one has.
        """
        for tag in wheels.get(self.platform, ()):
            if tag == self.short:
                return True
            if tag.endswith("+") and not self.free_threaded:
                major, minor = tag[:-1].split(".")
                if (int(major), int(minor)) <= self.series:
                    return True
        return False

    def applies(self, requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
        """Whether the marker of a requirement holds here, with these extras asked for."""
        if requirement.marker is None:
            return True
        known = self.markers()
        return any(
            requirement.marker.evaluate({**known, "extra": extra}) for extra in ("", *extras)
        )


def platform_named(name: str) -> str | None:
    """Return the key of a platform that people call so, None for none."""
    wanted = name.strip().lower().replace("_64", "-64").replace("_", "-").replace("-64", "_64")
    for key, names in PLATFORMS.items():
        if wanted in names or name == key:
            return key
    return None


def platform_of(sys_platform: str, machine: str) -> str | None:
    """Return the key of the platform of an interpreter's facts, None for one not in the tables."""
    for key, (system, _, _, known) in _MARKERS.items():
        if sys_platform == system and machine.lower() == known.lower():
            return key
    return None
