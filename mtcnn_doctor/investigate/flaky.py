"""What k failures in n runs prove, and how many runs a claim needs. Pure arithmetic."""

from __future__ import annotations

import math

#: Quantile of the normal distribution for a two-sided interval of 95 %.
_Z = 1.959963984540054
#: A claim may be wrong by chance this often.
ALPHA = 0.05
_MOST_RUNS = 200


def wilson(failed: int, runs: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a failure rate."""
    if runs == 0:
        return 0.0, 1.0
    rate, z2 = failed / runs, _Z * _Z
    middle = (rate + z2 / (2 * runs)) / (1 + z2 / runs)
    half = _Z / (1 + z2 / runs) * math.sqrt(rate * (1 - rate) / runs + z2 / (4 * runs * runs))
    low = 0.0 if failed == 0 else max(0.0, middle - half)
    return low, 1.0 if failed == runs else min(1.0, middle + half)


def runs_to_see(failed: int, runs: int) -> int:
    """Return after how many good runs a fault of the observed rate would have shown itself.

    The chance that none of them shows it is below 5 %.
    """
    if failed >= runs:
        return 1
    if failed == 0:
        return _MOST_RUNS
    return math.ceil(math.log(ALPHA) / math.log(1 - failed / runs))


def chance(failed_without: int, without: int, failed_with: int, with_: int) -> float:
    """Return Fisher's one-sided p: the chance of so uneven a split if the change did nothing."""
    failed, total = failed_without + failed_with, without + with_
    if not without or not with_:
        return 1.0
    ways = math.comb(total, failed)
    return (
        sum(
            math.comb(without, k) * math.comb(with_, failed - k)
            for k in range(failed_without, min(failed, without) + 1)
            if failed - k <= with_
        )
        / ways
    )


def plan(failed: int, without: int, with_: int, alpha: float) -> tuple[int, int]:
    """Return how many runs without and with a change it takes to prove it, in all.

    Supposes that the fault goes on striking at its rate without the change, and never with it.
    The smaller group grows first: that is the shortest way.
    """
    rate = failed / without if without else 0.0
    runs, others = without, with_
    while runs + others < _MOST_RUNS:
        if chance(math.floor(rate * runs + 1e-9), runs, 0, others) <= alpha:
            break
        if runs <= others:
            runs += 1
        else:
            others += 1
    return runs, others
