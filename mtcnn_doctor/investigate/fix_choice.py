"""Which of the ways that remedies offer are taken, so that all of them can be gone at once.

Two remedies may pin the same package, and what one installs may be too new for a package that
another keeps. Ways are held against each other and against what the installed packages require;
where no way fits, the tables of releases are asked for a set that goes together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.investigate.fix_commands import Change
from mtcnn_doctor.investigate.fix_place import is_in
from mtcnn_doctor.knowledge.catalogue import is_known
from mtcnn_doctor.knowledge.place import Place, platform_of
from mtcnn_doctor.knowledge.resolve import Search, Undecided, Want, possible

#: Combinations of ways that are tried; beyond it each finding's first way is taken.
_MOST = 512


@dataclass(frozen=True)
class Way:
    """One way to mend a finding: changes that are made together. ``name`` is "id:about"."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Choice:
    """The ways taken. ``refused`` says of a finding why none of its ways was."""

    ways: tuple[Way, ...]
    refused: Mapping[str, str]


class Installed:
    """What is installed in the target, and what of it requires what."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._python: Mapping[str, Any] = facts.get("python") or {}
        self.rows: dict[str, Mapping[str, Any]] = {}
        prefix = str(self._python.get("prefix") or "")
        for row in (facts.get("packages") or {}).get("distributions") or ():
            # What PYTHONPATH or the user site brings, no installer of the environment changes.
            if row.get("key") and (not prefix or is_in(str(row.get("location") or prefix), prefix)):
                self.rows.setdefault(str(row["key"]), row)

    @cached_property
    def asks(self) -> dict[str, list[tuple[str, str]]]:
        """Distribution to those that require it: their names, and the ranges they allow."""
        found: dict[str, list[tuple[str, str]]] = {}
        for key, row in self.rows.items():
            for line in row.get("requires") or ():
                requirement = self._requirement(str(line))
                if requirement is not None:
                    name = canonicalize_name(requirement.name)
                    found.setdefault(name, []).append((key, str(requirement.specifier)))
        return found

    def _requirement(self, line: str) -> Requirement | None:
        try:
            requirement = Requirement(line)
            marker = requirement.marker
            known = {**(self._python.get("markers") or {}), "extra": ""}
            if requirement.url or (marker is not None and not marker.evaluate(known)):
                return None
        except (
            InvalidRequirement,
            InvalidMarker,
            InvalidVersion,
            UndefinedComparison,
            UndefinedEnvironmentName,
        ):
            return None
        return requirement

    def version(self, key: str) -> str:
        """Return the version of a distribution, "" where it is not installed."""
        return str((self.rows.get(key) or {}).get("version") or "")

    def meets(self, key: str, text: str) -> bool:
        """Whether what is installed of a distribution lies in a range."""
        try:
            return key in self.rows and SpecifierSet(text).contains(
                Version(self.version(key)), prereleases=True
            )
        except InvalidVersion:
            return False

    @property
    def place(self) -> Place | None:
        """Where it is installed, None where the tables know nothing of that platform."""
        key = platform_of(
            str(self._python.get("platform", "")), str(self._python.get("machine", ""))
        )
        version = str(self._python.get("version", ""))
        if key is None or version.count(".") < 1:
            return None
        return Place(version, key, bool(self._python.get("free_threaded")))


def choose(offers: Sequence[Sequence[Way]], installed: Installed) -> Choice:
    """Choose one way of each finding; ``offers`` are in the order of urgency."""
    offers = [offer for offer in offers if offer]
    count = 1
    for offer in offers:
        count *= len(offer)
    combinations: Iterable[tuple[Way, ...]] = (
        itertools.product(*offers) if count <= _MOST else [tuple(offer[0] for offer in offers)]
    )
    best = min(combinations, key=lambda ways: _costs(ways, offers, installed))
    return _agreeing(best, installed)


def _costs(
    ways: Sequence[Way], offers: Sequence[Sequence[Way]], installed: Installed
) -> tuple[int, int, int, int]:
    ranges = ranges_of(ways)
    contradictions = sum(not possible(text) for text in ranges.values())
    broken = sum(len(broken_by(name, text, ranges, installed)) for name, text in ranges.items())
    order = sum(list(offer).index(way) for offer, way in zip(offers, ways, strict=True))
    return contradictions, broken, len(ranges), order


def ranges_of(ways: Iterable[Way]) -> dict[str, str]:
    """Return for each distribution the range that all ways allow together."""
    found: dict[str, set[str]] = {}
    for way in ways:
        for change in way.changes:
            for requirement in change.requirements:
                texts = found.setdefault(canonicalize_name(requirement.name), set())
                texts.update(str(one) for one in requirement.specifier)
    return {name: ",".join(sorted(texts)) for name, texts in found.items()}


def broken_by(name: str, text: str, ranges: Mapping[str, str], installed: Installed) -> list[str]:
    """Return the distributions that a change of another would break, and that stay as they are."""
    return [
        dependant
        for dependant, wanted in installed.asks.get(name, ())
        if dependant not in ranges
        and installed.meets(name, wanted)
        and not possible(",".join(filter(None, (text, wanted))))
    ]


def _agreeing(ways: tuple[Way, ...], installed: Installed) -> Choice:
    """Replace what contradicts itself by releases that go together, or leave the later one out."""
    taken: list[Way] = []
    refused: dict[str, str] = {}
    for way in ways:
        ranges = ranges_of([*taken, way])
        clash = [name for name in ranges if not possible(ranges[name])]
        if not clash:
            taken.append(way)
            continue
        others = [one for one in taken if set(clash) & ranges_of([one]).keys()]
        settled = _settled(way, others, clash, installed)
        if settled is None:
            mine = ranges_of([way])
            theirs = ranges_of(others)
            refused[way.name] = "; ".join(
                f"it wants {name}{mine[name]}, and {' and '.join(one.name for one in others)}"
                f" {'wants' if len(others) == 1 else 'want'} {name}{theirs[name]}; no releases"
                " are known with which both can be: give them environments of their own"
                for name in clash
            )
            continue
        taken = [one for one in taken if one not in others]
        taken += [replace(one, changes=(settled,)) for one in (*others, way)]
    return Choice(tuple(taken), refused)


def _settled(
    way: Way, others: Sequence[Way], clash: Sequence[str], installed: Installed
) -> Change | None:
    """Ask the tables for releases of all that is concerned; the fewest of them are changed."""
    place = installed.place
    if place is None:
        return None
    owners = [one.name.partition(":")[2].split(" ")[0] for one in (*others, way)]
    concerned = list(dict.fromkeys(name for name in owners if name in installed.rows))
    if not concerned or not all(is_known(name) for name in concerned):
        return None
    # One of them changes, then two, ...
    for count in range(1, len(concerned) + 1):
        for free in itertools.combinations(reversed(concerned), count):
            wants = [
                Want(name, "" if name in free else f"=={installed.version(name)}")
                for name in concerned
            ]
            wants += [Want(name) for name in clash if name not in concerned]
            try:
                found = Search(place, wants).run()
            except Undecided:
                return None
            if found is None or any(not one.known for one in found.chosen.values()):
                continue
            pins = [
                Requirement(f"{name}=={found.chosen[name].version}")
                for name in (*concerned, *clash)
                if name in found.chosen
            ]
            pins += [Requirement(f"{name}{text}") for name, text in found.open.items()
                     if name in clash]  # fmt: skip
            return Change(tuple(pins), upgrade=True)
    return None
