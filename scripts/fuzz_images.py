"""Feed mutated image files and arrays to the readers of ``inspect`` and ``check --image``.

    python scripts/fuzz_images.py --minutes 60 --output fuzzed

What counts as a failure, and the options, are those of ``fuzz_weights.py``. The decoders themselves
(OpenCV, Pillow, TensorFlow) are other people's; the doctor runs them in children.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_weights import Kind, main

from mtcnn_doctor import registry
from mtcnn_doctor.target.channel import _plain
from mtcnn_doctor.target.probes import image
from mtcnn_doctor.target.tasks import arrays


def corpus() -> dict[str, bytes]:
    """Small files of every format whose header is read, and arrays in both containers."""
    from PIL import Image

    picture = Image.fromarray(np.arange(24 * 20 * 3, dtype=np.uint8).reshape(20, 24, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {}
    for name, mode, options in (
        ("a.png", "RGB", {}),
        ("b.png", "P", {"transparency": 0}),
        ("c.png", "RGBA", {"exif": exif}),
        ("a.jpg", "RGB", {"exif": exif}),
        ("b.jpg", "CMYK", {}),
        ("a.gif", "P", {}),
        ("a.bmp", "RGB", {}),
        ("a.webp", "RGB", {}),
        ("b.webp", "RGBA", {"lossless": True, "exif": exif}),
        ("a.tiff", "RGB", {"exif": exif}),
        ("b.tiff", "1", {}),
    ):
        out = io.BytesIO()
        picture.convert(mode).save(out, {"jpg": "jpeg"}.get(name[2:], name[2:]), **options)
        found[name] = out.getvalue()
    for name, array in (
        ("a.npy", np.zeros((4, 5, 3), np.uint8)),
        ("b.npy", np.zeros((2, 3), ">f4")),
        ("c.npy", np.array([None, 1], object)),
    ):
        out = io.BytesIO()
        np.save(out, array)
        found[name] = out.getvalue()
    out = io.BytesIO()
    np.savez_compressed(out, image=np.zeros((4, 5, 3), np.uint8), other=np.ones(3))
    found["a.npz"] = out.getvalue()
    return found


def survive(path: str, checks: list[object]) -> None:
    """Read a file and judge it as the command does; raises what goes wrong."""
    facts: dict[str, object] = {"images": [_plain(image.describe(path))], "arrays": []}
    if path.endswith((".npy", ".npz")):
        with tempfile.TemporaryDirectory() as folder:
            file = {"index": 0, "name": os.path.basename(path), "path": path}
            try:
                facts["arrays"] = [_plain(found) for found, _ in arrays._arrays(file, folder)]
            except Exception:  # told as what is wrong with the file
                pass
    json.dumps(facts, allow_nan=False)
    findings = registry.judge(checks, facts)  # type: ignore[arg-type]
    failed = [one for one in findings if one.id == "check-failed"]
    if failed:
        raise AssertionError(failed[0].evidence)


KIND = Kind(corpus, survive, "input")

if __name__ == "__main__":
    sys.exit(main(KIND))
