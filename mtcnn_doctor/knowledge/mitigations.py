"""What might avoid a fault: the rows of ``mitigations.toml``, read and held to their form."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from mtcnn_doctor.knowledge.lookup import table

#: What a child can be told, and of which type it is; see ``target/tasks/mitigate.py``.
ORDERS: dict[str, type] = {
    "threads": int,  # of the framework; 0 leaves its default
    "lanes": int,
    "device": str,
    "min_face_size": int,
    "framework_first": bool,
    "drop_others": bool,
    "import_first": list,
    "block": list,
    "stack_mb": int,
    "contiguous": bool,
    "memory_format": str,
    "mkldnn": bool,
    "nnpack": bool,
    "cudnn": bool,
    "xla": bool,
    "eager": bool,
    "one_crop": bool,
    "shrink": int,
}
_REQUIRED = ("id", "title", "cost", "price", "why", "remedy", "source", "reviewed")
_OPTIONAL = (
    "set", "remove", "orders", "backends", "platforms", "device", "module", "fault", "before",
    "group", "unsafe", "code",
)  # fmt: skip


@dataclass(frozen=True)
class Mitigation:
    """A change of environment or settings that might avoid a fault.

    ``set`` and ``remove`` are environment variables, ``orders`` what the child is told. ``cost``
    goes from 0 (nothing) to 5 (unsafe, or a makeshift), ``price`` says it in words.
    """

    id: str
    title: str
    cost: int
    price: str
    why: str
    remedy: str
    source: str
    reviewed: str
    set: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    orders: Mapping[str, Any] = field(default_factory=dict)
    backends: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    device: str = ""
    module: str = ""
    fault: str = ""
    before: bool = False
    group: str = ""
    unsafe: bool = False
    code: str = ""

    def fits(self, other: Mitigation) -> bool:
        """Whether both can be tried together: they do not pull the same thing two ways."""
        if self.group and self.group == other.group:
            return False
        mine, theirs = self._wishes(), other._wishes()
        return all(mine[key] == theirs[key] for key in mine.keys() & theirs.keys())

    def _wishes(self) -> dict[str, Any]:
        return {**dict.fromkeys(self.remove), **self.set, **self.orders}


@dataclass(frozen=True)
class Provocation:
    """What programs do beside using a backend: importing other modules before it."""

    id: str
    title: str
    modules: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Circumstances:
    """What decides which mitigations make sense.

    ``environment`` is what the target's processes are started with; ``before`` the modules that
    are imported before the framework; ``module`` the framework's own; ``said`` the text of
    the exception, where there was one; ``frames`` the files of the Python frames of the fault.
    """

    backend: str
    module: str
    platform: str
    device: str = "cpu"
    modules: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    said: str = ""
    frames: tuple[str, ...] = ()


#: Stands in a row for the library that an error names.
_LIBRARY = "{library}"
_NAMED = re.compile(r"(?<![^\s'\"(:])(/[^\s:'\"]+\.so[.\d]*)")


def library_in(message: str) -> str:
    """Return the path of the shared library that an import error names first, or ""."""
    found = _NAMED.search(message)
    return found[1] if found else ""


def curable(message: str) -> bool:
    """Whether an import error is of a kind that a change in the process may cure.

    Others name what is missing or does not fit: no variable and no order of imports brings that.
    """
    return any(re.search(row["pattern"], message) for row in table("mitigations")["curable"])


@cache
def mitigations() -> tuple[Mitigation, ...]:
    """Return all rows, cheapest first.

    Raises:
        ValueError: the table holds a row that cannot be used; the text names it.
    """
    rows = [_mitigation(row) for row in table("mitigations")["mitigation"]]
    ids = [row.id for row in rows]
    twice = {id for id in ids if ids.count(id) > 1}
    if twice:
        raise ValueError(f"mitigations.toml: {', '.join(sorted(twice))} stands there twice")
    return tuple(sorted(rows, key=lambda row: row.cost))


@cache
def provocations() -> tuple[Provocation, ...]:
    """Return what is tried where a backend works by itself."""
    return tuple(
        Provocation(row["id"], row["title"], tuple(row["modules"]), row["why"])
        for row in table("mitigations")["provocation"]
    )


def candidates(circumstances: Circumstances) -> list[Mitigation]:
    """Return the mitigations that would change something here, cheapest first.

    One at which the fault itself points comes before all others: its frames lie in what a variable
    brings in, and the mitigation removes that variable.
    """
    filled = (_filled(row, circumstances) for row in mitigations())
    rows = [row for row in filled if row is not None and _applies(row, circumstances)]
    return sorted(rows, key=lambda row: not _pointed_at(row, circumstances))


def _pointed_at(row: Mitigation, here: Circumstances) -> bool:
    values = (here.environment.get(name) or "" for name in row.remove)
    places = [_plain(part) for value in values for part in value.split(os.pathsep) if part]
    files = [_plain(frame) for frame in here.frames if not frame.startswith("<")]
    return any(
        file == place or file.startswith(place.rstrip(os.sep) + os.sep)
        for file in files
        for place in places
    )


def _plain(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))


def compatible(rows: Iterable[Mitigation]) -> list[Mitigation]:
    """Return as many of the rows as can be tried together, earlier ones first."""
    chosen: list[Mitigation] = []
    for row in rows:
        if all(row.fits(other) for other in chosen):
            chosen.append(row)
    return chosen


def _filled(row: Mitigation, here: Circumstances) -> Mitigation | None:
    """Return a row with the library that the fault names; None where it needs one, and none is."""
    if not any(_LIBRARY in value for value in row.set.values()):
        return row
    library = library_in(here.said)
    if not library:
        return None
    before = here.environment
    variables = {}
    for name, value in row.set.items():
        value = value.replace(_LIBRARY, library)
        # What is preloaded already stays.
        variables[name] = f"{value}:{before[name]}" if before.get(name) else value
    return replace(row, set=variables, code=row.code.replace(_LIBRARY, library))


def _applies(row: Mitigation, here: Circumstances) -> bool:
    if row.backends and here.backend not in row.backends:
        return False
    if row.platforms and here.platform not in row.platforms:
        return False
    if row.device and row.device != ("cpu" if here.device.lower() == "cpu" else "gpu"):
        return False
    if row.module and row.module not in here.modules:
        return False
    if row.fault and not re.search(row.fault, here.said):
        return False
    if row.before and not here.before:
        return False
    moved = {*row.orders.get("import_first", ()), *row.orders.get("block", ())}
    if moved & {here.module, *here.before}:
        return False
    if row.orders:
        return True
    environment = here.environment
    return any(environment.get(name) != value for name, value in row.set.items()) or any(
        environment.get(name) for name in row.remove
    )


def _mitigation(row: Mapping[str, Any]) -> Mitigation:
    name = f"mitigations.toml: {row.get('id', 'a row without an id')}"
    missing = [key for key in _REQUIRED if key not in row]
    unknown = sorted(row.keys() - {*_REQUIRED, *_OPTIONAL})
    if missing or unknown:
        said = [f"lacks {key}" for key in missing] + [f"has an unknown {key}" for key in unknown]
        raise ValueError(f"{name}: {', '.join(said)}")
    if not any(row.get(key) for key in ("set", "remove", "orders")):
        raise ValueError(f"{name}: changes nothing; give set, remove or orders")
    for key, value in row.get("orders", {}).items():
        if type(value) is not ORDERS.get(key):
            raise ValueError(f"{name}: no order {key} = {value!r}")
    if row["cost"] not in range(6):
        raise ValueError(f"{name}: cost is a number from 0 to 5")
    if row.get("device", "cpu") not in ("cpu", "gpu"):
        raise ValueError(f"{name}: device is cpu or gpu")
    lists = {key: tuple(row.get(key, ())) for key in ("remove", "backends", "platforms")}
    return Mitigation(**{**row, **lists})
