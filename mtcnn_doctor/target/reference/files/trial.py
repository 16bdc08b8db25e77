"""What networks do on images, beside what the published ones do: stage by stage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

import numpy as np

from ..cascade import detect
from ..networks.numpy_backend import NumpyNetworks
from ..picture import PictureError, read_rgb
from ..result import Judged, Stages
from ..settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["run"]

#: A box that overlaps a face so much will be moved onto it by the networks that follow.
_NEAR = 0.3
#: Overlap (intersection over union) of two boxes of one face.
_SAME = 0.5
#: Cells of one image that P-Net may take for faces: the published one takes some hundred of a
#: photograph, and more than this would keep R-Net busy for minutes.
_FLOOD = 20_000


class _FloodError(Exception):
    """P-Net sees faces everywhere."""


class _Watched:
    """Networks whose P-Net is stopped when it floods the others."""

    def __init__(self, weights: Weights, threshold: float) -> None:
        self._networks = NumpyNetworks(weights)
        self.margin = float(np.log(threshold / (1 - threshold))) if 0 < threshold < 1 else 0.0
        self.passed = 0
        self.rnet, self.onet = self._networks.rnet, self._networks.onet

    def pnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """P-Net, counted."""
        logits, offsets = self._networks.pnet(x)
        with np.errstate(invalid="ignore"):
            self.passed += int((logits[:, 1] - logits[:, 0] >= self.margin).sum())
        if self.passed > _FLOOD:
            raise _FloodError
        return logits, offsets


def run(
    weights: Weights,
    published: Weights,
    images: Sequence[str],
    settings: Mapping[str, Any],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Run both on image files; ``tell`` is called with the name of each.

    Returns ``images`` (one row each: faces and candidates of both, how many of the published
    network's faces each stage still had), ``offsets`` (mean and spread of what each network
    answers for the boxes it accepts) and ``unreadable`` files.
    """
    chosen = Settings(
        min_face_size=settings.get("min_face_size", 20),
        scale_factor=settings.get("scale_factor", 0.709),
        thresholds=tuple(settings.get("thresholds", (0.6, 0.7, 0.7))),
    )
    rows, unreadable = [], []
    answers: dict[str, list[NDArray[Any]]] = {"pnet": [], "rnet": [], "onet": []}
    for path in images:
        tell(os.path.basename(path))
        try:
            image = read_rgb(path)
        except PictureError as error:
            unreadable.append(str(error))
            continue
        truth = detect(image, NumpyNetworks(published), chosen)
        row: dict[str, Any] = {
            "image": os.path.basename(path),
            "published": {**truth.candidates, "faces": len(truth.detections)},
        }
        stages, networks = Stages(), _Watched(weights, chosen.thresholds[0])
        try:
            found = detect(image, networks, chosen, record=stages)
        except _FloodError:
            rows.append({**row, "flood": networks.passed})
            continue
        faces = np.array([face.box for face in truth.detections]).reshape(-1, 4)
        faces[:, 2:] += faces[:, :2]
        own = np.array([face.box for face in found.detections]).reshape(-1, 4)
        own[:, 2:] += own[:, :2]
        row["given"] = {**found.candidates, "faces": len(found.detections)}
        row["non_finite"] = found.non_finite[:5]
        row["kept"] = {
            "pnet": _met(faces, stages.rnet.boxes if stages.rnet else own[:0], _NEAR),
            "rnet": _met(faces, stages.onet.boxes if stages.onet else own[:0], _NEAR),
            "onet": _met(faces, own, _SAME),
        }
        row["new"] = len(own) - _met(own, faces, _SAME)
        rows.append(row)
        _collect(answers, stages, chosen.thresholds)
    return {
        "images": rows,
        "offsets": {network: _spread(parts) for network, parts in answers.items()},
        "unreadable": unreadable,
    }


def _met(wanted: NDArray[Any], boxes: NDArray[Any], least: float) -> int:
    """How many of the wanted boxes have another that overlaps them enough."""
    if not len(wanted) or not len(boxes):
        return 0
    low = np.maximum(wanted[:, None, :2], boxes[None, :, :2])
    high = np.minimum(wanted[:, None, 2:], boxes[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(part[:, 2] - part[:, 0]) * (part[:, 3] - part[:, 1]) for part in (wanted, boxes)]
    union = areas[0][:, None] + areas[1][None] - inner
    with np.errstate(invalid="ignore", divide="ignore"):
        share = inner / union
    return int((np.nan_to_num(share) >= least).any(axis=1).sum())


def _collect(
    answers: dict[str, list[NDArray[Any]]], stages: Stages, thresholds: Sequence[float]
) -> None:
    for level in stages.pnet:
        passed = _passed(level.logits.reshape(2, -1).T, thresholds[0])
        answers["pnet"].append(level.offsets.reshape(4, -1).T[passed])
    later: tuple[tuple[str, Judged | None, float], ...] = (
        ("rnet", stages.rnet, thresholds[1]),
        ("onet", stages.onet, thresholds[2]),
    )
    for network, judged, threshold in later:
        if judged is not None:
            answers[network].append(judged.offsets[_passed(judged.logits, threshold)])


def _passed(logits: NDArray[Any], threshold: float) -> NDArray[Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        margin = np.clip((logits[:, 0] - logits[:, 1]).astype(np.float64), -700.0, 700.0)
        passed: NDArray[Any] = 1.0 / (1.0 + np.exp(margin)) >= threshold
    return passed


def _spread(parts: Sequence[NDArray[Any]]) -> dict[str, Any] | None:
    values = np.concatenate([*parts, np.empty((0, 4))]).astype(np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return None
    return {
        "count": len(values),
        "mean": [round(float(one), 4) for one in values.mean(axis=0)],
        "std": [round(float(one), 4) for one in values.std(axis=0)],
    }
