"""The smallest part of a set of changes that still cures. Pure search, with a test to ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def smallest(
    things: Sequence[Thing], cures: Callable[[Sequence[Thing]], bool]
) -> list[Thing] | None:
    """Return a part of the things that cures, and none of which can be left out.

    All of them together cure. The shortest beginning that does ends in a thing that is needed;
    what else is needed stands before it. That takes few tests where few things are needed. Where
    things disturb each other it can fail; None is returned then.

    Args:
        things: Those that are to be preferred first.
        cures: Whether a part of them, in their order, cures; asked twice it answers the same.
    """
    order = {id(thing): number for number, thing in enumerate(things)}

    def sorted_(part: Sequence[Thing]) -> list[Thing]:
        return sorted(part, key=lambda thing: order[id(thing)])

    needed: list[Thing] = []
    pool = list(things)
    while not (needed and cures(sorted_(needed))):
        if not pool or (needed and not cures(sorted_([*pool, *needed]))):
            return None
        low, high = 0, len(pool)  # a beginning of `high` cures, one of `low` does not
        while high - low > 1:
            middle = (low + high) // 2
            if cures(sorted_([*pool[:middle], *needed])):
                high = middle
            else:
                low = middle
        needed.append(pool[high - 1])
        pool = pool[: high - 1]
    for thing in list(needed):
        rest = [other for other in needed if other is not thing]
        if rest and cures(sorted_(rest)):
            needed = rest
    return sorted_(needed)
