"""Where in a row of releases a fault begins or ends, with as few of them run as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

#: Whether a release is good; None where that cannot be told (it could not be installed).
Probe = Callable[[int], "bool | None"]


@dataclass
class Bisection:
    """What is known of a row of releases, by their place in it: good, bad, cannot be told.

    ``verdict``: "found" (``before`` and ``after`` are the neighbours between which it changes),
    "good-at-both-ends", "bad-at-both-ends", "not-monotone", "too-few" (fewer than two could be
    run) or "interrupted".
    """

    count: int
    known: dict[int, bool | None] = field(default_factory=dict)
    verdict: str = "interrupted"
    before: int | None = None
    after: int | None = None

    def changes(self) -> list[tuple[int, int]]:
        """Return the neighbours among those that ran between which good and bad change."""
        ran = [(place, good) for place, good in sorted(self.known.items()) if good is not None]
        return [(i, j) for (i, one), (j, other) in pairwise(ran) if one != other]


def search(found: Bisection, probe: Probe) -> None:
    """Find the place where good and bad change; interrupted, ``found`` holds what is known.

    Both ends are run first. What lies between an end and the neighbours found, and was not run, is
    taken to be like that end: that is what makes few runs enough, and is for the report to say.

    Args:
        found: What is known already; what is found goes into it.
        probe: Runs one release.
    """

    def told(place: int) -> bool:
        if place not in found.known:
            found.known[place] = probe(place)
        return found.known[place] is not None

    places = range(found.count)
    first = next((place for place in places if told(place)), None)
    last = next((place for place in reversed(places) if told(place)), None)
    if first is None or first == last:
        found.verdict = "too-few"
        return
    while len(found.changes()) == 1:
        low, high = found.changes()[0]
        between = [place for place in range(low + 1, high) if place not in found.known]
        if not between:
            found.verdict, found.before, found.after = "found", low, high
            return
        middle = (low + high) / 2
        told(min(between, key=lambda place: abs(place - middle)))
    if found.changes():
        found.verdict = "not-monotone"
    else:
        found.verdict = "good-at-both-ends" if found.known[first] else "bad-at-both-ends"
