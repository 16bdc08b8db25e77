"""The MTCNN cascade: proposals over an image pyramid, refined twice, suppressed in between.

After Zhang et al., 2016, "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks", with the constants and the box arithmetic of the published Caffe and
facenet implementations. Where those round in float32 or in uint8 this one does not:

* resampling is exact area averaging, never rounded to whole grey levels (see :mod:`.area`);
* probabilities come from the networks' raw logits in float64, because a float32 softmax
  saturates at 1.0 and would leave the order of good candidates to chance;
* box arithmetic is float64, and equal scores are ordered by position (level, row, column);
* a single P-Net candidate is treated like many (the facenet port mirrors its offsets).

So the outcome is a function of the image and the networks' numbers alone. Confident faces agree
with the published code within a few pixels; those of a confidence below about 0.9 may differ.
For the coordinates of the answer see :mod:`.result`.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence, Tuple

import numpy as np

from .blas import one_blas_thread
from .geometry import calibrate, square, truncate
from .image import checked
from .kernels import Kernels, all_finite, margin_of
from .lanes import Lanes
from .result import KEYPOINTS, Detection, Judged, Level, Result, Stages
from .settings import CELL, Settings, pyramid_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .networks import Networks

__all__ = ["KEYPOINTS", "Detection", "Result", "Settings", "Stages", "detect", "pyramid_scales"]

_STRIDE = 2
_PROPOSAL_OVERLAP, _OVERLAP = 0.5, 0.7

# Crops in one call of R-Net or O-Net: bounds memory, and more are not faster on a processor.
_CROPS = 64
# Pixels of a level in one call of P-Net. Whole levels where one call follows the other, unless
# memory forbids (about 100 bytes a pixel are needed); with lanes there must be enough to share.
_PIXELS, _SHARED_PIXELS = 1 << 19, 1 << 17
_FEWEST_ROWS = 48  # bands overlap by ten rows: shorter ones would do too much twice

_PUBLISHED = Settings()

Enter = Callable[[str, str], None]
_Floats = Tuple["NDArray[np.float64]", ...]


def detect(
    image: NDArray[Any],
    networks: Networks,
    settings: Settings = _PUBLISHED,
    enter: Enter | None = None,
    dtype: Any = np.float32,
    lanes: Lanes | None = None,
    record: Stages | None = None,
    kernels: Any = Kernels,
) -> Result:
    """Find the faces of one image.

    ``image``: (H, W, 3) RGB, uint8 or float32/float64 in 0..255. ``networks``: see
    :class:`.networks.Networks`. ``dtype``: of the arrays handed to them. ``lanes``: threads that
    share the work (default: none). ``record``: filled with the raw outputs of the stages.
    ``kernels``: :class:`.kernels.Kernels`, or another with its functions.

    ``enter(stage, step)`` is called before each piece of work, by the thread that does it, so that
    the last call tells what a crash interrupted. Stages "pnet", "rnet" and "onet" are calls of
    that network ("level 3 of 9, 154x273", height first; "crops 1-64 of 310"); "pyramid" is
    everything between them: resampling, boxes, suppression.

    Finding no face, at whatever stage, is an empty list. Raises TypeError or ValueError for an
    image of the wrong kind, and lets the networks' own exceptions pass.
    """
    cascade = _Cascade(checked(image), networks, settings, enter or _ignore, dtype, kernels)
    # The products are too small to share: more threads gain a tenth on an idle machine, and wait
    # for each other, spinning, on a busy one. What runs side by side are the lanes.
    with one_blas_thread():
        return cascade.run(lanes if lanes is not None else Lanes.none(), record)


def _ignore(stage: str, step: str) -> None:
    """Stand-in for a caller who does not want to know."""


class _Band(NamedTuple):
    """Rows [start, stop) of a level."""

    level: int
    start: int
    stop: int


class _Proposals(NamedTuple):
    """What P-Net proposes on one band; cells count through the level's flattened map."""

    band: _Band
    cells: NDArray[np.intp]
    scores: NDArray[np.float64]
    offsets: NDArray[np.float64]
    non_finite: str | None
    maps: tuple[NDArray[Any], NDArray[Any]] | None


def _start(proposals: _Proposals) -> int:
    return proposals.band.start


class _Cascade:
    """One run; a class only because the stages share the image, the networks and the record."""

    def __init__(
        self,
        image: NDArray[Any],
        networks: Networks,
        settings: Settings,
        enter: Enter,
        dtype: Any,
        kernels: Any,
    ) -> None:
        self.networks, self.settings, self.enter, self.dtype = networks, settings, enter, dtype
        self.kernels = kernels
        height, width = int(image.shape[0]), int(image.shape[1])
        self.scales = pyramid_scales(height, width, settings)
        self.levels = [(math.ceil(height * s), math.ceil(width * s)) for s in self.scales]
        self.image = image
        self.non_finite: list[str] = []

    def run(self, lanes: Lanes, record: Stages | None) -> Result:
        self.lanes, self.record = lanes, record
        candidates = {"pnet": 0, "rnet": 0, "onet": 0}
        detections: list[Detection] = []
        if self.scales:
            boxes = self.propose()
            candidates["pnet"] = len(boxes)
            boxes = self.refine(boxes)
            candidates["rnet"] = len(boxes)
            detections = self.output(boxes)
            candidates["onet"] = len(detections)
        return Result(detections, self.levels, candidates, self.non_finite)

    def propose(self) -> NDArray[np.float64]:
        """P-Net over all levels; square boxes in whole pixels."""
        self.enter("pyramid", f"column sums {self.image.shape[0]}x{self.image.shape[1]}")
        self.averages = self.kernels.averages(self.image, self.dtype, self.lanes)
        bands = [self.bands(level) for level in range(len(self.levels))]
        found: list[list[_Proposals]] = [[] for _ in bands]
        lock = threading.Lock()

        def work(band: _Band) -> _Floats | None:
            """Whoever does the last band of a level goes on with the level's boxes."""
            one, level = self.propose_band(band), band.level
            with lock:
                found[level].append(one)
                complete = len(found[level]) == len(bands[level])
            return self.level_boxes(level, sorted(found[level], key=_start)) if complete else None

        answers = self.lanes.map(work, [band for level in bands for band in level])
        parts = [answer for answer in answers if answer is not None]
        self.non_finite += [
            one.non_finite for level in found for one in level if one.non_finite is not None
        ]
        self.enter("pyramid", "boxes of pnet")
        boxes, scores, offsets = (np.concatenate(column) for column in zip(*parts))
        if _levels_apart([part[0] for part in parts]):
            keep = np.argsort(-scores, kind="stable")
        else:
            keep = self.kernels.nms(boxes, scores, _OVERLAP)
        boxes = calibrate(boxes[keep], offsets[keep], plus_one=False)
        return truncate(square(boxes))

    def bands(self, level: int) -> list[_Band]:
        """The level in bands of rows; each begins at an even row, as P-Net's windows do."""
        height, width = self.levels[level]
        shared = _SHARED_PIXELS if self.lanes.count > 1 else _PIXELS
        pixels = getattr(self.networks, "max_pixels", shared)
        most = max(_FEWEST_ROWS, pixels // width)
        rows = _map_size(height)
        if height <= most:
            return [_Band(level, 0, height)]
        count = math.ceil(rows / max(1, (most - 10) // _STRIDE))
        each = math.ceil(rows / count / 4) * 4
        return [
            _Band(level, _STRIDE * row, min(height, _STRIDE * (row + each) + 10))
            if row + each < rows
            else _Band(level, _STRIDE * row, height)
            for row in range(0, rows, each)
        ]

    def propose_band(self, band: _Band) -> _Proposals:
        """P-Net on a band of a level."""
        step = self.step(band)
        self.enter("pyramid", step)
        x = self.averages.level(self.levels[band.level], band.start, band.stop)
        self.enter("pnet", step)
        logits, offsets = self.networks.pnet(x)
        self.enter("pyramid", "boxes of " + step)
        columns = _map_size(x.shape[3])
        grid = (_map_size(x.shape[2]), columns)
        _expect("pnet", logits, (1, 2, *grid))
        _expect("pnet", offsets, (1, 4, *grid))
        logits, offsets = logits[0].reshape(2, -1), offsets[0].reshape(4, -1)
        threshold = self.settings.thresholds[0]
        passed, clean = self.kernels.passing(logits, offsets, margin_of(threshold))
        probability = _face_probability(logits[:, passed].T)
        sure = probability >= threshold
        passed = passed[sure]
        return _Proposals(
            band,
            passed + band.start // _STRIDE * columns,
            probability[sure],
            offsets[:, passed].T.astype(np.float64),
            None if clean else f"pnet level {band.level + 1}",
            None if self.record is None else (logits.reshape(2, *grid), offsets.reshape(4, *grid)),
        )

    def level_boxes(self, level: int, found: Sequence[_Proposals]) -> _Floats:
        """Boxes of one level after its own suppression: boxes, scores and offsets."""
        scale, (height, width) = self.scales[level], self.levels[level]
        self.enter("pyramid", f"boxes of level {level + 1} of {len(self.levels)}")
        cells, scores, offsets = (
            np.concatenate([one[column] for one in found]) for column in (1, 2, 3)
        )
        grid = (_map_size(height), _map_size(width))
        row, column = np.divmod(cells, grid[1])
        corner = np.stack([column, row, column, row], axis=1) * _STRIDE + 1.0
        corner[:, 2:] += CELL - 1
        boxes = truncate(corner / scale)
        keep = self.kernels.nms_grid(boxes, scores, cells, grid, scale, _PROPOSAL_OVERLAP)
        if self.record is not None:
            maps = [one.maps for one in found if one.maps is not None]
            logits, moves = (np.concatenate(part, axis=1) for part in zip(*maps))
            # Levels are worked on side by side; the place of each is by its number.
            self.record.pnet.append(Level(scale, height, width, logits, moves))
            self.record.pnet.sort(key=lambda done: -done.scale)
        return boxes[keep], scores[keep], offsets[keep]

    def refine(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """R-Net; square boxes in whole pixels. Suppression comes before calibration."""
        judged = self.judge("rnet", boxes, 24, (2, 4))
        if self.record is not None:
            self.record.rnet = judged
        passed, scores = self.passing(judged, self.settings.thresholds[1])
        boxes, offsets = boxes[passed], judged.offsets[passed]
        keep = self.kernels.nms(boxes, scores, _OVERLAP)
        return truncate(square(calibrate(boxes[keep], offsets[keep])))

    def output(self, boxes: NDArray[np.float64]) -> list[Detection]:
        """O-Net; landmarks are relative to the box before its last calibration."""
        judged = self.judge("onet", boxes, 48, (2, 4, 10))
        if self.record is not None:
            self.record.onet = judged
        passed, scores = self.passing(judged, self.settings.thresholds[2])
        boxes, offsets = boxes[passed], judged.offsets[passed]
        assert judged.landmarks is not None
        landmarks = judged.landmarks[passed].astype(np.float64)
        size = boxes[:, 2:] - boxes[:, :2] + 1
        points = landmarks.reshape(-1, 2, 5) * size[:, :, None] + boxes[:, :2, None] - 1
        boxes = calibrate(boxes, offsets)
        keep = self.kernels.nms(boxes, scores, _OVERLAP, "min")
        return [_detection(boxes[i], scores[i], points[i]) for i in keep]

    def judge(
        self, network: str, boxes: NDArray[np.float64], size: int, widths: tuple[int, ...]
    ) -> Judged:
        """Crop and run R-Net or O-Net on all boxes."""
        # Boxes of similar size share a call, because they are cheaper to crop together.
        order = np.argsort(boxes[:, 2] - boxes[:, 0], kind="stable")

        def answer(part: tuple[int, int]) -> tuple[NDArray[Any], ...]:
            start, stop = part
            some, step = boxes[order[start:stop]], f"crops {start + 1}-{stop} of {len(boxes)}"
            self.enter("pyramid", f"{network} {step}")
            x = self.averages.crops(some, size)
            self.enter(network, step)
            outputs: tuple[NDArray[Any], ...] = getattr(self.networks, network)(x)
            self.enter("pyramid", f"answers of {network} {step}")
            for output, width in zip(outputs, widths):
                _expect(network, output, (len(some), width))
            return tuple(outputs)

        parts = self.parts(len(boxes))
        answers = self.lanes.map(answer, parts)
        self.enter("pyramid", f"boxes of {network}")
        columns: list[NDArray[Any]] = []
        for index, width in enumerate(widths):
            column = np.empty((len(boxes), width), answers[0][index].dtype if answers else float)
            for (start, stop), outputs in zip(parts, answers):
                column[order[start:stop]] = outputs[index]
            columns.append(column)
        self.non_finite += [
            f"{network} crops {start + 1}-{stop}"
            for (start, stop), outputs in zip(parts, answers)
            if not all(all_finite(output) for output in outputs)
        ]
        return Judged(boxes, *columns)

    def parts(self, count: int) -> list[tuple[int, int]]:
        """Boxes [start, stop) of each call of R-Net or O-Net; lanes get equal shares."""
        most = getattr(self.networks, "max_crops", _CROPS)
        if self.lanes.count > 1:
            calls = math.ceil(count / most / self.lanes.count) * self.lanes.count
            most = math.ceil(count / max(1, calls))
        return [(start, min(start + most, count)) for start in range(0, count, max(1, most))]

    def passing(
        self, judged: Judged, threshold: float
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Indices of the boxes above a threshold, and their probabilities."""
        scores = _face_probability(judged.logits)
        passed = scores > threshold
        for output in (judged.logits, judged.offsets, judged.landmarks):
            if output is not None and not all_finite(output):
                passed &= np.isfinite(output).all(axis=1)
        (indices,) = np.nonzero(passed)
        return indices, scores[indices]

    def step(self, band: _Band) -> str:
        """Words for a band: its level, and its rows if it is not the whole level."""
        height, width = self.levels[band.level]
        words = f"level {band.level + 1} of {len(self.levels)}, {height}x{width}"
        if (band.start, band.stop) != (0, height):
            words += f", rows {band.start + 1}-{band.stop}"
        return words


def _map_size(length: int) -> int:
    """Length of P-Net's map for an input of a length."""
    return (length - 1) // _STRIDE - 4


def _expect(network: str, output: Any, shape: tuple[int, ...]) -> None:
    if output.shape != shape:
        raise ValueError(f"{network} answered with shape {output.shape}, expected {shape}")


def _face_probability(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Softmax of two logits, the second one's share: (N, 2) of any float type to float64 (N,)."""
    exact = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity minus infinity, dropped by the caller
        # Beyond 700 exp() would overflow; the probability is 0 or 1 long before.
        margin = np.clip(exact[:, 0] - exact[:, 1], -700.0, 700.0)
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(margin))
    return probability


def _levels_apart(levels: Sequence[NDArray[np.float64]]) -> bool:
    """Whether boxes of different levels differ too much in size for suppression to matter.

    Their overlap is at most the ratio of their areas. At the default factor of 0.709 neighbouring
    levels differ by a factor of two.
    """
    smallest = 0.0
    for boxes in levels:
        if len(boxes):
            areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
            if smallest > _OVERLAP * areas.min():
                return False
            smallest = max(smallest, float(areas.max()))
    return True


def _detection(
    box: NDArray[np.float64], score: np.float64, points: NDArray[np.float64]
) -> Detection:
    x1, y1, x2, y2 = box.tolist()
    xs, ys = points.tolist()
    return Detection((x1, y1, x2 - x1, y2 - y1), float(score), dict(zip(KEYPOINTS, zip(xs, ys))))
