"""The bundled reference images and the faces expected on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Picture:
    """An image to run on; ``faces`` is None where nobody knows what is on it (a user's)."""

    name: str
    path: Path
    faces: Sequence[Mapping[str, Any]] | None = None


@lru_cache(maxsize=1)
def _expected() -> dict[str, Any]:
    text = (
        resources.files("mtcnn_doctor.reference_images")
        .joinpath("expected.json")
        .read_text(encoding="utf-8")
    )
    document: dict[str, Any] = json.loads(text)
    return document


def bundled() -> list[Picture]:
    """Return the bundled images with their expected faces."""
    folder = Path(str(resources.files("mtcnn_doctor.reference_images")))
    return [
        Picture(entry["file"], folder / entry["file"], entry["faces"])
        for entry in _expected()["images"]
    ]


def preview(name: str) -> Path | None:
    """Return a small JPEG of a bundled image, None for every other name."""
    if name not in {entry["file"] for entry in _expected()["images"]}:
        return None
    folder = Path(str(resources.files("mtcnn_doctor.reference_images"))) / "previews"
    return folder / f"{Path(name).stem}.jpg"


def tolerance(backend: str) -> Mapping[str, float]:
    """Return how far a backend may be from the expected faces (pixels, confidence)."""
    table: Mapping[str, Mapping[str, float]] = _expected()["tolerance"]
    return table.get(backend, table["default"])


def settings() -> Mapping[str, Any]:
    """Return the cascade settings that the expected faces were made with."""
    found: Mapping[str, Any] = _expected()["settings"]
    return found
