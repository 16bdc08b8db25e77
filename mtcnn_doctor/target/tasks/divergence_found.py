"""What a wrong stage is told as, and the comparisons that end in one."""

from __future__ import annotations

from math import isnan, trunc
from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    from ..reference.result import Judged

__all__ = [
    "BOX",
    "PROBABILITY",
    "Difference",
    "Worst",
    "apart",
    "box_words",
    "same_boxes",
    "same_cells",
    "same_choice",
    "truncated",
    "wrong",
]

#: What rounding can explain: of probabilities, and of pixels of the image in boxes that are not
#: cut to whole ones.
PROBABILITY, BOX = 1e-9, 1e-6

_AGAINST = "Python's own arithmetic, computed from what this stage was given"


class Difference(Exception):
    """Ends the cascade where a stage is wrong; ``found`` says which, and how."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(found["text"])
        self.found = found


def wrong(
    part: str, title: str, step: str, said: str, error: float | None = None, **more: Any
) -> Difference:
    """Return a difference; ``part`` is its stable name, ``title`` its words."""
    finite = error is None or abs(error) < float("inf")
    return Difference(
        {
            "stage": "pyramid",
            "part": part,
            "title": title,
            "step": step,
            "output": part,
            **({} if error is None else {"max_error": error if finite else None}),
            "finite": finite,
            "against": _AGAINST,
            **more,
            "text": f"{title} ({step}): {said}",
        }
    )


class Worst:
    """The largest difference among rows of numbers, and where it is."""

    def __init__(self) -> None:
        self.count = self.seen = self.index = 0
        self.error = 0.0
        self.at: tuple[int, int] = (0, 0)

    def look(
        self, got: Sequence[float], want: Sequence[float], limit: float, at: tuple[int, int]
    ) -> None:
        """Compare one row of numbers."""
        errors = [abs(a - b) for a, b in zip(got, want)]
        self.seen += len(want)
        if max(errors) <= limit and all(error <= limit for error in errors):
            return
        for index, error in enumerate(errors):
            if not error <= limit:
                self.count += 1
                # NaN is the largest of all; the first of them stays.
                error = float("inf") if isnan(error) else error
                if error > self.error:
                    self.error, self.index, self.at = error, index, at

    def words(self) -> str:
        """Say how far off."""
        return f"off by up to {self.error:.3g}" if self.error < float("inf") else "NaN or infinite"


def box_words(box: Sequence[float]) -> str:
    """Return a box for the report."""
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"


def apart(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the largest difference of two boxes' numbers."""
    return max(abs(a - b) for a, b in zip(one, other))


def truncated(box: Sequence[float], want: Sequence[float]) -> bool:
    """Whether corners are others cut to whole numbers, however these were rounded before."""
    return all(a in (trunc(b), trunc(b - BOX), trunc(b + BOX)) for a, b in zip(box, want))


def same_cells(step: str, got: dict[int, float], right: dict[int, float], threshold: float) -> None:
    """Compare which cells of P-Net passed, and with which probability."""
    for number in sorted(got.keys() | {n for n, score in right.items() if score >= threshold}):
        score = right.get(number, 0.0)
        if number not in got:
            if score >= threshold + PROBABILITY:
                said = f"cell {number} of probability {score:.6g} is not among them"
                raise wrong("proposals", "P-Net's cells", step, said)
        elif not abs(got[number] - score) <= PROBABILITY:
            error = abs(got[number] - score)
            said = f"cell {number} has probability {got[number]:.6g} where {score:.6g} is right"
            raise wrong("proposals", "P-Net's cells", step, said, error)
        elif score < threshold - PROBABILITY:
            said = f"cell {number} of probability {score:.6g} is among them"
            raise wrong("proposals", "P-Net's cells", step, said)


def same_choice(
    part: str,
    title: str,
    step: str,
    boxes: Sequence[Any],
    scores: Sequence[float],
    got: list[int],
    want: list[int],
) -> None:
    """Compare which boxes of a level were kept."""
    lost, added = set(want) - set(got), set(got) - set(want)
    if not lost and not added and len(got) == len(set(got)):
        return
    said = f"{len(got)} of {len(boxes)} boxes kept where {len(want)} are right"
    for index, verb in ((min(lost, default=None), "dropped"), (min(added, default=None), "kept")):
        if index is not None:
            said += f"; {box_words(boxes[index])} of probability {scores[index]:.6g} wrongly {verb}"
            break
    raise wrong(part, title, step, said)


def same_boxes(part: str, title: str, judged: Judged, want: list[Any]) -> None:
    """Compare boxes, whatever their order, with those that are right before truncation."""
    left: dict[tuple[float, ...], list[Any]] = {}
    for box in want:
        left.setdefault(tuple(float(trunc(value)) for value in box), []).append(box)
    strays = []
    for corners in judged.boxes.tolist():
        same = left.get(tuple(corners))
        if same:
            same.pop()
        else:
            strays.append(corners)
    rest = [box for boxes in left.values() for box in boxes]
    for corners in strays:
        near = next((box for box in rest if truncated(corners, box)), None)
        if near is not None:
            rest.remove(near)
            continue
        count = f"{len(judged.boxes)} boxes where {len(want)} are right"
        if not rest:
            raise wrong(part, title, count, f"{box_words(corners)} is not one of them")
        nearest = min(rest, key=lambda box: apart(corners, box))
        error = apart(corners, [trunc(value) for value in nearest])
        said = f"{box_words(corners)} where {box_words([trunc(v) for v in nearest])} is nearest"
        raise wrong(part, title, count, said, error)
    if rest:
        count = f"{len(judged.boxes)} boxes where {len(want)} are right"
        raise wrong(part, title, count, f"{box_words([trunc(v) for v in rest[0]])} is missing")
