"""The facts of ``check --requirements``: what files ask for, and what that comes to."""

from __future__ import annotations

from typing import TypedDict


class DeclaredExclusion(TypedDict):
    """Why lines of requirements files exclude each other, or a place (part of Declared)."""

    kind: str  # "wheel", "lines", "asks", "together"
    name: str
    text: str
    origins: list[str]  # "requirements.txt:4"
    others: list[str]
    hint: str
    loose: str  # why a pin is known to be narrower than need be, "" where it is not


class DeclaredPython(TypedDict):
    """A condition on Python in a requirements file (part of Declared)."""

    specifier: str
    where: str
    allows: bool


class DeclaredChoice(TypedDict):
    """A release that would be installed (part of Declared)."""

    name: str
    version: str
    pinned: bool
    brought_by: list[str]  # other releases, where no line names it


class Declared(TypedDict, total=False):
    """What requirements files ask for, at a place (``check --requirements``)."""

    files: list[str]
    place: str  # "Python 3.13 on macos-arm64"
    locked: bool  # every line is a release of a lock file
    lines: list[dict[str, str]]  # name, specifier, where, kind
    python: list[DeclaredPython]
    exclusions: list[DeclaredExclusion]
    compiled: list[str]  # releases without a wheel there that pip would compile
    chosen: list[DeclaredChoice]
    unknown: list[dict[str, str]]  # releases of interest that no table has
    unjudged: list[str]  # other packages that no table has
    remarks: list[str]
    undecided: bool
