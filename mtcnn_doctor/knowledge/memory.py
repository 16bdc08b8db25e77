"""How much memory a detection takes, and how much there is: arithmetic over ``memory.toml``.

All amounts are bytes unless a name says MiB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from mtcnn_doctor.knowledge.lookup import table

MIB = 1 << 20

#: Side of P-Net's window: the smallest face becomes this on the finest level.
_WINDOW = 12
#: The reference works on bands of a level of about so many pixels.
_BAND_PIXELS = 1 << 19
#: No image is larger than this; where the search for the largest that fits ends.
_MOST_PIXELS = 1 << 30
_FINEST_FACE, _COARSEST_FACE = 6.0, 2000.0


@dataclass(frozen=True)
class Workload:
    """One detection: the image in pixels, and what the pyramid follows from."""

    width: int
    height: int
    min_face_size: float = 20.0
    scale_factor: float = 0.709

    def features(self) -> dict[str, float]:
        """Return what peak memory is linear in: pixels of the image, the pyramid and its parts."""
        scale = _WINDOW / self.min_face_size
        shorter = min(self.width, self.height) * scale
        levels = []
        while shorter >= _WINDOW:
            levels.append(math.ceil(self.height * scale) * math.ceil(self.width * scale))
            scale *= self.scale_factor
            shorter *= self.scale_factor
        finest = levels[0] if levels else 0
        return {
            "image": float(self.width * self.height),
            "finest": float(finest),
            "band": float(min(finest, _BAND_PIXELS)),
            "pyramid": float(sum(levels)),
        }


@dataclass(frozen=True)
class Model:
    """A row of ``memory.toml``, whose columns are explained at its top."""

    contender: str
    kind: str
    affected: str
    base_mib: float
    address_mib: float
    worst_percent: float
    measured: str
    image: float = 0.0
    finest: float = 0.0
    band: float = 0.0
    pyramid: float = 0.0
    #: Of the table alone: where the row comes from.
    id: str = ""
    source: str = ""
    confidence: str = ""
    reviewed: str = ""

    def peak(self, work: Workload) -> int:
        """Return the predicted peak of resident memory of the whole process."""
        pixels = work.features()
        return int(
            self.base_mib * MIB
            + self.image * pixels["image"]
            + self.finest * pixels["finest"]
            + self.band * pixels["band"]
            + self.pyramid * pixels["pyramid"]
        )

    def address_space(self, work: Workload) -> int:
        """Return the predicted address space: what ``ulimit -v`` limits."""
        return self.peak(work) + int(self.address_mib * MIB)


@dataclass(frozen=True)
class Room:
    """How much memory a process may take, and what sets the bound.

    ``address_space`` is what RLIMIT_AS still allows, None where it limits nothing.
    """

    bytes: int
    bound: str
    address_space: int | None = None

    def fits(self, model: Model, work: Workload, margin: float = 0.0) -> bool:
        """Whether a detection fits, with a margin as a share of its prediction."""
        return self.need_over_room(model, work) * (1 + margin) <= 1

    def need_over_room(self, model: Model, work: Workload) -> float:
        """Return the share of the room that a detection needs; above 1 it does not fit."""
        share = model.peak(work) / max(1, self.bytes)
        if self.address_space is not None:
            share = max(share, model.address_space(work) / max(1, self.address_space))
        return share

    def tightest(self, model: Model, work: Workload) -> tuple[int, int, str]:
        """Return what is needed, what is there, and the bound that is met first."""
        if self.address_space is not None:
            need = model.address_space(work)
            if need / max(1, self.address_space) >= model.peak(work) / max(1, self.bytes):
                return need, self.address_space, "RLIMIT_AS (ulimit -v)"
        return model.peak(work), self.bytes, self.bound


def models() -> tuple[Model, ...]:
    """Return all rows."""
    return tuple(Model(**row) for row in table("memory")["model"])


def model_of(name: str, version: str | None = None) -> Model | None:
    """Return the row for a release of a backend or package, None where nothing was measured."""
    for row in models():
        if row.contender == name and (row.kind == "backend" or _contains(row.affected, version)):
            return row
    return None


def room(memory: Mapping[str, Any]) -> Room | None:
    """Return how much a process may take, by the facts of ``memory``; None where unknown."""
    bounds: list[tuple[int, str]] = []
    swap = int(memory.get("swap_free") or 0)
    if memory.get("available") is not None:
        bounds.append((int(memory["available"]) + swap, "what the machine has left"))
    left = memory.get("cgroup_headroom")
    if left is None and memory.get("cgroup_limit"):
        left = max(0, int(memory["cgroup_limit"]) - int(memory.get("cgroup_usage") or 0))
    if left is not None:
        allowed = memory.get("cgroup_swap")
        more = swap if allowed is None else min(swap, int(allowed))
        bounds.append((int(left) + more, "the control group"))
    if memory.get("commit_left") is not None:
        bounds.append((int(memory["commit_left"]), "the kernel's commit limit"))
    limits = memory.get("rlimits") or {}
    if limits.get("RLIMIT_DATA"):
        bounds.append((int(limits["RLIMIT_DATA"]), "RLIMIT_DATA (ulimit -d)"))
    address = limits.get("RLIMIT_AS")
    if not bounds:
        if not address:
            return None
        bounds.append((int(address), "RLIMIT_AS (ulimit -v)"))
    size, bound = min(bounds)
    return Room(size, bound, int(address) if address else None)


def largest_image(model: Model, work: Workload, space: Room) -> tuple[int, int] | None:
    """Return the largest image of the same shape that fits (width, height); None: not any."""
    scale = math.sqrt(_MOST_PIXELS / max(1, work.width * work.height))

    def sized(share: float) -> Workload:
        width = max(1, int(work.width * share))
        return replace(work, width=width, height=max(1, int(work.height * share)))

    found = _most(lambda share: space.fits(model, sized(share)), 0.0, scale)
    smallest = work.min_face_size / max(1, min(work.width, work.height))
    if found is None or found < smallest:
        return None
    best = sized(found)
    return best.width, best.height


def smallest_face(model: Model, work: Workload, space: Room) -> float | None:
    """Return the smallest min_face_size that fits, to a tenth of a pixel; None: not any."""

    def fits(size: float) -> bool:
        return space.fits(model, replace(work, min_face_size=size))

    largest = min(_COARSEST_FACE, float(min(work.width, work.height)))
    if not fits(largest):
        return None
    low, high = _FINEST_FACE, largest
    if low >= high or fits(low):
        return min(low, high)
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return math.ceil(high * 10) / 10


def workers(model: Model, work: Workload, space: Room) -> int:
    """Return how many processes with a detector each fit side by side.

    A limit on address space is each process's own and bounds none of the others.
    """
    if space.need_over_room(model, work) > 1:
        return 0
    return space.bytes // max(1, model.peak(work))


def _most(fits: Callable[[float], bool], low: float, high: float) -> float | None:
    """Return the largest share at which something fits, None where it does not even at none."""
    if not fits(low):
        return None
    if fits(high):
        return high
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _contains(specifiers: str, version: str | None) -> bool:
    if not version:
        return False
    try:
        return SpecifierSet(specifiers).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
