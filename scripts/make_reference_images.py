"""Make reference_images/*.png and reference_images/expected.json.

    pip download --no-deps --only-binary :all: scikit-image==0.26.0
    pip install numpy
    python scripts/make_reference_images.py scikit_image-0.26.0-*.whl

The two photographs come out of the wheel; the scenes are laid out below. The expected detections
are those of the numpy backend in float64. Running it again gives the same bytes (given the same
zlib). After a change look at every image with its detections drawn in: ``--draw FOLDER``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mtcnn_doctor.target.reference import cascade, png  # noqa: E402
from mtcnn_doctor.target.reference.networks.numpy_backend import NumpyNetworks  # noqa: E402
from mtcnn_doctor.target.reference.weights import load_weights  # noqa: E402

Image = np.ndarray[Any, np.dtype[np.uint8]]

SOURCES = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
}
NASA = "Portrait of the astronaut Eileen Collins, NASA Great Images (https://flic.kr/p/r9qvLn)"
PUBLIC_DOMAIN = "public domain (NASA)"
CC0 = "CC0 1.0"

# The largest deviation from float64 to be put up with, per unit. Measured over all bundled images
# on a CPU: at most 0.00003 px and 4e-7 in confidence, for every backend. Random errors of 3e-5 in
# all network outputs, thirty times the rounding of float32, moved boxes by up to 0.021 px and
# confidences by 1.5e-5 and changed no face. The tolerance on a CPU is wider still, because it
# decides about an error on processors nobody measured, where a false alarm would be the greater
# harm; half a pixel still is far below the faults that people meet.
# "default" is for devices that round more coarsely. TF32 alone stays near 0.02 px, but somewhat
# more makes the whole-pixel steps inside the cascade fall the other way: then up to a pixel.
EXACT = {"box_px": 0.5, "keypoint_px": 0.5, "confidence": 0.005}
TOLERANCE = {
    "numpy": EXACT,
    "torch": EXACT,
    "tensorflow": EXACT,
    "onnxruntime": EXACT,
    "opencv": EXACT,
    "openvino": EXACT,
    "litert": EXACT,
    "default": {"box_px": 1.0, "keypoint_px": 1.0, "confidence": 0.01},
}
REQUIRED_CONFIDENCE = 0.9

HEAD_CENTRE = (227.0, 108.0)  # in the portrait, x and y
HEAD_RADII = (92.0, 104.0)  # of the ellipse that is cut out: hair and collar included
FACE_HEIGHT = 114.0


class Head(NamedTuple):
    """One copy of the head: centre and face height in pixels, clockwise degrees, tone."""

    x: float
    y: float
    size: float
    angle: float = 0.0
    gain: float = 1.0
    gamma: float = 1.0
    mirror: bool = False


CROWD = [
    Head(165, 190, 230),
    Head(450, 150, 120, 12),
    Head(655, 140, 84, -15, mirror=True),
    Head(830, 130, 60, 8, 0.75),
    Head(975, 120, 44, -6, 1.1, mirror=True),
    Head(1090, 112, 34, 4),
    Head(1190, 105, 27, 0, 0.9, mirror=True),
    Head(450, 420, 140, -8, 0.6, mirror=True),
    Head(720, 400, 150, 18, 1.12),
    Head(1000, 360, 130, -20, 1.0, 1.5),
    Head(1190, 300, 72, 10, 0.45),
    Head(110, 560, 96, 22, 0.85, 0.8, mirror=True),
    Head(300, 620, 64, -10, 1.15),
    Head(560, 625, 90, 5, 0.35, mirror=True),
    Head(900, 600, 110, -3, 0.95, 0.7),
    Head(1130, 560, 150, 6, 1.0, mirror=True),
]
SMALL = [
    Head(
        60 + 96 * column + 7 * (row % 2),
        58 + 82 * row,
        size,
        4 * (column - 3),
        1.0 - 0.05 * row,
        mirror=bool((row + column) % 2),
    )
    for row, line in enumerate(
        (
            (40, 38, 36, 34, 32, 30),
            (36, 33, 30, 28, 26, 25),
            (32, 30, 28, 26, 24, 23),
            (29, 27, 26, 25, 24, 22),
            (27, 26, 25, 24, 23, 21),
        )
    )
    for column, size in enumerate(line)
]
BORDER = [
    Head(40, 60, 110),
    Head(240, 30, 90, 6),
    Head(452, 52, 100, -8, mirror=True),
    Head(18, 240, 100, -10),
    Head(240, 200, 120, 25, 0.9, mirror=True),
    Head(466, 225, 90, 5, 0.8),
    Head(60, 345, 90, 12, mirror=True),
    Head(260, 352, 80, 0, 1.1),
    Head(430, 348, 110, -5),
]  # fmt: skip


def scene(portrait: Image, height: int, width: int, heads: list[Head]) -> Image:
    """A studio backdrop with copies of the head, feathered at the edge of their ellipse."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    light = 205 - 45 * np.hypot((x - width / 2) / width, (y - height / 2) / height)
    canvas = light[:, :, None] * np.array([1.0, 0.97, 0.93])
    for head in heads:
        paste(canvas, portrait, head)
    rounded: Image = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return rounded


def paste(canvas: Any, portrait: Image, head: Head) -> None:
    scale = head.size / FACE_HEIGHT
    reach = int(np.ceil(max(HEAD_RADII) * scale)) + 2
    left, top = max(0, int(head.x) - reach), max(0, int(head.y) - reach)
    view = canvas[top : int(head.y) + reach, left : int(head.x) + reach]
    # As many samples a pixel as a pixel covers source pixels, so that shrinking averages.
    samples = max(2, int(np.ceil(1.5 / scale)))
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    y, x = np.mgrid[top : top + view.shape[0], left : left + view.shape[1]].astype(np.float64)
    colour, alpha = np.zeros(view.shape), np.zeros(view.shape[:2])
    turn = np.deg2rad(head.angle)
    for dy in offsets:
        for dx in offsets:
            u, v = (x + dx - head.x) / scale, (y + dy - head.y) / scale
            u, v = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
            edge = np.hypot(u / HEAD_RADII[0], v / HEAD_RADII[1])
            u = -u if head.mirror else u
            colour += bilinear(portrait, HEAD_CENTRE[0] + u, HEAD_CENTRE[1] + v)
            alpha += np.clip((1.0 - edge) / 0.15, 0.0, 1.0)
    colour /= samples**2
    cover = (alpha / samples**2)[:, :, None]
    tone = 255 * np.minimum(head.gain * (colour / 255) ** head.gamma, 1.0)
    view += cover * (tone - view)


def bilinear(image: Image, x: Any, y: Any) -> Any:
    x = np.clip(x, 0, image.shape[1] - 1.001)
    y = np.clip(y, 0, image.shape[0] - 1.001)
    column, row = x.astype(int), y.astype(int)
    right, below = (x - column)[..., None], (y - row)[..., None]
    upper = image[row, column] * (1 - right) + image[row, column + 1] * right
    lower = image[row + 1, column] * (1 - right) + image[row + 1, column + 1] * right
    return upper * (1 - below) + lower * below


def encode_png(image: Image) -> bytes:
    """8-bit RGB PNG with the filters None, Sub and Up only: those decode without a pixel loop."""
    height, width, _ = image.shape
    sub, up = image.copy(), image.copy()
    sub[:, 1:] -= image[:, :-1]
    up[1:] -= image[:-1]
    filtered = np.stack([image, sub, up]).reshape(3, height, -1)
    # The customary heuristic: the row with the smallest sum of absolute (signed) values.
    cost = np.abs(filtered.astype(np.int8).astype(np.int64)).sum(axis=2)
    best = cost.argmin(axis=0)
    rows = b"".join(bytes([best[y]]) + filtered[best[y], y].tobytes() for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return png.SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def read_sources(wheel: Path) -> dict[str, Image]:
    images = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in SOURCES.items():
            content = archive.read(f"skimage/data/{name}")
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                raise SystemExit(f"{name}: SHA-256 {found}, expected {expected}")
            images[name] = png.pixels(png.parse(content))
    return images


def make_images(sources: dict[str, Image]) -> dict[str, tuple[Image, str, str, str]]:
    """File name to image, origin, licence, description."""
    portrait, coffee = sources["astronaut.png"], sources["coffee.png"]
    composed = f"composed from: {NASA}"
    return {
        "portrait.png": (portrait, NASA, PUBLIC_DOMAIN, "One face, frontal, well lit."),
        "no_face.png": (
            coffee,
            "Coffee cup, photograph by Rachel Michetti, courtesy of Pikolo Espresso Bar",
            CC0,
            "No face; rich texture, so P-Net has candidates and R-Net has to refuse them.",
        ),
        "crowd.png": (
            scene(portrait, 720, 1280, CROWD),
            composed,
            PUBLIC_DOMAIN,
            "Faces 27 to 230 pixels high, turned up to 22 degrees, dark and bright.",
        ),
        "small_faces.png": (
            scene(portrait, 441, 603, SMALL),
            composed,
            PUBLIC_DOMAIN,
            "Faces 21 to 40 pixels high, around the smallest that is looked for; odd sizes.",
        ),
        "border_faces.png": (
            scene(portrait, 375, 487, BORDER),
            composed,
            PUBLIC_DOMAIN,
            "Faces cut off at all four borders; boxes and crops reach outside.",
        ),
    }


def expected_entry(file: str, content: bytes, result: cascade.Result, **about: Any) -> Any:
    faces = []
    for detection in result.detections:
        face = json.loads(json.dumps(detection.as_dict()), parse_float=lambda t: round(float(t), 9))
        face["required"] = detection.confidence >= REQUIRED_CONFIDENCE
        faces.append(face)
    return {
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        **about,
        "faces": faces,
        "levels": len(result.levels),
        "candidates": result.candidates,
    }


def draw(image: Image, result: cascade.Result) -> Image:
    """A copy with boxes (green from the required confidence on, else yellow) and keypoints."""
    out: Image = image.copy()
    for detection in result.detections:
        sure = detection.confidence >= REQUIRED_CONFIDENCE
        colour = (0, 255, 0) if sure else (255, 255, 0)
        x, y, width, height = (round(value) for value in detection.box)
        rows = np.clip([y, y + height], 0, out.shape[0] - 1)
        columns = np.clip([x, x + width], 0, out.shape[1] - 1)
        out[rows, columns[0] : columns[1]] = colour
        out[rows[0] : rows[1], columns] = colour
        for px, py in detection.keypoints.values():
            row, column = max(round(py), 0), max(round(px), 0)
            out[row : row + 2, column : column + 2] = (255, 0, 0)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="a scikit-image wheel")
    parser.add_argument("--output", type=Path, default=ROOT / "reference_images")
    parser.add_argument("--draw", type=Path, help="folder for the images with boxes drawn in")
    options = parser.parse_args()
    settings = cascade.Settings()
    networks = NumpyNetworks(load_weights(), np.float64)
    entries = []
    for file, (image, origin, licence, text) in make_images(read_sources(options.wheel)).items():
        content = encode_png(image)
        (options.output / file).write_bytes(content)
        result = cascade.detect(image, networks, settings, dtype=np.float64)
        about = {"origin": origin, "licence": licence, "description": text}
        height, width, _ = image.shape
        entries.append(expected_entry(file, content, result, width=width, height=height, **about))
        scores = " ".join(f"{d.confidence:.4f}" for d in result.detections)
        print(f"{file}: {len(content)} bytes, {len(result.detections)} faces {scores}")
        if options.draw:
            options.draw.mkdir(parents=True, exist_ok=True)
            (options.draw / file).write_bytes(encode_png(draw(image, result)))
    document = {
        "schema_version": 1,
        "settings": {
            "min_face_size": settings.min_face_size,
            "scale_factor": settings.scale_factor,
            "thresholds": list(settings.thresholds),
        },
        "images": entries,
        "tolerance": TOLERANCE,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (options.output / "expected.json").write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
