"""How often `inspect` is right about RGB and BGR, on photographs and their variations.

    python benchmarks/channel_order.py [FOLDER_OF_PHOTOS ...]

Every photograph (the bundled ones; those of the folders must be RGB as files usually are) is
varied (skin tones, light, tints, monochrome, exposure, noise, compression, backgrounds) and written
in both orders; `mtcnn-doctor inspect` then judges the files. The table counts its three answers. A
claim that is wrong makes the exit code 1.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter  # noqa: TID253

from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.knowledge.channel_order import BGR, RGB, UNKNOWN, verdict

#: Longest side at which a photograph is varied.
_SIDE = 420
Pixels = Any
Vary = Callable[[Pixels, list[list[float]]], Pixels]


def light(*gains: float) -> Vary:
    """A coloured light on everything."""
    return lambda image, faces: image * np.array(gains)


def spot(*gains: float) -> Vary:
    """A coloured light on the heads alone."""

    def vary(image: Pixels, faces: list[list[float]]) -> Pixels:
        weight = heads(image, faces, 0.9)[..., None]
        return image * (1 - weight) + image * np.array(gains) * weight

    return vary


def skin(*gains: float) -> Vary:
    """Another skin tone: the reddish pixels of the heads."""

    def vary(image: Pixels, faces: list[list[float]]) -> Pixels:
        red, green, blue = np.moveaxis(image, 2, 0)
        weight = (heads(image, faces, 0.75) * ((red > green) & (green > blue)))[..., None]
        return image * (1 - weight) + image * np.array(gains) * weight

    return vary


def wall(*colour: float) -> Vary:
    """Another background, with a little shading."""

    def vary(image: Pixels, faces: list[list[float]]) -> Pixels:
        weight = heads(image, faces, 1.15)[..., None]
        shade = np.linspace(0.7, 1.1, image.shape[1])[None, :, None]
        return image * weight + np.array(colour) * shade * (1 - weight)

    return vary


def grey(image: Pixels, share: float) -> Pixels:
    """The image with that share of its colour taken out."""
    mean = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    return image * (1 - share) + mean * share


def tinted(*colour: float) -> Vary:
    """A monochrome print in a colour, such as sepia."""
    return lambda image, faces: grey(image, 1.0) * np.array(colour)


def heads(image: Pixels, faces: list[list[float]], reach: float) -> Pixels:
    """How much each pixel belongs to a head, 0 to 1."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = np.zeros(image.shape[:2])
    for x, y, width, height in faces:
        away = np.hypot(
            (columns - x - width / 2) / (reach * width), (rows - y - height / 2) / (reach * height)
        )
        weight = np.maximum(weight, np.clip((1.0 - away) * 6, 0, 1))
    return weight


def noisy(image: Pixels, faces: list[list[float]]) -> Pixels:
    """Noise of a dark room."""
    return image + np.random.default_rng(4).normal(0, 20, image.shape)


def jpeg(image: Pixels, faces: list[list[float]]) -> Pixels:
    """JPEG of quality 15."""
    stream = io.BytesIO()
    Image.fromarray(rounded(image)).save(stream, "JPEG", quality=15)
    return np.asarray(Image.open(stream)).astype(float)


def blurred(image: Pixels, faces: list[list[float]]) -> Pixels:
    """Out of focus."""
    picture = Image.fromarray(rounded(image)).filter(ImageFilter.GaussianBlur(2))
    return np.asarray(picture).astype(float)


def curve(power: float) -> Vary:
    """Another gamma."""
    return lambda image, faces: 255 * (np.clip(image, 0, 255) / 255) ** power


VARIATIONS: dict[str, dict[str, Vary]] = {
    "as photographed": {"plain": lambda image, faces: image},
    "skin tones": {
        "very dark": skin(0.30, 0.27, 0.26), "dark": skin(0.45, 0.40, 0.38),
        "brown": skin(0.7, 0.62, 0.55), "olive": skin(0.85, 0.86, 0.72),
        "pale": skin(1.1, 1.18, 1.25), "grey-pale": skin(0.95, 1.12, 1.25),
    },
    "white light of 2500 to 20000 K": {
        "candle": light(1.4, 0.95, 0.45), "tungsten": light(1.25, 1.0, 0.65),
        "warm": light(1.1, 1.0, 0.85), "cool": light(0.92, 1.0, 1.12),
        "shade": light(0.82, 0.98, 1.25), "blue sky": light(0.7, 0.95, 1.45),
    },
    "coloured light": {
        "blue": light(0.4, 0.6, 1.6), "green": light(0.5, 1.3, 0.5), "red": light(1.5, 0.45, 0.4),
        "magenta": light(1.2, 0.5, 1.3), "cyan": light(0.45, 1.1, 1.2),
        "yellow": light(1.2, 1.1, 0.35),
    },
    "coloured light on the faces alone": {
        "blue": spot(0.5, 0.75, 1.5), "deep blue": spot(0.3, 0.5, 1.6), "cool": spot(0.8, 1, 1.25),
        "red": spot(1.5, 0.5, 0.45), "magenta": spot(1.2, 0.55, 1.35), "cyan": spot(0.5, 1.1, 1.2),
    },
    "tints and monochrome": {
        "monochrome": lambda image, faces: grey(image, 1.0), "sepia": tinted(1.08, 0.92, 0.72),
        "strong sepia": tinted(1.2, 0.88, 0.55), "cyanotype": tinted(0.5, 0.85, 1.25),
        "half the colour": lambda image, faces: grey(image, 0.5),
        "a quarter of the colour": lambda image, faces: grey(image, 0.75),
        "much colour": lambda image, faces: grey(image, -0.6),
    },
    "exposure, noise, compression": {
        "dark": lambda image, faces: image * 0.3, "very dark": lambda image, faces: image * 0.15,
        "bright": lambda image, faces: image * 1.8, "gamma 0.5": curve(0.5), "gamma 2": curve(2),
        "noise": noisy, "blur": blurred, "JPEG 15": jpeg,
    },
    "backgrounds": {
        "red": wall(180, 40, 30), "orange": wall(220, 130, 50), "wood": wall(130, 90, 60),
        "blue": wall(40, 70, 190), "sky": wall(120, 170, 240), "green": wall(60, 130, 60),
        "grey": wall(128, 128, 128), "white": wall(240, 240, 240), "purple": wall(120, 50, 160),
    },
}  # fmt: skip


def rounded(image: Pixels) -> Pixels:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def photographs(folders: list[str]) -> Iterator[tuple[str, Pixels, list[list[float]]]]:
    """Yield name, pixels and the boxes of the faces, as the reference finds them."""
    from mtcnn_doctor.reference import Detector, read_image

    paths = [picture.path for picture in bundled() if picture.name != "no_face.png"]
    for folder in folders:
        paths += sorted(p for p in Path(folder).iterdir() if p.suffix.lower() in (".jpg", ".png"))
    detector = Detector(backend="numpy")
    for path in paths:
        picture = Image.fromarray(read_image(str(path)))
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
        image = np.asarray(picture)
        faces = [list(face.box) for face in detector.detect(image).faces if face.confidence > 0.9]
        if faces:
            yield path.stem, image.astype(float), faces


def judged(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what `inspect` saw of the colours of each file."""
    done = subprocess.run(
        [sys.executable, "-m", "mtcnn_doctor", "inspect", str(folder), "--subject", "none",
         "--decoder", "PIL", "--format", "json", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    return {look["name"]: look.get("colours") or {} for look in report["facts"]["looks"]}


def main() -> int:
    wrong = []
    table: dict[str, Counter[str]] = defaultdict(Counter)
    photos = list(photographs([one for one in sys.argv[1:] if one != "--verbose"]))
    print(f"{len(photos)} photographs: {', '.join(name for name, _, _ in photos)}")
    for group, variations in VARIATIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            for name, image, faces in photos:
                for label, vary in variations.items():
                    varied = rounded(vary(image, faces))
                    for order in (RGB, BGR):
                        pixels = varied if order == RGB else varied[:, :, ::-1]
                        stem = f"{name}+{label.replace(' ', '_')}+{order}"
                        Image.fromarray(np.ascontiguousarray(pixels)).save(f"{folder}/{stem}.png")
            for file, colours in judged(Path(folder)).items():
                truth = file.rsplit("+", 1)[1].split(".")[0]
                answer, _ = verdict(colours)
                colourless = file.split("+")[1] == "monochrome"
                right = "right" if answer == truth else UNKNOWN if answer == UNKNOWN else "wrong"
                if right == "wrong" or (colourless and answer != UNKNOWN):
                    wrong.append((file, answer, colours))
                table[group][right] += 1
                if "--verbose" in sys.argv:
                    print(file, answer, colours)
    print(f"{'variation':<36} {'right':>6} {'cannot tell':>12} {'wrong':>6}")
    total: Counter[str] = Counter()
    for group, counts in table.items():
        total.update(counts)
        print(f"{group:<36} {counts['right']:>6} {counts[UNKNOWN]:>12} {counts['wrong']:>6}")
    print(f"{'all':<36} {total['right']:>6} {total[UNKNOWN]:>12} {total['wrong']:>6}")
    for file, answer, colours in wrong:
        print(f"wrong: {file} called {answer}: {colours}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
