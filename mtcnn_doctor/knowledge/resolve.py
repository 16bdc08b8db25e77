"""Choosing releases that go together, as an installer would: the newest first, by the tables.

A small backtracking search over what the tables know. What they do not know stays open: of such a
distribution only the ranges are kept, which must not contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.knowledge.catalogue import Release, is_known, newest, releases, requirement
from mtcnn_doctor.knowledge.place import Place

#: More releases than this are not tried: some seconds.
MOST_TRIALS = 20_000


@dataclass(frozen=True)
class Want:
    """A condition on one distribution. ``origin`` says whose it is ("a.txt:3", "torch 2.2.2").

    With ``only_limits`` it does not ask for the distribution (a constraints file). With
    ``any_build`` what wheels there are does not matter (conda has builds of its own).
    """

    name: str
    specifier: str = ""
    extras: frozenset[str] = frozenset()
    origin: str = ""
    only_limits: bool = False
    any_build: bool = False


@dataclass(frozen=True)
class Solution:
    """What would be chosen. ``open`` are distributions that no table knows, with their range."""

    chosen: Mapping[str, Release] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)


class Undecided(Exception):
    """The search was given up: neither a choice nor the proof that there is none."""


@lru_cache(maxsize=4096)
def specifiers(text: str) -> SpecifierSet:
    """Return a set of conditions; an unreadable one allows everything."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet("")


@lru_cache(maxsize=65536)
def fits(version: Version, text: str) -> bool:
    """Whether a version meets conditions; local labels count only where the condition has one."""
    return specifiers(text).contains(version, prereleases=True)


def pinned(text: str) -> Version | None:
    """Return the one version that conditions allow, None where they allow several."""
    for one in specifiers(text):
        if one.operator in ("==", "===") and not one.version.endswith(".*"):
            try:
                return Version(one.version)
            except InvalidVersion:
                return None
    return None


@lru_cache(maxsize=4096)
def possible(text: str) -> bool:
    """Whether some version meets conditions: looked for at every bound, and beside it."""
    points = ["0", "99999"]
    for one in specifiers(text):
        bound = one.version.removesuffix(".*")
        try:
            release = Version(bound).release
        except InvalidVersion:
            return True
        base = ".".join(map(str, release))
        points += [bound, f"{base}.0.1", f"{base}.99999"]
        if release[-1]:
            points.append(".".join(map(str, (*release[:-1], release[-1] - 1, 99999))))
        elif len(release) > 1 and release[-2]:
            points.append(".".join(map(str, (*release[:-2], release[-2] - 1, 99999))))
        elif release[0]:
            points.append(f"{release[0] - 1}.99999")
    return any(specifiers(text).contains(point, prereleases=True) for point in points)


def joint(wants: Iterable[Want]) -> str:
    """Return the conditions of several wants as one text."""
    return ",".join(sorted({want.specifier for want in wants if want.specifier}))


def candidates(wants: Sequence[Want], place: Place) -> list[Release]:
    """Return the releases of one distribution that meet all conditions at a place, newest first.

    A version that the file names and no table knows is taken as it is: nothing is known against
    it. The same goes for a range beyond the newest known release, which then has no version.
    """
    name, text = wants[0].name, joint(wants)
    any_build = any(want.any_build for want in wants)
    exact = pinned(text)
    found = []
    for release in releases(name):
        version = release.version
        if exact is not None and exact.local and version == Version(exact.public):
            version = exact
        if not fits(version, text) or (not any_build and release.excluded(place)):
            continue
        if exact is None and (release.yanked or version.is_prerelease):
            continue
        found.append(replace(release, version=version))
    if found:
        return found
    if exact is not None:
        known = any(release.version == Version(exact.public) for release in releases(name))
        if not known and fits(exact, text):
            return [Release(name, exact, known=False)]
    elif beyond(name, text):
        return [Release(name, Version("99999"), known=False)]
    return []


def beyond(name: str, text: str) -> bool:
    """Whether conditions only allow releases that are newer than the tables know."""
    last = newest(name)
    if last is None or any(fits(release.version, text) for release in releases(name)):
        return False
    above = ".".join(map(str, (*last.release[:-1], last.release[-1], 99999)))
    return possible(f"{text},>{above}" if text else "")


def asked(release: Release, extras: frozenset[str], place: Place) -> list[Want]:
    """Return what a release requires at a place, with these extras."""
    lines = [*release.requires, *(one for extra in extras for one in release.extras.get(extra, ()))]
    found = []
    for line in lines:
        parsed = requirement(line)
        if parsed is None or not place.applies(parsed, extras):
            continue
        name = str(canonicalize_name(parsed.name))
        own = frozenset(map(str.lower, parsed.extras))
        found.append(Want(name, str(parsed.specifier), own, str(release)))
    return found


class Search:
    """One search for a choice of releases.

    Args:
        place: Where they are to be installed.
        wants: What is asked for; the order is the order of preference.
        accept: Says of a release, beside those chosen so far, whether it may be taken.
    """

    def __init__(
        self,
        place: Place,
        wants: Sequence[Want],
        accept: Callable[[Release, Mapping[str, Release]], bool] | None = None,
    ) -> None:
        self._place = place
        self._wants = wants
        self._accept = accept
        self._trials = 0

    def run(self) -> Solution | None:
        """Return the first choice that holds, None where there is none.

        Raises:
            Undecided: after too many trials.
        """
        wants: dict[str, tuple[Want, ...]] = {}
        for want in self._wants:
            wants[want.name] = (*wants.get(want.name, ()), want)
        if not all(self._holds(name, wants, {}) for name in wants):
            return None
        return self._extend({}, wants)

    def _holds(
        self, name: str, wants: Mapping[str, tuple[Want, ...]], chosen: Mapping[str, Release]
    ) -> bool:
        """Whether a distribution can, or does, meet what is wanted of it so far."""
        own = wants[name]
        if name in chosen:
            release = chosen[name]
            anything = not release.known and release.version == Version("99999")
            return anything or fits(release.version, joint(own))
        if all(want.only_limits for want in own):
            return True  # nobody asks for it, so far
        if not is_known(name):
            return possible(joint(own))
        return bool(self._candidates(own))

    def _candidates(self, wants: tuple[Want, ...]) -> list[Release]:
        key = (wants[0].name, joint(wants), any(want.any_build for want in wants))
        return _candidates_at(key, wants, self._place)

    def _extend(
        self, chosen: dict[str, Release], wants: dict[str, tuple[Want, ...]]
    ) -> Solution | None:
        name = self._next(chosen, wants)
        if name is None:
            return Solution(
                chosen,
                {name: joint(own) for name, own in wants.items() if not is_known(name)
                 and not all(want.only_limits for want in own)},
            )  # fmt: skip
        for release in self._candidates(wants[name]):
            self._trials += 1
            if self._trials > MOST_TRIALS:
                raise Undecided
            if self._accept is not None and not self._accept(release, chosen):
                continue
            extras = frozenset(extra for want in wants[name] for extra in want.extras)
            further = dict(wants)
            for want in asked(release, extras, self._place):
                if want not in further.get(want.name, ()):
                    further[want.name] = (*further.get(want.name, ()), want)
            now = {**chosen, name: release}
            changed = [one for one in further if further[one] is not wants.get(one)]
            if all(self._holds(one, further, now) for one in changed):
                found = self._extend(now, further)
                if found is not None:
                    return found
        return None

    def _next(
        self, chosen: Mapping[str, Release], wants: Mapping[str, tuple[Want, ...]]
    ) -> str | None:
        """Return what to choose next: what has no choice, then in the order it was asked for."""
        waiting = [
            name
            for name, own in wants.items()
            if name not in chosen and is_known(name) and not all(w.only_limits for w in own)
        ]
        fixed = (name for name in waiting if pinned(joint(wants[name])) is not None)
        return next(fixed, waiting[0] if waiting else None)


_cache: dict[tuple[tuple[str, str, bool], Place], list[Release]] = {}


def _candidates_at(
    key: tuple[str, str, bool], wants: Sequence[Want], place: Place
) -> list[Release]:
    if (key, place) not in _cache:
        if len(_cache) > 20_000:
            _cache.clear()
        _cache[(key, place)] = candidates(wants, place)
    return _cache[(key, place)]


def culprits(place: Place, wants: Sequence[Want]) -> list[Want]:
    """Return a smallest part of wants that cannot hold together (none of it can be left out)."""
    kept = list(wants)
    for want in wants:
        fewer = [one for one in kept if one is not want]
        try:
            if Search(place, fewer).run() is None:
                kept = fewer
        except Undecided:
            continue
    return kept
