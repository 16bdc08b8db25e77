"""The MTCNN cascade: proposals over an image pyramid, refined twice, suppressed in between.

After Zhang et al., 2016, "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks", with the constants and the box arithmetic of the published Caffe and
facenet implementations. Where those round in float32 or in uint8 this one does not:

* resampling is exact area averaging in float64 (see :mod:`.resample`);
* probabilities come from the networks' raw logits in float64, because a float32 softmax
  saturates at 1.0 and would leave the order of good candidates to chance;
* box arithmetic is float64, and equal scores are ordered by position (level, row, column);
* a single P-Net candidate is treated like many (the facenet port mirrors its offsets).

So the outcome is a function of the image and the networks' numbers alone. Confident faces agree
with the published code within a few pixels; those of a confidence below about 0.9 may differ.

Coordinates. Boxes follow the published code, which counts pixels from 1 in its boxes and from 0
in its landmarks: a face's left column x0 of the array comes out as x = x0 + 1. They are not
clipped to the image. Width and height are x2 - x1 and y2 - y1, without the inclusive one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterator, Tuple

import numpy as np

from .geometry import calibrate, nms, square, truncate
from .resample import AreaSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .networks import Networks

__all__ = ["KEYPOINTS", "Detection", "Result", "Settings", "detect", "pyramid_scales"]

#: Names of the five keypoints in the networks' order; left and right as seen in the image.
KEYPOINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

_CELL = 12  # P-Net's receptive field
_STRIDE = 2
_CHUNK = 64  # crops in one call of R-Net or O-Net: bounds memory, and larger is not faster

Enter = Callable[[str, str], None]
_Floats = Tuple["NDArray[np.float64]", ...]


@dataclass(frozen=True)
class Settings:
    """What the cascade is tuned by; the defaults are the published ones.

    ``min_face_size``: pixels, above 0. ``scale_factor``: between two levels of the pyramid, 0 to 1
    exclusive. ``thresholds``: probability for P-Net, R-Net and O-Net, each 0 to 1. Raises
    ValueError for anything else.
    """

    min_face_size: float = 20.0
    scale_factor: float = 0.709
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_face_size) and self.min_face_size > 0):
            raise ValueError(f"min_face_size is {self.min_face_size}, expected pixels above 0")
        if not 0 < self.scale_factor < 1:
            raise ValueError(
                f"scale_factor is {self.scale_factor}, expected a number between 0 and 1 "
                "(the pyramid would never end otherwise)"
            )
        if len(self.thresholds) != 3 or not all(0 <= value <= 1 for value in self.thresholds):
            raise ValueError(f"thresholds are {self.thresholds}, expected three from 0 to 1")


@dataclass(frozen=True)
class Detection:
    """One face: ``box`` x, y, width, height and ``keypoints`` x, y, all in pixels, unclipped."""

    box: tuple[float, float, float, float]
    confidence: float
    keypoints: dict[str, tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            "box": list(self.box),
            "confidence": self.confidence,
            "keypoints": {name: list(point) for name, point in self.keypoints.items()},
        }


@dataclass(frozen=True)
class Result:
    """Outcome of :func:`detect`.

    ``detections``: best first. ``levels``: (height, width) of the pyramid, largest first.
    ``candidates``: boxes left after the stages ``pnet``, ``rnet`` and ``onet``. ``non_finite``:
    where a network answered NaN or infinity, such as "pnet level 3"; those boxes were dropped, so
    a result with entries here is not to be trusted.
    """

    detections: list[Detection]
    levels: list[tuple[int, int]]
    candidates: dict[str, int]
    non_finite: list[str]


def pyramid_scales(height: int, width: int, settings: Settings) -> list[float]:
    """Scales of the pyramid: the smallest face becomes 12 pixels, the last level holds 12."""
    scale = _CELL / settings.min_face_size
    shorter = min(height, width) * scale
    scales = []
    while shorter >= _CELL:
        scales.append(scale)
        # Products rather than powers: pow() differs in the last bit between C libraries.
        scale *= settings.scale_factor
        shorter *= settings.scale_factor
    return scales


def detect(
    image: NDArray[Any],
    networks: Networks,
    settings: Settings = Settings(),
    enter: Enter | None = None,
    dtype: Any = np.float32,
) -> Result:
    """Find the faces of one image.

    ``image``: (H, W, 3) RGB, uint8 or float32/float64 in 0..255. ``networks``: see
    :class:`.networks.Networks`. ``dtype``: of the arrays handed to them. ``enter(stage, step)`` is
    called before each piece of work, so that the last call tells what a crash interrupted. Stages
    "pnet", "rnet" and "onet" are calls of that network ("level 3 of 9, 154x273", height first;
    "crops 1-64 of 310"); "pyramid" is everything between them: resampling, boxes, suppression.

    Finding no face, at whatever stage, is an empty list. Raises TypeError or ValueError for an
    image of the wrong kind, and lets the networks' own exceptions pass.
    """
    return _Cascade(_checked(image), networks, settings, enter or _ignore, dtype).run()


def _ignore(stage: str, step: str) -> None:
    """Stand-in for a caller who does not want to know."""


def _checked(image: Any) -> NDArray[Any]:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image is a {type(image).__name__}, expected a NumPy array")
    if image.ndim != 3 or image.shape[2] != 3:
        hint = ""
        if image.ndim == 3 and image.shape[0] == 3:
            hint = "; channels come last here: image.transpose(1, 2, 0)"
        elif image.ndim == 3 and image.shape[2] == 4:
            hint = "; drop the alpha channel: image[..., :3]"
        elif image.ndim == 2:
            hint = "; make three channels of gray: np.stack([image] * 3, axis=-1)"
        raise ValueError(f"image has shape {image.shape}, expected (height, width, 3){hint}")
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise ValueError(f"image is empty: shape {image.shape}")
    if image.dtype == np.uint8:
        return image
    if image.dtype not in (np.float32, np.float64):
        raise TypeError(f"image is {image.dtype}, expected uint8, float32 or float64 in 0..255")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 255):  # also true for NaN
        raise ValueError(f"image holds values from {low} to {high}, expected 0 to 255")
    if 0 < high <= 1:
        raise ValueError(f"image holds values up to {high} only: scaled to 0..1? Multiply by 255")
    return image


class _Cascade:
    """One run; a class only because the stages share the image, the networks and the record."""

    def __init__(
        self, image: NDArray[Any], networks: Networks, settings: Settings, enter: Enter, dtype: Any
    ) -> None:
        self.networks, self.settings, self.enter, self.dtype = networks, settings, enter, dtype
        height, width = int(image.shape[0]), int(image.shape[1])
        self.scales = pyramid_scales(height, width, settings)
        self.levels = [(math.ceil(height * s), math.ceil(width * s)) for s in self.scales]
        self.image = image
        self.non_finite: list[str] = []

    def run(self) -> Result:
        candidates = {"pnet": 0, "rnet": 0, "onet": 0}
        detections: list[Detection] = []
        # The table costs 24 bytes a pixel: not for an image too small to hold any face.
        if self.scales:
            self.enter("pyramid", f"integral image {self.image.shape[0]}x{self.image.shape[1]}")
            self.sampler = AreaSampler(self.image)
            boxes = self.propose()
            candidates["pnet"] = len(boxes)
            boxes = self.refine(boxes)
            candidates["rnet"] = len(boxes)
            detections = self.output(boxes)
            candidates["onet"] = len(detections)
        return Result(detections, self.levels, candidates, self.non_finite)

    def propose(self) -> NDArray[np.float64]:
        """P-Net over all levels; square boxes in whole pixels."""
        found = [self.propose_level(index) for index in range(len(self.scales))]
        self.enter("pyramid", "boxes of pnet")
        boxes, scores, offsets = (np.concatenate(part) for part in zip(*found))
        keep = nms(boxes, scores, 0.7)
        boxes = calibrate(boxes[keep], offsets[keep], plus_one=False)
        return truncate(square(boxes))

    def propose_level(self, index: int) -> _Floats:
        scale, (height, width) = self.scales[index], self.levels[index]
        step = f"level {index + 1} of {len(self.scales)}, {height}x{width}"
        self.enter("pyramid", step)
        x = self.normalise(self.sampler.resize(height, width)[None])
        self.enter("pnet", step)
        logits, offsets = self.networks.pnet(x)
        self.enter("pyramid", "boxes of " + step)
        grid = ((height - 1) // 2 - 4, (width - 1) // 2 - 4)
        self.expect("pnet", logits, (1, 2, *grid))
        self.expect("pnet", offsets, (1, 4, *grid))
        flat = (logits[0].reshape(2, -1).T, offsets[0].reshape(4, -1).T)
        usable = self.finite(f"pnet level {index + 1}", *flat)
        probability = _face_probability(flat[0])
        (passed,) = np.nonzero(usable & (probability >= self.settings.thresholds[0]))
        row, column = np.divmod(passed, grid[1])
        corner = np.stack([column, row, column, row], axis=1) * _STRIDE + 1.0
        corner[:, 2:] += _CELL - 1
        boxes = truncate(corner / scale)
        scores, moves = probability[passed], flat[1][passed].astype(np.float64)
        keep = nms(boxes, scores, 0.5)
        return boxes[keep], scores[keep], moves[keep]

    def refine(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """R-Net; square boxes in whole pixels. Suppression comes before calibration."""
        boxes, scores, offsets = self.judge("rnet", boxes, 24, self.settings.thresholds[1], (2, 4))
        keep = nms(boxes, scores, 0.7)
        return truncate(square(calibrate(boxes[keep], offsets[keep])))

    def output(self, boxes: NDArray[np.float64]) -> list[Detection]:
        """O-Net; landmarks are relative to the box before its last calibration."""
        boxes, scores, offsets, landmarks = self.judge(
            "onet", boxes, 48, self.settings.thresholds[2], (2, 4, 10)
        )
        size = boxes[:, 2:] - boxes[:, :2] + 1
        points = landmarks.reshape(-1, 2, 5) * size[:, :, None] + boxes[:, :2, None] - 1
        boxes = calibrate(boxes, offsets)
        return [_detection(boxes[i], scores[i], points[i]) for i in nms(boxes, scores, 0.7, "min")]

    def judge(
        self,
        network: str,
        boxes: NDArray[np.float64],
        size: int,
        threshold: float,
        widths: tuple[int, ...],
    ) -> _Floats:
        """Crop, run R-Net or O-Net, keep what passes: boxes, scores and the further outputs."""
        kept = [(np.empty((0, 4)), np.empty(0), *(np.empty((0, n)) for n in widths[1:]))]
        for start, stop in _chunks(len(boxes)):
            part, step = boxes[start:stop], f"crops {start + 1}-{stop} of {len(boxes)}"
            self.enter("pyramid", f"{network} {step}")
            x = self.normalise(self.sampler.crop(part, size))
            self.enter(network, step)
            outputs = getattr(self.networks, network)(x)
            self.enter("pyramid", f"scores of {network} {step}")
            for output, width in zip(outputs, widths):
                self.expect(network, output, (len(part), width))
            usable = self.finite(f"{network} crops {start + 1}-{stop}", *outputs)
            scores = _face_probability(outputs[0])
            passed = usable & (scores > threshold)
            more = (output[passed].astype(np.float64) for output in outputs[1:])
            kept.append((part[passed], scores[passed], *more))
        self.enter("pyramid", f"boxes of {network}")
        return tuple(np.concatenate(column) for column in zip(*kept))

    def normalise(self, pixels: NDArray[np.float64]) -> NDArray[Any]:
        pixels -= 127.5
        pixels *= 0.0078125
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=self.dtype)

    def expect(self, network: str, output: Any, shape: tuple[int, ...]) -> None:
        if output.shape != shape:
            raise ValueError(f"{network} answered with shape {output.shape}, expected {shape}")

    def finite(self, where: str, *outputs: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows in which all outputs are finite; records ``where`` if some are not."""
        usable: NDArray[np.bool_] = np.ones(len(outputs[0]), dtype=bool)
        for output in outputs:
            usable &= np.isfinite(output).all(axis=1)
        if not usable.all():
            self.non_finite.append(where)
        return usable


def _face_probability(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Softmax of two logits, the second one's share: (N, 2) of any float type to float64 (N,)."""
    exact = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity minus infinity, dropped by the caller
        # Beyond 700 exp() would overflow; the probability is 0 or 1 long before.
        margin = np.clip(exact[:, 0] - exact[:, 1], -700.0, 700.0)
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(margin))
    return probability


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _CHUNK):
        yield start, min(start + _CHUNK, count)


def _detection(
    box: NDArray[np.float64], score: np.float64, points: NDArray[np.float64]
) -> Detection:
    x1, y1, x2, y2 = box.tolist()
    xs, ys = points.tolist()
    return Detection((x1, y1, x2 - x1, y2 - y1), float(score), dict(zip(KEYPOINTS, zip(xs, ys))))
