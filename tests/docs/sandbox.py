"""A folder with the files that the pages' command lines name, and a home with what they expect."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from mtcnn_doctor.gallery import bundled
from tests.docs.lines import ROOT
from tests.weights import files

#: What a page writes in capitals, for a name of the reader's own.
PLACEHOLDERS = {
    "FILE": "all.safetensors",
    "FORMAT": "facenet-pytorch",
    "DIR": "out",
    "ID": "numpy-abi",
    "TEXT": "No module named 'pkg_resources'",
    "PARAMETER": "min-face-size",
    "IMAGE": "photo.jpg",
    "NAME": "my-notebook",
    "PATH": "~/project/.venv",
}

#: The files of mtcnn 1.0.
NETWORKS = ("pnet.lz4", "rnet.lz4", "onet.lz4")

_FACES = """\
import cv2
from mtcnn import MTCNN

for path in paths:
    detector = MTCNN()
    image = cv2.imread(path)
    faces = detector.detect_faces(image)
    small = image[:, :, ::-1] / 255.0
    more = detector.detect_faces(small)
"""
_PROJECT = """\
[project]
name = "faces"
version = "1"
dependencies = ["numpy"]
[project.optional-dependencies]
tf = ["mtcnn", "tensorflow"]
"""


def prepare(folder: Path) -> None:
    """Make the folder ``work`` with all files, and the folder ``home``."""
    work, home = folder / "work", folder / "home"
    work.mkdir(parents=True)
    for name in ("photos", "src", "notebooks", "empty"):
        (work / name).mkdir()
    _pictures(work)
    _code(work)
    _weights(work)
    _home(home)


def _pictures(work: Path) -> None:
    import cv2
    from PIL import Image

    portrait = next(Path(p.path) for p in bundled() if p.name == "portrait.png")
    shutil.copy(portrait, work / "portrait.png")
    shutil.copy(portrait, work / "photo.png")
    image = Image.open(portrait).convert("RGB")
    pixels = np.asarray(image)
    for name in ("photo.jpg", "photos/one.jpg", "photos/two.jpg"):
        image.save(work / name, quality=95)
    alpha = image.copy()
    alpha.putalpha(255)
    alpha.save(work / "alpha.png")
    np.save(work / "image.npy", pixels)
    np.save(work / "unit.npy", pixels.astype(np.float32) / 255)
    np.save(work / "batch.npy", np.stack([pixels, pixels]))
    np.savez(work / "crops.npz", one=pixels[:200, :200], two=pixels[20:, 20:])
    size = (pixels.shape[1], pixels.shape[0])
    clip = cv2.VideoWriter(str(work / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
    for _ in range(20):
        clip.write(np.ascontiguousarray(pixels[:, :, ::-1]))
    clip.release()


def _code(work: Path) -> None:
    (work / "faces.py").write_text(_FACES)
    (work / "src" / "faces.py").write_text(_FACES)
    cell = {"cell_type": "code", "source": _FACES, "metadata": {}, "outputs": []}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    for name in ("faces.ipynb", "notebooks/faces.ipynb"):
        (work / name).write_text(json.dumps(notebook))
    (work / "requirements.txt").write_text(
        "# What the service needs\n\nfacenet-pytorch==2.6.0\ntorch==2.13.0\n"
    )
    (work / "pyproject.toml").write_text(_PROJECT)
    (work / "crash.log").write_text("ImportError: libGL.so.1: cannot open shared object file\n")
    recorded = ROOT / "tests" / "facts" / "healthy-all.json"
    for name in ("report.json", "gpu-machine.json", "facts.json", "mine.json", "theirs.json"):
        shutil.copy(recorded, work / name)


def _weights(work: Path) -> None:
    files.write(work, "mtcnn-1.0")
    files.write(work, "mtcnn-0.1")
    (joint,) = files.write(work, "safetensors")
    joint.replace(work / "all.safetensors")
    own = files.published()
    at = files.index("rnet", "face.bias")
    own["rnet"][at] = own["rnet"][at] + np.array([2, -2], np.float32)
    files.save(work, "rnet.lz4", files.lz4(files.keras_list("rnet", weights=own)))
    at = files.index("pnet", "box.bias")
    own["pnet"][at] = own["pnet"][at] + np.array([0.2, 0.2, 0.72, 0.67], np.float32)
    np.save(work / "my-pnet.npy", np.load(work / "mtcnn_weights.npy", allow_pickle=True))
    made = work / "empty"
    files.write(made, "facenet-pytorch", own)
    (made / "pnet.pt").replace(work / "corners.pt")
    # Trained on from there: only then the numbers resemble the published ones, and equal none.
    own, random = files.published(), np.random.default_rng(0)
    for at, array in enumerate(own["pnet"]):
        if array.ndim == 4:
            turned = array.transpose(0, 1, 3, 2)
            noise = random.standard_normal(turned.shape) * turned.std() * 0.2
            own["pnet"][at] = np.ascontiguousarray(turned + noise, dtype=np.float32)
    files.write(made, "facenet-pytorch", own)
    (made / "pnet.pt").replace(work / "turned.pt")
    for rest in made.iterdir():
        rest.unlink()


def _home(home: Path) -> None:
    (home / "project").mkdir(parents=True)
    (home / "project" / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    kernel = home / ".local" / "share" / "jupyter" / "kernels" / "my-notebook"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "My notebook", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))


def stdin(words: list[str]) -> str:
    """What is piped into a command."""
    return "ModuleNotFoundError: No module named 'pkg_resources'\n" if "-" in words else ""
