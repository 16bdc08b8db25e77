"""How two states differ, what can explain a fault coming first.

That something changed before a fault is no proof that it is the cause, and is never called so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from mtcnn_doctor.history.state import State

#: Kinds of change, those that explain most coming first where nothing else decides.
KINDS = (
    "package", "build", "interpreter", "gpu", "variable", "import path", "system", "machine",
    "setting",
)  # fmt: skip
#: Distributions that bring a backend.
_BRINGS = {
    "torch": ("torch",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "keras"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "opencv": (
        "opencv-python", "opencv-python-headless", "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "openvino": ("openvino",),
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "tensorrt": ("tensorrt",),
    "mtcnn": ("mtcnn", "tensorflow", "tensorflow-cpu", "keras"),
    "facenet-pytorch": ("facenet-pytorch", "torch", "torchvision"),
}  # fmt: skip
#: Of these, what is not there is not known...
_KNOWN = ("build", "interpreter", "system", "gpu", "machine", "setting")
#: ... but for these.
_NONE = (
    "backends", "images of yours", "weights of yours", "container", "share of the CPUs",
    "limit of the control group", "limit of address space",
)  # fmt: skip
#: Every backend stands on these.
_GROUND = ("numpy",)


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was.

    ``before`` and ``after`` are None where it was not there. ``near`` is 0 for what a fault names
    itself, 1 for what that stands on, 2 for the rest.
    """

    kind: str
    name: str
    word: str
    before: str | None
    after: str | None
    near: int = 2

    @property
    def text(self) -> str:
        """The change in a few words."""
        plain = self.kind in ("package", "interpreter", "gpu", "machine", "system")
        name = self.name if plain else f"{self.kind} {self.name}"
        if self.kind == "import path":
            return f"import path: {self.name} {self.word}"
        if self.before is None or self.after is None:
            value = self.after if self.before is None else self.before
            return f"{name} {value} {self.word}"
        return f"{name} {self.before} -> {self.after} ({self.word})"


def to_data(change: Change) -> dict[str, Any]:
    """Return a change as plain data, with its text."""
    return {**asdict(change), "text": change.text}


def changes(before: State, after: State, faults: Iterable[str] = ()) -> list[Change]:
    """Return what differs from one state to another.

    Args:
        before: The earlier state.
        after: The later one.
        faults: What the later one's faults are about, and the names in their evidence.
    """
    named, below = _reach(after, before, set(faults))
    found = [
        _near(one, named, below)
        for kind in KINDS
        for one in _differences(kind, before.get(kind), after.get(kind))
    ]
    moved = {one.name for one in found if one.kind == "package"}
    # Another version has other tags: one change, not two.
    found = [one for one in found if not (one.kind == "build" and one.name in moved)]
    return sorted(found, key=lambda one: (one.near, KINDS.index(one.kind), one.name))


def faults_of(findings: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names that errors are about, or that stand in their titles and evidence."""
    names: set[str] = set()
    for finding in findings:
        if finding.get("severity") != "error":
            continue
        names.add(str(finding.get("about") or "").lower())
        told = [str(finding.get("title"))]
        for key, value in (finding.get("evidence") or {}).items():
            told += [str(key), *map(str, value if isinstance(value, (list, tuple)) else [value])]
        for text in told:
            names.update(word.lower() for word in re.findall(r"[A-Za-z_][\w.-]*", text))
    return names - {""}


def _differences(
    kind: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None
) -> Iterator[Change]:
    if before is None or after is None:
        return  # not known is not the same as not there
    if kind != "variable" and not (before and after):
        return  # of a machine there is always something, so nobody asked
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new and not (kind == "import path" and old is not None and new is not None):
            if kind in _KNOWN and (old is None or new is None) and name not in _NONE:
                continue  # not known
            yield Change(kind, name, _word(kind, old, new), old, new)


def _word(kind: str, old: str | None, new: str | None) -> str:
    if old is None or new is None:
        added, removed = ("set", "unset") if kind == "variable" else ("added", "removed")
        return added if old is None else removed
    if kind == "build":
        return "another build"
    if kind == "package" or (kind == "gpu" and old[:1].isdigit()):
        try:
            return "upgraded" if Version(new) > Version(old) else "downgraded"
        except InvalidVersion:
            return "changed"
    return "changed"


def _reach(after: State, before: State, faults: set[str]) -> tuple[set[str], set[str]]:
    """Return the packages that faults name, and those that these stand on."""
    known = {*(after.get("package") or {}), *(before.get("package") or {})}
    named = {name.replace("_", "-") for name in faults} & known
    for fault in faults:
        named |= set(_BRINGS.get(fault, ())) & known
    requires: dict[str, set[str]] = {}
    for state in (before, after):
        for name, needed in (state.get("requires") or {}).items():
            requires.setdefault(name, set()).update(needed)
    below = set(_GROUND) if faults else set()
    todo = list(named)
    while todo:
        for name in requires.get(todo.pop(), ()):
            if name not in below:
                below.add(name)
                todo.append(name)
    return named, below - named


def _near(change: Change, named: set[str], below: set[str]) -> Change:
    if change.kind in ("package", "build"):
        near = 0 if change.name in named else 1 if change.name in below else 2
    else:
        # A driver, a variable or another interpreter explains what a bystander package cannot.
        near = 1 if change.kind in ("interpreter", "gpu", "variable", "import path") else 2
    return Change(change.kind, change.name, change.word, change.before, change.after, near)
