"""What a series of measured values shows, and no more than that."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mtcnn_doctor import agreement

#: Fewer values show no course.
_FEWEST = 3
#: Three runs each lie apart by chance in one pair of twenty, five in one of 252.
_FEWEST_RUNS = 4
_APART = 1.05


def course(values: Sequence[float], results: Sequence[float]) -> dict[str, Any]:
    """Say how results go with rising values: ``kind`` and, where they turn, ``turn``.

    Kinds: "too-few", "constant", "rises" and "falls" (at every step), "never-falls" and
    "never-rises" (with steps at which nothing changes), "neither". A turn is three of the values
    with their results, in the order of the values, that go up and down.
    """
    pairs = sorted(zip(values, results, strict=True))
    if len(pairs) < _FEWEST:
        return {"kind": "too-few"}
    steps = [b[1] - a[1] for a, b in itertools.pairwise(pairs)]
    if not any(steps):
        return {"kind": "constant"}
    if all(step >= 0 for step in steps):
        return {"kind": "rises" if all(steps) else "never-falls"}
    if all(step <= 0 for step in steps):
        return {"kind": "falls" if all(steps) else "never-rises"}
    return {"kind": "neither", "turn": _turn(pairs)}


def _turn(pairs: Sequence[tuple[float, float]]) -> list[list[float]]:
    """Return the three neighbours with the largest swing: up then down, or down then up."""
    best, found = 0.0, list(pairs[:3])
    peak = [pairs[0]]
    for pair in pairs[1:]:  # one of each run of equal results
        if pair[1] != peak[-1][1]:
            peak.append(pair)
    for a, b, c in zip(peak, peak[1:], peak[2:], strict=False):
        swing = min(abs(b[1] - a[1]), abs(c[1] - b[1]))
        if (b[1] - a[1]) * (c[1] - b[1]) < 0 and swing > best:
            best, found = swing, [a, b, c]
    return [list(pair) for pair in found]


def course_of_times(values: Sequence[float], samples: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Say how times go with rising values: only differences beyond their scatter count.

    One value takes longer than another where its fastest run is slower than the other's slowest,
    and its median by a twentieth. Every pair of values is compared, because many small steps add up
    to a difference. "longer" and "shorter": the ends differ, and no pair says the opposite.
    """
    rows = sorted(zip(values, samples, strict=True), key=lambda row: row[0])
    if len(rows) < _FEWEST or any(len(row[1]) < _FEWEST_RUNS for row in rows):
        return {"kind": "too-few"}
    medians = [statistics.median(times) for _, times in rows]
    rising, falling = set(), set()
    for one, other in itertools.combinations(range(len(rows)), 2):
        before, after = rows[one][1], rows[other][1]
        if min(after) > max(before) and medians[other] > _APART * medians[one]:
            rising.add((one, other))
        elif max(after) < min(before) and medians[one] > _APART * medians[other]:
            falling.add((one, other))
    if rising and falling:
        turn = _turn([(value, median) for (value, _), median in zip(rows, medians, strict=True)])
        return {"kind": "neither", "turn": turn}
    ends = (0, len(rows) - 1)
    if ends in rising:
        return {"kind": "longer"}
    return {"kind": "shorter" if ends in falling else "not-distinguishable"}


def tracks(
    values: Sequence[float], steps: Sequence[Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Follow the faces of one image from step to step, in the order given.

    A face is the one of an earlier step whose box overlaps best (at least half). Returns for each
    face its ``box`` (where it was surest) and ``confidence``, one for each step, None where it was
    not found; those found most often first.
    """
    found: list[dict[str, Any]] = []
    for number, faces in enumerate(steps):
        known = [{"box": track["last"]} for track in found]
        pairs = {j: i for i, j in agreement.pair(known, faces)}
        for index, face in enumerate(faces):
            if index in pairs:
                track = found[pairs[index]]
            else:
                track = {"confidence": [None] * len(values), "best": -1.0}
                found.append(track)
            track["last"] = face["box"]
            track["confidence"][number] = face["confidence"]
            if face["confidence"] > track["best"]:
                track["best"], track["box"] = face["confidence"], face["box"]
    found.sort(key=lambda track: (-_count(track), -track["best"]))
    return [
        {
            "box": [round(value, 1) for value in track["box"]],
            "confidence": track["confidence"],
            "found": _count(track),
        }
        for track in found
    ]


def _count(track: Mapping[str, Any]) -> int:
    return sum(value is not None for value in track["confidence"])
