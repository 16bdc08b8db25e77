"""The images of a report with the faces that were found on them, for the HTML report.

Bundled images are shown, small. Of the user's images there is only the frame, with the faces in
their places: a report is shared, and its reader should not have to trust what is in it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor import gallery
from mtcnn_doctor.model import Run
from mtcnn_doctor.report.html import safe

#: Faces closer to each other than this are drawn once, in pixels.
_SAME_PX = 1.0
#: More images than this are not drawn.
_MOST = 12


def figures(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a figure for each image, and one more where runs found other faces on it."""
    sizes: dict[str, tuple[int, int]] = {}
    for run in runs:
        for image in run.images:
            if image.get("width") and image.get("height"):
                sizes.setdefault(str(image["image"]), (image["width"], image["height"]))
    drawn = [_figure(name, sizes[name], group, faces, len(groups) > 1)
             for name in list(sizes)[:_MOST]
             for groups in [_groups(name, runs)]
             for group, faces in groups]  # fmt: skip
    if drawn:
        yield "<h2>Faces found</h2>"
        yield f"<div class='pictures'>{''.join(drawn)}</div>"
    if len(sizes) > _MOST:
        yield f"<p class='soft'>{len(sizes) - _MOST} more images are not shown.</p>"


def _groups(name: str, runs: Sequence[Run]) -> list[tuple[list[str], list[Mapping[str, Any]]]]:
    """Return the names of the runs that found the same faces on an image, and those faces."""
    groups: list[tuple[list[str], list[Mapping[str, Any]]]] = []
    for run in runs:
        if not any(image["image"] == name for image in run.images):
            continue
        faces = [face for face in run.detections if face["image"] == name]
        for names, others in groups:
            if _same(faces, others):
                names.append(run.name)
                break
        else:
            groups.append(([run.name], faces))
    return groups


def _same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    if len(one) != len(other):
        return False
    left = sorted(tuple(face["box"]) for face in one)
    right = sorted(tuple(face["box"]) for face in other)
    return all(
        abs(a - b) <= _SAME_PX
        for mine, theirs in zip(left, right, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )


def _figure(
    name: str,
    size: tuple[int, int],
    runs: Sequence[str],
    faces: Sequence[Mapping[str, Any]],
    disagree: bool,
) -> str:
    width, height = size
    line = max(width, height) / 300
    parts = [_background(name, width, height)]
    parts += [_face(face, line) for face in faces]
    count = "no face" if not faces else "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    told = f"{name}, {width}×{height}: {count} ({', '.join(runs)})"
    if disagree:
        told += ". The runs do not agree on this image."
    label = safe(told)
    return (
        f"<figure><svg viewBox='0 0 {width} {height}' role='img' aria-label=\"{label}\">"
        f"{''.join(parts)}</svg><figcaption>{label}</figcaption></figure>"
    )


def _background(name: str, width: int, height: int) -> str:
    preview = gallery.preview(name)
    if preview is None:
        size = max(width, height) / 25
        place = "x='50%' y='50%' text-anchor='middle' class='soft'"
        return f"<text {place} style='font-size:{size:.0f}px'>not shown</text>"
    data = base64.b64encode(preview.read_bytes()).decode("ascii")
    return f"<image width='{width}' height='{height}' href='data:image/jpeg;base64,{data}'/>"


def _face(face: Mapping[str, Any], line: float) -> str:
    x, y, width, height = face["box"]
    parts = [
        f"<rect class='box' x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' "
        f"stroke-width='{line:.1f}'/>"
    ]
    parts += [
        f"<circle class='dot' cx='{point[0]:.1f}' cy='{point[1]:.1f}' r='{line * 0.9:.1f}'/>"
        for point in (face.get("keypoints") or {}).values()
    ]
    confidence = face.get("confidence")
    if confidence is not None and width > line * 14:
        size = line * 7
        parts.append(
            f"<rect class='behind' x='{x:.1f}' y='{y - size:.1f}' width='{size * 2.6:.1f}' "
            f"height='{size:.1f}'/><text class='score' x='{x + line:.1f}' "
            f"y='{y - size * 0.2:.1f}' style='font-size:{size:.1f}px;fill:#fff'>"
            f"{confidence:.3f}</text>"
        )
    return "".join(parts)
