"""Do two lists of faces show the same faces? Plain arithmetic on plain data, no NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Faces below this confidence come and go between implementations and roundings of the same
#: network; they are matched where both sides have them and missed by nobody.
SURE = 0.9
#: The same face, for the purpose of pairing. Agreement is then measured in pixels.
_PAIRING_IOU = 0.5


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return intersection over union of two boxes ``[x, y, width, height]`` in pixels."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def box_error(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the largest distance between corresponding edges of two boxes, in pixels."""
    return max(
        abs(a[0] - b[0]),
        abs(a[1] - b[1]),
        abs(a[0] + a[2] - b[0] - b[2]),
        abs(a[1] + a[3] - b[1] - b[3]),
    )


def keypoint_error(a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]) -> float:
    """Return the largest coordinate difference of the keypoints both sides have, in pixels."""
    errors = [abs(a[n][axis] - b[n][axis]) for n in a.keys() & b.keys() for axis in (0, 1)]
    return max(errors, default=0.0)


def pair(
    expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> list[tuple[int, int]]:
    """Pair faces one to one, the best overlap first."""
    candidates = [
        (iou(e["box"], f["box"]), -i, -j)
        for i, e in enumerate(expected)
        for j, f in enumerate(found)
    ]
    pairs: list[tuple[int, int]] = []
    used_expected: set[int] = set()
    used_found: set[int] = set()
    for overlap, i, j in sorted(candidates, reverse=True):
        if overlap < _PAIRING_IOU:
            break
        if -i not in used_expected and -j not in used_found:
            used_expected.add(-i)
            used_found.add(-j)
            pairs.append((-i, -j))
    return pairs


def compare(
    expected: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    tolerance: Mapping[str, float],
) -> dict[str, Any]:
    """Compare the faces of one image.

    Args:
        expected: Faces with ``box``, ``confidence``, ``keypoints`` and optionally ``required``
            (default: confidence of at least 0.9).
        found: Faces with ``box``, ``confidence``, ``keypoints``.
        tolerance: ``box_px``, ``keypoint_px``, ``confidence``.

    Returns:
        Counts ``expected``, ``matched``, ``missing``, ``extra`` (of sure faces only, except
        ``matched``), the largest errors over matched faces, and ``agrees``.
    """
    pairs = pair(expected, found)
    matched_expected = {i for i, _ in pairs}
    matched_found = {j for _, j in pairs}
    required = {i for i, e in enumerate(expected) if e.get("required", e["confidence"] >= SURE)}
    missing = required - matched_expected
    extra = [j for j, f in enumerate(found) if j not in matched_found and f["confidence"] >= SURE]
    errors: dict[str, float] = {"box": 0.0, "keypoint": 0.0, "confidence": 0.0}
    for i, j in pairs:
        if i not in required:
            continue
        e, f = expected[i], found[j]
        errors["box"] = max(errors["box"], box_error(e["box"], f["box"]))
        errors["keypoint"] = max(errors["keypoint"], keypoint_error(e["keypoints"], f["keypoints"]))
        errors["confidence"] = max(errors["confidence"], abs(e["confidence"] - f["confidence"]))
    agrees = (
        not missing
        and not extra
        and errors["box"] <= tolerance["box_px"]
        and errors["keypoint"] <= tolerance["keypoint_px"]
        and errors["confidence"] <= tolerance["confidence"]
    )
    return {
        "expected": len(required),
        "matched": len(pairs),
        "missing": len(missing),
        "extra": len(extra),
        "max_box_error_px": round(errors["box"], 4),
        "max_keypoint_error_px": round(errors["keypoint"], 4),
        "max_confidence_error": round(errors["confidence"], 6),
        "agrees": agrees,
    }


def combine(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine the comparisons of several images: counts add up, errors take the largest."""
    counts = {key: sum(part[key] for part in parts) for key in _COUNTS}
    errors = {key: max((part[key] for part in parts), default=0.0) for key in _ERRORS}
    return {**counts, **errors, "agrees": all(part["agrees"] for part in parts)}


_COUNTS = ("expected", "matched", "missing", "extra")
_ERRORS = ("max_box_error_px", "max_keypoint_error_px", "max_confidence_error")
