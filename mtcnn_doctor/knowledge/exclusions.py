"""Which line excludes which: the reasons why releases cannot be installed together, or here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.version import Version

from mtcnn_doctor.knowledge.catalogue import Release, is_known, releases
from mtcnn_doctor.knowledge.place import Place
from mtcnn_doctor.knowledge.resolve import (
    Want,
    asked,
    beyond,
    candidates,
    fits,
    joint,
    pinned,
    possible,
)


@dataclass(frozen=True)
class Exclusion:
    """Why something cannot be installed.

    ``kind``: "wheel" (not on this Python or platform), "lines" (two lines about one name), "asks"
    (a release asks for what a line excludes), "together" (lines that no known releases meet).
    ``others`` are names that share the blame, ``origins`` the places of all lines in it.
    """

    kind: str
    name: str
    text: str
    origins: tuple[str, ...]
    others: tuple[str, ...] = ()
    hint: str = ""


def by_name(wants: Sequence[Want]) -> dict[str, list[Want]]:
    """Return the wants of each distribution, in the order in which they came."""
    found: dict[str, list[Want]] = {}
    for want in wants:
        found.setdefault(want.name, []).append(want)
    return found


def alone(place: Place, wants: Sequence[Want]) -> Iterator[Exclusion]:
    """Yield the distributions that cannot be had by their own lines: contradictions, no wheels."""
    for name, own in by_name(wants).items():
        text = joint(own)
        if not possible(text) or _disagree(own):
            said = " and ".join(_said(want) for want in own if want.specifier)
            yield Exclusion("lines", name, f"{said} exclude each other", _origins(own))
        elif is_known(name) and not all(want.only_limits for want in own):
            yield from _not_here(place, name, own)


def _disagree(own: Sequence[Want]) -> bool:
    exact = pinned(joint(own))
    return exact is not None and not fits(exact, joint(own))


def _not_here(place: Place, name: str, own: Sequence[Want]) -> Iterator[Exclusion]:
    if candidates(own, place):
        return
    text = joint(own)
    within = [one for one in releases(name) if _meets(one.version, text)]
    if not within:
        return  # a gap in the tables: said as something unknown
    best = within[0]
    reason = best.excluded(place)
    if not reason:
        return  # withdrawn releases and previews alone
    exact = pinned(text) is not None
    here = [one for one in releases(name) if not one.excluded(place) and not one.yanked]
    hint = ""
    if here:
        span = f"{here[-1].version} to {here[0].version}" if len(here) > 1 else f"{here[0].version}"
        hint = f"for {place.name} there is {name} {span}"
    else:
        hint = f"no known release of {name} is for {place.name}"
    said = (
        f"{best} {reason}"
        if exact
        else f"no release of {name} within {text or 'the tables'} is for {place.name}: "
        f"the newest, {best.version}, {reason}"
    )
    yield Exclusion("wheel", name, said, _origins(own), hint=hint)


def _meets(version: Version, text: str) -> bool:
    exact = pinned(text)
    return version == Version(exact.public) if exact is not None else fits(version, text)


def pairs(place: Place, wants: Sequence[Want], *, locked: bool = False) -> Iterator[Exclusion]:
    """Yield the releases that ask for what a line about another distribution excludes."""
    named = by_name(wants)
    for name, own in named.items():
        if not is_known(name) or all(want.only_limits for want in own):
            continue
        found = candidates(own, place) or _pinned_anyway(name, own)
        if not found or not found[0].known:
            continue
        extras = frozenset(extra for want in own for extra in want.extras)
        for want in asked(found[0], extras, place):
            others = named.get(want.name)
            if others is None or want.name == name:
                continue
            if all(_excludes(place, release, extras, want.name, others) for release in found):
                origins = (*_origins(own), *_origins(others))
                yield Exclusion("asks", name, _asks(found, want, others, locked), origins,
                                (want.name,))  # fmt: skip


def _pinned_anyway(name: str, own: Sequence[Want]) -> list[Release]:
    exact = pinned(joint(own))
    if exact is None:
        return []
    return [one for one in releases(name) if one.version == Version(exact.public)]


def _excludes(
    place: Place, release: Release, extras: frozenset[str], name: str, others: Sequence[Want]
) -> bool:
    """Whether a release asks for a distribution in a way that its lines rule out."""
    for want in asked(release, extras, place):
        if want.name != name:
            continue
        both = [*others, replace(want, any_build=any(one.any_build for one in others))]
        text = joint(both)
        exact = pinned(joint(others))
        if exact is not None:
            return not fits(exact, want.specifier)
        if not possible(text):
            return True
        if is_known(name) and candidates(others, place):
            return not candidates(both, place) and not beyond(name, text)
        return False
    return False


def _asks(found: Sequence[Release], want: Want, others: Sequence[Want], locked: bool) -> str:
    exact = pinned(joint(others))
    limits = [one for one in others if one.specifier] or list(others)
    if exact is not None:
        where = next(one for one in limits if pinned(one.specifier) is not None)
        told = f"{want.name}=={exact} is {'locked' if locked else 'pinned'} in {where.origin}"
    else:
        told = " and ".join(f"{want.name}{one.specifier} stands in {one.origin}" for one in limits)
    who = str(found[0]) if len(found) == 1 else f"{found[0]}, like every release in question,"
    return f"{who} asks for {want.name}{want.specifier}; {told}"


def _said(want: Want) -> str:
    return f"{want.name}{want.specifier} ({want.origin})"


def _origins(wants: Sequence[Want]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(want.origin for want in wants))


def together(place: Place, blamed: Sequence[Want]) -> Exclusion:
    """Return the exclusion of lines of which any one could stay if another went."""
    said = ", ".join(_said(want) for want in blamed)
    names = tuple(dict.fromkeys(want.name for want in blamed))
    return Exclusion(
        "together",
        names[0],
        f"no known releases for {place.name} meet these lines together: {said}",
        _origins(blamed),
        names[1:],
    )


def compiled(place: Place, chosen: Mapping[str, Release]) -> list[Release]:
    """Return the chosen releases that pip would have to compile at a place."""
    return [release for release in chosen.values() if release.known and release.compiled(place)]
