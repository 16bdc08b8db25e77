"""The user's own MTCNN packages: what each is called, and when its faces are the right ones.

The packages differ from the reference on purpose, so each release is held to a profile of its own
(``knowledge/subjects.toml``), and only the faces that every sound MTCNN agrees on count.

Beside the built-in ones there are those that distributions of the target bring as entry points of
the group ``mtcnn_doctor.subjects`` (see docs/write-a-subject.md). Their metadata tell of them; they
are imported in children of the target only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mtcnn_doctor import agreement
from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.knowledge import subject_profile

#: Share of a face's longer side within which the image's edge cuts its crops off.
_NEAR = 0.25
#: On images of unknown faces the reference must be this sure, and the face this large (pixels),
#: before a package is said to have missed it.
_CERTAIN, _LARGE = 0.99, 30.0


@dataclass(frozen=True)
class Subject:
    """A package with an MTCNN of its own.

    ``module`` is its import name, or that of its adapter (``is_plugin``), ``distributions`` what
    brings it, ``backend`` the backend whose framework it runs on.
    """

    name: str
    module: str
    distributions: tuple[str, ...]
    backend: str
    is_plugin: bool = False


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("mtcnn", "mtcnn", ("mtcnn",), "tensorflow"),
        Subject("facenet-pytorch", "facenet_pytorch", ("facenet-pytorch",), "torch"),
    )
}


def known(packages: Mapping[str, Any]) -> dict[str, Subject]:
    """Return the built-in subjects and the target's plug-ins, by name; built-in ones win."""
    found = dict(SUBJECTS)
    for distribution in packages.get("distributions") or ():
        for name, place in (distribution.get("subjects") or {}).items():
            module = str(place).partition(":")[0].strip()
            backend = _framework(distribution.get("requires") or ())
            plugin = Subject(name, module, (str(distribution.get("key")),), backend, is_plugin=True)
            found.setdefault(name, plugin)
    return found


def _framework(requirements: Sequence[str]) -> str:
    """Return the backend on whose framework a distribution builds, by what it requires.

    A guess until its adapter was loaded, which may say otherwise.
    """
    for line in requirements:
        try:
            required = canonicalize_name(Requirement(line).name)
        except InvalidRequirement:
            continue
        for backend in BACKENDS.values():
            if backend.name != "numpy" and required in backend.distributions:
                return backend.name
    return "numpy"


def compare(
    name: str,
    version: str | None,
    expected: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Hold a package's faces on one image to the expected ones, by the profile of its release.

    Args:
        name: The subject.
        version: Its release, None where unknown.
        expected: Faces known to be on the image.
        result: What the child told of the image: ``detections``, ``width``, ``height``.
        own: What a plug-in's adapter asks instead of the profile that asks least.

    Returns:
        What :func:`mtcnn_doctor.agreement.compare` returns, and ``min_iou``.
    """
    profile = {**subject_profile(name, version), **(own or {})}
    found = result["detections"]
    pairs = agreement.pair(expected, found)
    partner = dict(pairs)
    required, asked = [], []
    for index, face in enumerate(expected):
        if face.get("required", face["confidence"] >= agreement.SURE):
            if not _cut_off(face, result):
                required.append(index)
                asked.append(index)
            elif profile["border"] == "found":
                asked.append(index)
    missing = [index for index in asked if index not in partner]
    extra = [
        face
        for index, face in enumerate(found)
        if index not in partner.values()
        and face["confidence"] >= profile["sure"]
        and not _cut_off(face, result)
    ]
    worst = {"box": 0.0, "keypoint": 0.0, "confidence": 0.0, "share": 0.0}
    overlap = 1.0
    for index in required:
        if index not in partner:
            continue
        one, other = expected[index], found[partner[index]]
        overlap = min(overlap, agreement.iou(one["box"], other["box"]))
        points = agreement.keypoint_error(one["keypoints"], other["keypoints"])
        _raise_to(worst, "box", agreement.box_error(one["box"], other["box"]))
        _raise_to(worst, "keypoint", points)
        _raise_to(worst, "share", points / one["box"][2])
        _raise_to(worst, "confidence", abs(one["confidence"] - other["confidence"]))
    return {
        "expected": len(asked),
        "matched": len(asked) - len(missing),
        "missing": len(missing),
        "extra": len(extra),
        "max_box_error_px": round(worst["box"], 4),
        "max_keypoint_error_px": round(worst["keypoint"], 4),
        "max_confidence_error": round(worst["confidence"], 6),
        "min_iou": round(overlap, 4),
        "agrees": not missing
        and not extra
        and overlap >= profile["iou"]
        and worst["share"] <= profile["keypoint"]
        and worst["confidence"] <= profile["confidence"],
    }


def _raise_to(worst: dict[str, float], key: str, value: float) -> None:
    worst[key] = max(worst[key], value)


def _cut_off(face: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    """Whether the image's edge cuts a face's surroundings off."""
    x, y, width, height = face["box"]
    near = _NEAR * max(width, height)
    return bool(
        x < near
        or y < near
        or x + width > image["width"] - near
        or y + height > image["height"] - near
    )


def beside_reference(
    reference: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what a package and the reference find on an image whose faces nobody knows.

    ``missing`` counts only large faces, clear of the image's edge, of which the reference is
    certain; ``extra`` what the package alone is certain of.
    """
    found = result["detections"]
    pairs = agreement.pair(reference, found)
    ours, theirs = {i for i, _ in pairs}, {j for _, j in pairs}
    missing = [
        face
        for index, face in enumerate(reference)
        if index not in ours
        and face["confidence"] >= _CERTAIN
        and min(face["box"][2:]) >= _LARGE
        and not _cut_off(face, result)
    ]
    extra = [
        face
        for index, face in enumerate(found)
        if index not in theirs and face["confidence"] >= _CERTAIN
    ]
    return {
        "image": result["image"],
        "reference": len(reference),
        "found": len(found),
        "missing": len(missing),
        "extra": len(extra),
    }
