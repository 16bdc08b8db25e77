"""Images for the benchmarks: bundled ones, files, and seeded scenes with any number of faces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mtcnn_doctor import gallery
from mtcnn_doctor.target.reference import picture

Pixels = Any  # numpy.ndarray (H, W, 3) uint8 RGB


def bundled(name: str) -> Pixels:
    """Return one of the bundled images, such as "crowd.png"."""
    found = {entry.name: entry.path for entry in gallery.bundled()}
    if name not in found:
        raise ValueError(f"no bundled image {name!r}, only {', '.join(found)}")
    return picture.read_rgb(str(found[name]))


def resized(image: Pixels, height: int, width: int) -> Pixels:
    """Area-average an image to another size, as uint8 of the same channels."""
    rows, columns = _coverage(image.shape[0], height), _coverage(image.shape[1], width)
    planes = [rows @ image[..., c].astype(np.float64) @ columns.T for c in range(image.shape[2])]
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)


def _coverage(source: int, target: int) -> Any:
    """Matrix (target, source): which share of each target pixel every source pixel covers."""
    edges = np.linspace(0.0, source, target + 1)
    starts = np.arange(source)
    left = np.maximum(edges[:-1, None], starts)
    right = np.minimum(edges[1:, None], starts + 1)
    return np.clip(right - left, 0.0, None) * (target / source)


def scene(height: int, width: int, faces: int, seed: int = 3) -> Pixels:
    """Compose a scene: the portrait's face ``faces`` times, in sizes of its own and dimmed.

    The background is the bundled picture without a face, stretched over the scene, so that P-Net
    has texture to reject. The faces stand in a grid of cells, somewhere in their cell, 40 to 75 %
    of its height high, so that none hides another. The same arguments give the same pixels.
    """
    rng = np.random.default_rng(seed)
    canvas = resized(bundled("no_face.png"), height, width).astype(np.float64)
    if not faces:
        return canvas.astype(np.uint8)
    head = bundled("portrait.png")[22:214, 128:320]  # 192 x 192 around the face
    share = 114 / 192  # of the cut's height that is the face's box
    rows = max(1, round(math.sqrt(faces * height / width)))
    columns = math.ceil(faces / rows)
    high, wide = height / rows, width / columns
    # A soft round mask: a sharp frame around each face would be a detector's easiest hint.
    y, x = np.mgrid[-1:1:192j, -1:1:192j]
    mask = np.rint(255 * np.clip((1.0 - np.hypot(x, y)) / 0.25, 0, 1))[..., None].astype(np.uint8)
    for number in range(faces):
        row, column = divmod(number, columns)
        side = int(min(high, wide) * rng.uniform(0.40, 0.75) / share)
        side = max(8, min(side, int(high), int(wide)))
        face = resized(head, side, side) * rng.uniform(0.7, 1.0)
        soft = resized(mask, side, side) / 255.0
        top = int(row * high + rng.uniform(0, max(0.0, high - side)))
        left = int(column * wide + rng.uniform(0, max(0.0, wide - side)))
        part = canvas[top : top + side, left : left + side]
        part += soft[: part.shape[0], : part.shape[1]] * (
            face[: part.shape[0], : part.shape[1]] - part
        )
    return np.rint(canvas).astype(np.uint8)
