"""What is wrong with an array as input of a detector, what the packages answer, what mends it.

`conditions` names what a detector may stumble over, by the facts that the probe ``array`` collects;
``inputs.toml`` holds what each package answers to it, and the line of code that mends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.knowledge.lookup import table

#: Longest count of channels that is taken for one: RGB, with alpha, with infrared, and so on.
_CHANNELS = 10
#: The smallest face that detectors look for unless told otherwise, in pixels.
MIN_FACE = 20
#: The side of one window of P-Net, in pixels: on less than that nothing is ever found.
WINDOW = 12

#: MiB at rest and bytes a pixel of the package that was measured to take least and of that to take
#: most: facenet-pytorch 2.6 and mtcnn 1.0.
FRUGAL, HUNGRY = (329, 56), (582, 160)
_MIB = 2**20

_TYPES = {
    "bool": "bool", "float16": "float16", "bfloat16": "float16", "uint16": "uint16",
    "object": "object", "records": "object",
}  # fmt: skip


@dataclass(frozen=True)
class Input:
    """A kind of input: what it is, and the expression over ``image`` that mends it, if one does.

    ``answers`` holds what a package does with it, by requirement ("mtcnn>=1,<2").
    """

    condition: str
    says: str
    answers: Mapping[str, str]
    source: str
    repair: str = ""
    also: tuple[str, ...] = field(default=())


@cache
def inputs() -> dict[str, Input]:
    """Return all kinds of input by the name of their condition."""
    return {
        row["condition"]: Input(
            row["condition"], row["says"], row["answers"], row["source"], row.get("repair", "")
        )
        for row in table("inputs")["input"]
    }


def conditions(array: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an array, in the order in which it is to be mended.

    A fault that follows from another is left out: of an array with the channels in front nobody
    can say that it is too small.
    """
    if array.get("kind") != "array":
        return ["none" if array.get("kind") == "nothing" else "no-array"]
    found = []
    shape = _shape(array.get("shape") or [])
    if shape:
        found.append(shape)
    kind = _kind(array)
    if kind == "object":
        return ["object"]
    if array.get("layout") in ("negative", "scattered") and shape in (None, "alpha"):
        found.append(array["layout"])
    if kind:
        found.append(kind)
    values = _values(array)
    # Of a bool the range is known, and mended with its type.
    if values and kind != "bool":
        found.append(values)
    sides = sides_of(array)
    if sides is not None and min(sides) < MIN_FACE:
        found.append("tiny" if min(sides) < WINDOW else "small")
    return found


def sides_of(array: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height of the image that an array is, once mended; None where unknown."""
    shape = array.get("shape") or []
    if _kind(array) == "object":
        return None
    kind = _shape(shape)
    if kind in (None, "gray-2d", "gray-hw1", "gray-alpha", "alpha"):
        return int(shape[1]), int(shape[0])
    if kind in ("chw", "chw-gray", "chw-alpha"):
        return int(shape[2]), int(shape[1])
    if kind == "batch":
        return int(shape[2]), int(shape[1])
    if kind == "batch-chw":
        return int(shape[3]), int(shape[2])
    return None


def _shape(shape: Sequence[int]) -> str | None:
    """Return what kind of image has this shape, None for height by width by three."""
    if not shape:
        return "scalar"
    if 0 in shape:
        return "empty"
    if len(shape) == 2 and min(shape) > 1:
        # A batch of flattened images is as wide as it is hopeless.
        return "gray-2d"
    if len(shape) == 3:
        last = {1: "gray-hw1", 2: "gray-alpha", 3: None, 4: "alpha"}
        first = {1: "chw-gray", 3: "chw", 4: "chw-alpha"}
        # An image of three columns is nobody's; channels in front are everybody's.
        if shape[0] in first and (shape[2] not in last or min(shape[1:]) > _CHANNELS):
            return first[shape[0]]
        return last.get(shape[2], "channels")
    if len(shape) == 4:
        if shape[3] == 3:
            return "batch"
        return "batch-chw" if shape[1] == 3 else "dimensions"
    return "flat" if len(shape) == 1 or (min(shape) == 1 and len(shape) == 2) else "dimensions"


def _kind(array: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the type of the elements, None for what detectors take."""
    dtype = str(array.get("dtype"))
    if dtype in _TYPES:
        return _TYPES[dtype]
    if array.get("swapped"):
        return "byte-order"
    if dtype in ("uint8", "float32", "float64"):
        return None
    if dtype.startswith(("int", "uint")):
        return "integer"
    return "object"


def _values(array: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the values, None where they may be 0 to 255."""
    if array.get("nonfinite"):
        return "nonfinite"
    low, high = array.get("minimum"), array.get("maximum")
    if not str(array.get("dtype")).startswith("float") or low is None or high is None:
        return None
    if low < 0:
        return "signed" if high <= 4 and low >= -4 else "beyond"
    if high > 256:
        return "beyond"
    # A black image is 0 to 255 as well as 0 to 1.
    return "unit" if 0 < high <= 1 else None


def repairs(found: Sequence[str]) -> list[str]:
    """Return the expressions over ``image`` that mend an array, one after the other."""
    known = inputs()
    return [known[one].repair for one in found if one in known and known[one].repair]


def mended(found: Sequence[str]) -> bool:
    """Whether nothing is left of these conditions after their repairs."""
    known = inputs()
    return all(known[one].repair for one in found if one not in ("small", "bgr"))


def answer(condition: str, subject: str, version: str | None) -> str | None:
    """Return what a release of a package does with an input, None where nobody measured it."""
    kind = inputs().get(condition)
    if kind is None or version is None:
        return None
    for line, said in kind.answers.items():
        requirement = Requirement(line)
        try:
            fits = requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            return None
        if requirement.name == subject and fits:
            return said
    return None


def answered(found: Sequence[str], subject: str, version: str | None) -> str | None:
    """Return what a package does with an array of several conditions: what stops it comes first."""
    said = [answer(one, subject, version) for one in found or ["fine"]]
    known = [one for one in said if one]
    for start in ("raises", "nothing", "wrong"):
        for one in known:
            if one.startswith(start):
                return one
    return known[0] if known else None


def takes(pixels: int) -> tuple[int, int]:
    """Return how many bytes the frugal and the hungry package take for an image."""
    least, most = (_MIB * base + each * pixels for base, each in (FRUGAL, HUNGRY))
    return least, most


def usable(memory: Mapping[str, Any]) -> int | None:
    """Return how many bytes a process may take by the fact ``memory``, None where nobody knows."""
    limits = [memory.get("available"), (memory.get("rlimits") or {}).get("RLIMIT_AS")]
    if memory.get("cgroup_limit"):
        limits.append(memory["cgroup_limit"] - (memory.get("cgroup_usage") or 0))
    known = [int(limit) for limit in limits if limit]
    return min(known) if known else None
