"""What several checks of images and arrays ask: names, conditions, and the line that mends them."""

from __future__ import annotations

import posixpath
from typing import Any

from mtcnn_doctor.facts import ImageArray, ImageFile
from mtcnn_doctor.knowledge.inputs import conditions, inputs

from ._installed import given


def name_of(image: ImageFile) -> str:
    """Return what an image is called: its name among others, or its file name."""
    if image.get("name"):
        return image["name"]
    return posixpath.basename(image.get("path", "").replace("\\", "/")) or "image"


def found_in(array: ImageArray, *wanted: str) -> str | None:
    """Return the first of some conditions that an array is in, None for none of them."""
    return next((one for one in conditions(array) if one in wanted), None)


def says(condition: str) -> str:
    """Return what a condition is, to stand behind "it"."""
    return inputs()[condition].says


def fix(condition: str) -> str:
    """Return the line of code that mends a condition, "" where none does."""
    repair = inputs()[condition].repair
    return f"image = {repair}" if repair else ""


def evidence(array: ImageArray) -> dict[str, Any]:
    """Return the facts of an array that its findings quote."""
    shape = array.get("shape")
    return given(
        shape="×".join(map(str, shape)) or "()" if shape is not None else None,
        dtype=array.get("dtype"),
        range=None
        if array.get("minimum") is None
        else f"{array['minimum']:g} to {array['maximum']:g}",
    )
