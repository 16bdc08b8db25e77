"""What the comparison of measured backends consists of; numbers and words, nothing is printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mtcnn_doctor.model import Outcome, Run

Image = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One backend of the comparison.

    ``ms`` adds up the medians of the common images, ``ratio`` is to the fastest right one,
    ``floors`` how many times the floor. ``failure`` is set instead where there are no numbers.
    """

    name: str
    ms: float = 0.0
    ratio: float | None = None
    per_second: float = 0.0
    floors: float | None = None
    peak_mb: float | None = None
    steady_mb: float | None = None
    growth_mb: float | None = None
    remark: str = ""
    failure: str = ""


def median_ms(image: Image) -> float:
    """Return the median of an image's counted runs in milliseconds."""
    return float(median(image["samples_ms"][image["warmup"] :]))


def floor_of(images: Sequence[Image]) -> float | None:
    """Return the floor of several images together in milliseconds, None where one is unknown."""
    floors = [image.get("floor_ms") for image in images]
    return sum(floors) if floors and all(floors) else None  # type: ignore[arg-type]


def ending(run: Run) -> str:
    """Return how a run ended and where, in one line: the head of its certificate."""
    parts = [run.outcome.value]
    if run.signal:
        parts.append(run.signal)
    elif run.outcome is Outcome.CRASH and run.exit_code is not None:
        parts.append(f"exit code {run.exit_code}")
    place = " ".join(part for part in (run.stage, run.step) if part)
    return " ".join(parts) + (f" at {place}" if place else "")


def common_images(runs: Sequence[Run]) -> list[str]:
    """Return the images that every backend with numbers was measured on, in order."""
    measured = [[image["image"] for image in run.images] for run in runs if _has_numbers(run)]
    if not measured:
        return []
    return [name for name in measured[0] if all(name in names for names in measured)]


def rows(runs: Sequence[Run], common: Sequence[str]) -> Iterator[Row]:
    """Yield the rows, the fastest first, those without numbers last."""
    spent = {run.name: _spent(run, common) for run in runs if _has_numbers(run) and common}
    right = [spent[run.name] for run in runs if run.name in spent and run.outcome is Outcome.OK]
    fastest = min(right, default=None)
    for run in sorted(runs, key=lambda run: spent.get(run.name, float("inf"))):
        if run.name not in spent:
            yield Row(run.name, failure=ending(run))
            continue
        ms = spent[run.name]
        floor = floor_of(_of(run, common))
        memory = (run.measurement or {}).get("memory") or {}
        yield Row(
            run.name,
            ms=ms,
            ratio=ms / fastest if fastest and run.outcome is Outcome.OK else None,
            per_second=1000 * len(common) / ms,
            floors=ms / floor if floor else None,
            peak_mb=run.peak_rss_mb,
            steady_mb=memory.get("steady_mb"),
            growth_mb=memory.get("growth_mb"),
            remark=_remark(run),
        )


def floor_words(runs: Sequence[Run], common: Sequence[str]) -> tuple[str, str]:
    """Return the arithmetic of the common images, and the time it takes here if that is known."""
    run = next(run for run in runs if _has_numbers(run))
    images = _of(run, common)
    gflop = sum(image.get("gflop") or 0.0 for image in images)
    floor = floor_of(images)
    return f"{gflop:.2f} GFLOP", f", {floor:.1f} ms at this machine's rate" if floor else ""


def _has_numbers(run: Run) -> bool:
    return bool(run.images) and run.outcome in (Outcome.OK, Outcome.WRONG_RESULT)


def _of(run: Run, common: Sequence[str]) -> list[Image]:
    return [image for image in run.images if image["image"] in common]


def _spent(run: Run, common: Sequence[str]) -> float:
    return sum(median_ms(image) for image in _of(run, common))


def _remark(run: Run) -> str:
    if run.outcome is not Outcome.OK:
        return ending(run)
    trust = (run.measurement or {}).get("trust") or {}
    if not trust.get("reasons"):
        return "trusted"
    return "with care: " + ", ".join(reason["id"] for reason in trust["reasons"])
