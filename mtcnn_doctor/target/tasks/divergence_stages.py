"""Everything between the networks, stage by stage, held against Python's own arithmetic.

The cascade runs as always, with the backend's own networks; each stage is compared on what it was
truly given, so the first that differs is the fault and not its consequence. The yardstick
(:mod:`.exact`) is computed by the interpreter alone, for every pixel, box and crop.
"""

from __future__ import annotations

import re
from math import trunc
from typing import TYPE_CHECKING, Any

from ..reference.result import Stages
from . import exact
from .divergence_found import (
    BOX,
    PROBABILITY,
    Difference,
    Worst,
    apart,
    box_words,
    same_boxes,
    same_cells,
    same_choice,
    truncated,
    wrong,
)
from .divergence_networks import NetworkJudge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..reference.result import Judged, Result

__all__ = ["Listener"]

#: What rounding can explain, of pixels that reach from -1 to 1.
_PIXELS = 1e-4
#: Pixels of an image above which only every n-th row of a level is compared.
_MOST_PIXELS = 4_000_000
_PROPOSAL_OVERLAP, _OVERLAP = 0.5, 0.7
_CELL = 12


class Listener:
    """The backend's networks, heard; ``kernels``: those of the cascade, heard."""

    def __init__(
        self, ours: Any, judge: NetworkJudge, picture: exact.Picture, settings: Any, enter: Any
    ) -> None:
        self._ours, self._judge, self._picture = ours, judge, picture
        self._settings, self._enter = settings, enter
        self._step = ""
        self._maps: list[tuple[int, NDArray[Any], NDArray[Any]]] = []
        #: Proposals of each level: boxes, scores and offsets, as kept.
        self._levels: list[tuple[list[Any], list[float], list[Any]]] = []
        #: Crops and answers of R-Net and O-Net, call by call.
        self._calls: dict[str, list[_Call]] = {"rnet": [], "onet": []}
        self.record = Stages()
        self.kernels = _Kernels(self)

    def __getattr__(self, name: str) -> Any:
        """Everything else is as the backend's networks have it."""
        return getattr(self._ours, name)

    def enter(self, stage: str, step: str = "") -> None:
        """Remember where the cascade is, and pass it on."""
        if stage in self._calls or stage == "pnet":
            self._step = step
        self._enter(stage, step)

    def pnet(self, x: NDArray[Any]) -> Any:
        """P-Net, judged at once."""
        logits, offsets = answers = self._ours.pnet(x)
        self._judged("pnet", self._step, x, answers)
        start = re.search(r"rows (\d+)-", self._step)
        first = (int(start[1]) - 1) // 2 if start else 0
        self._maps.append((first, logits[0].copy(), offsets[0].copy()))
        return answers

    def rnet(self, x: NDArray[Any]) -> Any:
        """R-Net, to be judged when its turn has come."""
        return self._answer("rnet", x)

    def onet(self, x: NDArray[Any]) -> Any:
        """O-Net, to be judged when its turn has come."""
        return self._answer("onet", x)

    def _answer(self, network: str, x: NDArray[Any]) -> Any:
        answers = getattr(self._ours, network)(x)
        call = self._calls[network][-1]
        call.step, call.answers = self._step, [answer.copy() for answer in answers]
        return answers

    def _judged(self, network: str, step: str, x: NDArray[Any], answers: Any) -> None:
        found = self._judge.difference(network, step, x, answers)
        if found is not None:
            raise Difference(found)

    def hear_level(self, size: tuple[int, int], start: int, stop: int, x: NDArray[Any]) -> None:
        """Compare rows [start, stop) of a level, pixel by pixel."""
        picture = self._picture
        stride = -(-picture.height * picture.width // _MOST_PIXELS)
        worst = Worst()
        for row in range(start, stop, stride):
            wanted = picture.level_row(size, row)
            for channel, want in enumerate(wanted):
                got = x[0, channel, row - start].tolist()
                worst.look(got, want, _PIXELS, (row, channel))
        if worst.count:
            row, channel = worst.at
            some = "" if stride == 1 else f" (of every {stride}th row)"
            raise wrong(
                "pixels",
                "the pixels of the pyramid",
                f"level of {size[0]}x{size[1]}",
                f"{worst.words()} at row {row + 1}, column {worst.index + 1}, channel {channel}; "
                f"{worst.count} of {worst.seen} values{some}",
                worst.error,
                tolerance=_PIXELS,
            )

    def hear_crops(self, boxes: NDArray[Any], size: int, x: NDArray[Any]) -> None:
        """Keep the crops of a call."""
        network = "rnet" if size == 24 else "onet"
        self._calls[network].append(_Call(_boxes(boxes), x.copy()))

    def hear_proposals(
        self,
        boxes: NDArray[Any],
        scores: NDArray[Any],
        cells: NDArray[Any],
        columns: int,
        scale: float,
        kept: NDArray[Any],
    ) -> None:
        """Compare one level's boxes, and which of them were kept."""
        step = f"level {len(self._levels) + 1}"
        had = _boxes(boxes)
        right, offsets = self._proposed(scale)
        numbers, given = cells.tolist(), scores.tolist()
        same_cells(step, dict(zip(numbers, given)), right, self._settings.thresholds[0])
        for number, box in zip(numbers, had):
            row, column = divmod(number, columns)
            corners = (2 * column + 1, 2 * row + 1, 2 * column + _CELL, 2 * row + _CELL)
            want = tuple(corner / scale for corner in corners)
            if not truncated(box, want):
                whole = [trunc(corner) for corner in want]
                raise wrong(
                    "proposals",
                    "P-Net's boxes",
                    step,
                    f"cell {number} gives {box_words(box)} where {box_words(whole)} is right",
                    apart(box, whole),
                )
        chosen = [int(index) for index in kept.tolist()]
        want_kept = exact.suppress(had, given, _PROPOSAL_OVERLAP)
        same_choice("suppression", "suppression", step, had, given, chosen, want_kept)
        self._levels.append(
            (
                [had[index] for index in want_kept],
                [given[index] for index in want_kept],
                [offsets[numbers[index]] for index in want_kept],
            )
        )
        self._maps.clear()

    def _proposed(self, scale: float) -> tuple[dict[int, float], dict[int, list[float]]]:
        """Return probability and offsets of all finite cells of the level that was heard last."""
        found: dict[int, float] = {}
        offsets: dict[int, list[float]] = {}
        for first, logits, moves in self._maps:
            columns = logits.shape[2]
            pairs = zip(*logits.reshape(2, -1).tolist())
            shifts = zip(*moves.reshape(4, -1).tolist())
            for number, ((no, yes), shift) in enumerate(zip(pairs, shifts), first * columns):
                if all(abs(value) < float("inf") for value in (no, yes, *shift)):
                    found[number] = exact.probability(no, yes)
                    offsets[number] = list(shift)
        return found, offsets

    def compare(self, result: Result | None) -> None:
        """Compare what came after P-Net, in order; raises :class:`Difference` at the first."""
        rnet, onet = self.record.rnet, self.record.onet
        if rnet is not None:
            self._compare_proposals(rnet)
        self._compare_crops("rnet", 24, rnet)
        if rnet is None:
            return
        boxes, scores, _ = self._passed(rnet, 1)
        if onet is not None:
            kept = exact.suppress(boxes, scores, _OVERLAP)
            offsets = self._moves(rnet, 1)
            want = [exact.square(exact.calibrated(boxes[i], offsets[i])) for i in kept]
            same_boxes("boxes", "the boxes after R-Net", onet, want)
        self._compare_crops("onet", 48, onet)
        if onet is not None and result is not None:
            self._compare_faces(onet, result)

    def _compare_proposals(self, rnet: Judged) -> None:
        boxes = [box for level in self._levels for box in level[0]]
        scores = [score for level in self._levels for score in level[1]]
        offsets = [moves for level in self._levels for moves in level[2]]
        kept = exact.suppress(boxes, scores, _OVERLAP)
        want = [exact.square(exact.calibrated(boxes[i], offsets[i], 0.0)) for i in kept]
        same_boxes("proposals", "the proposals", rnet, want)

    def _compare_crops(self, network: str, size: int, judged: Judged | None) -> None:
        title = {"rnet": "R-Net", "onet": "O-Net"}[network]
        # Two boxes may round to the same corners, and a network may answer the same crop a little
        # differently in another place of its batch.
        answers: dict[Any, list[str]] = {}
        for call in self._calls[network]:
            for number, (box, crop) in enumerate(zip(call.boxes, call.crops)):
                worst = Worst()
                for channel, plane in enumerate(self._picture.crop(box, size)):
                    for row, want in enumerate(plane):
                        worst.look(crop[channel, row].tolist(), want, _PIXELS, (row, channel))
                if worst.count:
                    row, channel = worst.at
                    raise wrong(
                        f"{network}-crops",
                        f"{title}'s crops",
                        call.step or f"crop {number + 1}",
                        f"the crop of box {box_words(box)} {worst.words()} at row {row + 1}, "
                        f"column {worst.index + 1}, channel {channel}",
                        worst.error,
                        tolerance=_PIXELS,
                    )
            if call.answers is None:
                return  # the cascade ended in here
            self._judged(network, call.step, call.crops, call.answers)
            for number, box in enumerate(call.boxes):
                told = [answer[number].tolist() for answer in call.answers]
                answers.setdefault(box, []).append(repr(told))
        if judged is None:
            return
        columns = [part.tolist() for part in (judged.logits, judged.offsets)]
        if judged.landmarks is not None:
            columns.append(judged.landmarks.tolist())
        for index, corners in enumerate(judged.boxes.tolist()):
            told = [column[index] for column in columns]
            if repr(told) not in answers.get(tuple(corners), ()):
                raise wrong(
                    f"{network}-answers",
                    f"the order of {title}'s answers",
                    f"box {index + 1} of {len(judged.boxes)}",
                    f"box {box_words(corners)} was given what {title} answered for another",
                )

    def _passed(self, judged: Judged, stage: int) -> tuple[list[Any], list[float], list[int]]:
        """Return boxes and probabilities above a stage's threshold, and their numbers."""
        threshold = self._settings.thresholds[stage]
        rows = [judged.logits.tolist(), judged.offsets.tolist()]
        if judged.landmarks is not None:
            rows.append(judged.landmarks.tolist())
        boxes, scores, numbers = [], [], []
        for index, box in enumerate(judged.boxes.tolist()):
            values = [value for column in rows for value in column[index]]
            if not all(abs(value) < float("inf") for value in values):
                continue
            score = exact.probability(*rows[0][index])
            if score > threshold:
                boxes.append(tuple(box))
                scores.append(score)
                numbers.append(index)
        return boxes, scores, numbers

    def _moves(self, judged: Judged, stage: int) -> list[list[float]]:
        offsets = judged.offsets.tolist()
        return [offsets[number] for number in self._passed(judged, stage)[2]]

    def _compare_faces(self, onet: Judged, result: Result) -> None:
        boxes, scores, numbers = self._passed(onet, 2)
        assert onet.landmarks is not None
        landmarks = onet.landmarks.tolist()
        moved = [exact.calibrated(b, m) for b, m in zip(boxes, self._moves(onet, 2))]
        kept = exact.suppress(moved, scores, _OVERLAP, "min")
        title = "the faces"
        if len(kept) != len(result.detections):
            raise wrong(
                "faces", title, "after O-Net",
                f"{len(result.detections)} faces where {len(kept)} are right",
            )  # fmt: skip
        for place, (index, face) in enumerate(zip(kept, result.detections), 1):
            x1, y1, x2, y2 = moved[index]
            left, top, right, bottom = boxes[index]
            points = landmarks[numbers[index]]
            width, height = right - left + 1, bottom - top + 1
            want = [x1, y1, x2 - x1, y2 - y1]
            want += [width * x + left - 1 for x in points[:5]]
            want += [height * y + top - 1 for y in points[5:]]
            five = list(face.keypoints.values())
            got = [*face.box, *(x for x, _ in five), *(y for _, y in five)]
            error = apart(got, want)
            if not error <= BOX or not abs(face.confidence - scores[index]) <= PROBABILITY:
                what = "box" if not apart(got[:4], want[:4]) <= BOX else "keypoints"
                if error <= BOX:
                    what, error = "confidence", abs(face.confidence - scores[index])
                raise wrong(
                    "faces", title, f"face {place} of {len(kept)}",
                    f"the {what} is off by up to {error:.3g}", error,
                )  # fmt: skip


class _Kernels:
    """The cascade's own kernels by NumPy; what they answer is heard."""

    def __init__(self, listener: Listener) -> None:
        from ..reference.kernels import Kernels  # needs NumPy

        self._listener, self._own = listener, Kernels

    def __getattr__(self, name: str) -> Any:
        """Everything else is theirs."""
        return getattr(self._own, name)

    def averages(self, image: NDArray[Any], dtype: Any, lanes: Any) -> _Averages:
        """Averages of an image, heard."""
        return _Averages(self._own.averages(image, dtype, lanes), self._listener)

    def nms_grid(
        self,
        boxes: NDArray[Any],
        scores: NDArray[Any],
        cells: NDArray[Any],
        grid: tuple[int, int],
        scale: float,
        threshold: float,
    ) -> NDArray[Any]:
        """Suppression on one level, heard."""
        kept: NDArray[Any] = self._own.nms_grid(boxes, scores, cells, grid, scale, threshold)
        self._listener.hear_proposals(boxes, scores, cells, grid[1], scale, kept)
        return kept


class _Averages:
    """The cascade's averages, heard."""

    def __init__(self, inner: Any, listener: Listener) -> None:
        self._inner, self._listener = inner, listener

    def level(self, size: tuple[int, int], start: int, stop: int) -> NDArray[Any]:
        """Rows of a level, compared at once."""
        x: NDArray[Any] = self._inner.level(size, start, stop)
        self._listener.hear_level(size, start, stop, x)
        return x

    def crops(self, boxes: NDArray[Any], size: int) -> NDArray[Any]:
        """Crops of boxes, to be compared later."""
        x: NDArray[Any] = self._inner.crops(boxes, size)
        self._listener.hear_crops(boxes, size, x)
        return x


class _Call:
    """One call of R-Net or O-Net: boxes, crops, and what was answered."""

    def __init__(self, boxes: list[exact.Box], crops: NDArray[Any]) -> None:
        self.boxes, self.crops = boxes, crops
        self.step = ""
        self.answers: list[NDArray[Any]] | None = None


def _boxes(boxes: NDArray[Any]) -> list[exact.Box]:
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.tolist()]
