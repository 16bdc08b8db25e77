"""Whether a backend's numbers can be trusted: judged from the samples and from the machine's load.

Pure functions. Each gives a reason to be careful, or None. The limits are of the kind that pyperf
uses: crossed by a disturbed measurement, not by an ordinary one. Every reason holds its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

#: Fewer samples of an image than this say little about its median.
FEWEST_SAMPLES = 5
#: Samples lie apart when their typical distance from the median is above this share of it.
SPREAD = 0.10
#: Some runs are far off when the 95th percentile is above so many medians.
OUTLIER = 1.5
#: The second half of the runs is another time than the first when it differs by this share.
DRIFT = 0.10
_FEWEST_FOR_DRIFT = 8
#: Other programs disturb when they use this share of all processors.
OTHERS = 0.10
#: The clock fell when it lost this share.
CLOCK = 0.15
#: The control group stopped the program when it did so for this share of the time.
THROTTLED = 0.01

Samples = Mapping[str, Sequence[float]]
Reason = dict[str, Any]


def trust(samples: Samples, load: Mapping[str, Any], threads: int | None = None) -> dict[str, Any]:
    """Return ``{"verdict", "reasons"}`` of one backend's measurement.

    Args:
        samples: Milliseconds of the counted runs, by image.
        load: What the machine did besides (see ``collect/load.py``); any key may be missing.
        threads: How many threads were asked for.
    """
    of_samples: tuple[Callable[[Samples], Reason | None], ...] = (few, spread, outliers, drift)
    of_load = (others, busy_before, clock, heat, quota, battery)
    found = [judge(samples) for judge in of_samples] + [judge(load) for judge in of_load]
    found.append(crowded(load, threads))
    reasons = [reason for reason in found if reason is not None]
    return {"verdict": "with-care" if reasons else "trusted", "reasons": reasons}


def few(samples: Samples) -> Reason | None:
    """Too few runs: a median of three is luck."""
    fewest = min((len(times) for times in samples.values()), default=0)
    if fewest >= FEWEST_SAMPLES:
        return None
    return {
        "id": "few-samples",
        "text": f"only {fewest} counted run{'' if fewest == 1 else 's'} an image, at least "
        f"{FEWEST_SAMPLES} are wanted (--runs)",
        "evidence": {"samples": fewest},
    }


def spread(samples: Samples) -> Reason | None:
    """The runs lie apart: median distance from the median, which one slow run cannot move."""
    worst = _worst(samples, FEWEST_SAMPLES, lambda t: median(_distances(t)) / median(t))
    return _of_image("spread", worst, SPREAD, "runs lie apart: typically {0:.0%} off the median")


def outliers(samples: Samples) -> Reason | None:
    """A few runs took much longer than the others."""
    worst = _worst(samples, FEWEST_SAMPLES, lambda t: _p95(t) / median(t))
    return _of_image("outliers", worst, OUTLIER, "some runs took {0:.1f} times the median")


def drift(samples: Samples) -> Reason | None:
    """The runs became slower (heat, memory) or faster (too little warm-up) over time."""
    worst = _worst(samples, _FEWEST_FOR_DRIFT, _drift)
    return _of_image("drift", worst, DRIFT, "the second half of the runs differs by {0:.0%}")


def others(load: Mapping[str, Any]) -> Reason | None:
    """Other programs used the processors meanwhile."""
    share = load.get("others_share")
    if share is None or share <= OTHERS:
        return None
    return {
        "id": "other-load",
        "text": f"other programs used {share:.0%} of the processors meanwhile",
        "evidence": {"others_share": share, "cpus": load.get("cpus")},
    }


def busy_before(load: Mapping[str, Any]) -> Reason | None:
    """The machine was busy before; asked only where nobody knows what went on meanwhile."""
    average, cpus = load.get("load_before"), load.get("cpus")
    if load.get("others_share") is not None or average is None or not cpus:
        return None
    if average <= cpus:
        return None
    return {
        "id": "busy-before",
        "text": f"the machine was busy before: load average {average:g} on {cpus} processors",
        "evidence": {"load_before": average, "cpus": cpus},
    }


def clock(load: Mapping[str, Any]) -> Reason | None:
    """The processor's clock fell while it was measured."""
    before, after = load.get("mhz_before"), load.get("mhz_after")
    if not before or not after or after >= (1 - CLOCK) * before:
        return None
    return {
        "id": "clock-fell",
        "text": f"the processor's clock fell from {before:.0f} to {after:.0f} MHz",
        "evidence": {"mhz_before": before, "mhz_after": after},
    }


def heat(load: Mapping[str, Any]) -> Reason | None:
    """The processor slowed itself down for its heat."""
    events = load.get("thermal_events")
    if not events:
        return None
    return {
        "id": "heat",
        "text": "the processor was too hot and slowed itself down",
        "evidence": {"thermal_events": events},
    }


def quota(load: Mapping[str, Any]) -> Reason | None:
    """The container's limit of processor time stopped the program."""
    stopped, wall = load.get("throttled_s"), load.get("wall_s")
    if not stopped or not wall or stopped <= THROTTLED * wall:
        return None
    return {
        "id": "quota",
        "text": f"the container's CPU limit stopped its threads for {stopped:.2f} s in all, "
        f"during {wall:.2f} s",
        "evidence": {
            "throttled_s": stopped,
            "throttled_periods": load.get("throttled_periods"),
            "wall_s": wall,
        },
    }


def battery(load: Mapping[str, Any]) -> Reason | None:
    """A laptop on its battery saves power."""
    if not load.get("on_battery"):
        return None
    return {
        "id": "battery",
        "text": "the computer ran on its battery",
        "evidence": {"on_battery": True},
    }


def crowded(load: Mapping[str, Any], threads: int | None) -> Reason | None:
    """More threads than processors get in each other's way."""
    cpus = load.get("usable_cpus") or load.get("cpus")
    if not threads or not cpus or threads <= cpus:
        return None
    return {
        "id": "crowded",
        "text": f"{threads} threads were asked for on {cpus} processors",
        "evidence": {"threads": threads, "cpus": cpus},
    }


def _distances(times: Sequence[float]) -> list[float]:
    middle = median(times)
    return [abs(time - middle) for time in times]


def _p95(times: Sequence[float]) -> float:
    ordered = sorted(times)
    return ordered[max(0, -(-95 * len(ordered) // 100) - 1)]


def _drift(times: Sequence[float]) -> float:
    half = len(times) // 2
    first, second = median(times[:half]), median(times[-half:])
    return abs(second - first) / first


def _worst(
    samples: Samples, fewest: int, measure: Callable[[Sequence[float]], float]
) -> tuple[str, float] | None:
    """Return the image on which a measure is largest, among those with enough runs."""
    measured = [
        (image, measure(times))
        for image, times in samples.items()
        if len(times) >= fewest and median(times) > 0
    ]
    return max(measured, key=lambda pair: pair[1]) if measured else None


def _of_image(id: str, worst: tuple[str, float] | None, limit: float, words: str) -> Reason | None:
    if worst is None or worst[1] <= limit:
        return None
    image, value = worst
    return {
        "id": id,
        "text": f"{words.format(value)} ({image})",
        "evidence": {"image": image, "value": round(value, 3), "limit": limit},
    }
