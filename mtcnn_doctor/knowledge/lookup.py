"""Reading the tables (once, when first asked) and finding rows in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from mtcnn_doctor import toml


@dataclass(frozen=True)
class Signature:
    """A failure that is known: its text, what stands behind it and what helps.

    The columns are explained at the top of ``signatures.toml``.
    """

    id: str
    family: str
    severity: str
    cause: str
    remedy: str
    source: str
    confidence: str
    reviewed: str
    patterns: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    described: tuple[str, ...] = ()
    affects: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    check: str = ""
    signal: str = ""
    ambiguous: bool = False
    reproduced: bool = False


@dataclass(frozen=True)
class NumpySupport:
    """Since which release a distribution is built for NumPy 2."""

    package: str
    first: str
    note: str = ""
    source: str = ""


@cache
def table(name: str) -> dict[str, Any]:
    """Return a table of this package as TOML gives it."""
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return toml.parse(text)


@cache
def signatures() -> tuple[Signature, ...]:
    """Return all known failures."""
    found = []
    for row in table("signatures")["signature"]:
        values: dict[str, Any] = row
        lists = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
        found.append(Signature(**{**values, **lists}))
    return tuple(found)


def match_error(text: str) -> list[Signature]:
    """Return the known errors that a text shows, best first, for a check to quote."""
    if not text.strip():
        return []
    # Imported here: most examinations meet no error.
    from mtcnn_doctor.knowledge.recognition import quotable

    return quotable(text)


def numpy2_support(key: str, platform: str = "") -> NumpySupport | None:
    """Return since when the distribution ``key`` is built for NumPy 2, None where unknown.

    ``platform`` is ``sys.platform`` of the target; a row for it goes before the general one.
    """
    general = None
    for row in table("abi")["numpy2"]:
        if key != row["package"] and key not in row.get("also", ()):
            continue
        support = NumpySupport(key, row["first"], row.get("note", ""), row["source"])
        if row.get("platform") == platform and platform:
            return support
        if "platform" not in row:
            general = support
    return general


def _series(version: str) -> str | None:
    try:
        parsed = Version(version)
    except InvalidVersion:
        return None
    return f"{parsed.major}.{parsed.minor}"


def companion_series(package: str, torch_version: str) -> str | None:
    """Return the series of torchvision or torchaudio made for a torch, None where unknown."""
    wanted = _series(torch_version)
    for row in table("torchvision")["pair"]:
        if row["torch"] == wanted:
            series = row.get(package)
            return str(series) if series else None
    return None


def cpu_needs(key: str, version: str) -> tuple[list[str], str, str]:
    """Return instruction sets a distribution needs on x86-64, their common name, the source."""
    for row in table("cpu")["need"]:
        names = [row["package"], *row.get("also", ())]
        if key in names and _contains(row["affected"], version):
            return list(row["flags"]), str(row["name"]), str(row["source"])
    return [], "", ""


def end_of_life(python: str) -> str | None:
    """Return the date on which a Python series ("3.9") ended, None while it is maintained."""
    for row in table("python")["end_of_life"]:
        if row["series"] == python:
            return str(row["date"])
    return None


def loose_pins(key: str, version: str) -> tuple[frozenset[str], str]:
    """Return requirements whose upper bounds are known to be too narrow, and the reason."""
    for row in table("abi")["loose_pin"]:
        if row["package"] == key and _contains(row["affected"], version):
            return frozenset(row["requirements"]), str(row["reason"])
    return frozenset(), ""


def subject_profile(name: str, version: str | None) -> dict[str, Any]:
    """Return how far a release of a package may be from the reference (subjects.toml).

    One that was never measured gets the profile that asks least.
    """
    rows: list[dict[str, Any]] = table("subjects")["profile"]
    for row in rows:
        if row["subject"] == name and version and _contains(row["affected"], version):
            return row
    return rows[-1]


def _contains(specifiers: str, version: str) -> bool:
    try:
        return SpecifierSet(specifiers).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
