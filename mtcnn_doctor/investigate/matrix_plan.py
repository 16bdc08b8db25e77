"""What a matrix comes to before anything is installed: exact releases, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from packaging.version import Version

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.investigate.environments import Installer, Pin, Refusal
from mtcnn_doctor.investigate.matrix_cache import fingerprint
from mtcnn_doctor.investigate.matrix_grammar import MOST, Alternative, Axis, choices
from mtcnn_doctor.investigate.matrix_pythons import Interpreter

#: Resolving waits for the network most of the time.
_AT_ONCE = 4

Note = Callable[[str], None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Combination:
    """One interpreter with one alternative of each package, and the releases that gives.

    ``requested`` holds the alternatives as given, in the order of the axes.
    """

    python: Interpreter
    requested: tuple[tuple[str, str], ...]
    pins: tuple[Pin, ...] = ()
    refusal: Refusal | None = None

    @property
    def key(self) -> str:
        """A name for the exact set of releases."""
        python = (self.python.path, self.python.version)
        return fingerprint([python, [(pin.name, pin.version) for pin in self.pins]])

    def version(self, package: str) -> str | None:
        """Return the resolved version of a package."""
        return next((pin.version for pin in self.pins if pin.name == package), None)

    @property
    def name(self) -> str:
        """Its name for people."""
        parts = [self.python.name]
        for package, text in self.requested:
            version = self.version(package)
            parts.append(f"{package} {version}" if version else f"{package}{text}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Plan:
    """Every combination, resolved."""

    axes: tuple[Axis, ...]
    combinations: tuple[Combination, ...]
    installer: str

    @property
    def resolved(self) -> list[Combination]:
        """Those that there can be an environment of, each set of releases once."""
        found: dict[str, Combination] = {}
        for combination in self.combinations:
            if combination.refusal is None:
                found.setdefault(combination.key, combination)
        return list(found.values())

    def downloads(self) -> dict[tuple[str, str, str], int | None]:
        """Return the wheels that are needed (by Python, name and version) and their sizes."""
        return {
            (combination.python.version, pin.name, pin.version): pin.size
            for combination in self.resolved
            for pin in combination.pins
        }

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        sizes = list(self.downloads().values())
        known = [size for size in sizes if size is not None]
        return {
            "installer": self.installer,
            "environments": len(self.resolved),
            "wheels": len(sizes),
            "download_bytes": sum(known) if known else None,
            "sizes_unknown": len(sizes) - len(known),
        }


def planned(
    axes: Sequence[Axis],
    pythons: Sequence[Interpreter],
    installer: Installer,
    *,
    bisect: str | None = None,
    note: Note = lambda text: None,
) -> Plan:
    """Resolve every combination. Nothing is installed.

    Args:
        axes: The packages with their alternatives.
        pythons: The interpreters.
        installer: Who resolves.
        bisect: A package whose ranges stand for every release in them.
        note: Tells the person who waits.

    Raises:
        UsageError: too many combinations; a pip that is too old.
    """
    wanted: list[Combination] = []
    requirements: list[list[str]] = []
    for python in pythons:
        expanded = [
            _expanded(axis, python, installer, note) if axis.name == bisect else axis
            for axis in axes
        ]
        for choice in choices(expanded):
            pairs = list(zip(expanded, choice, strict=True))
            requested = tuple((axis.name, _shown(one)) for axis, one in pairs)
            wanted.append(Combination(python, requested))
            requirements.append([axis.requirement(one) for axis, one in pairs])
    if len(wanted) > MOST:
        raise UsageError(
            f"these are {len(wanted)} combinations, more than {MOST}; give fewer alternatives, or "
            "split them over several runs"
        )
    plural = "" if len(wanted) == 1 else "s"
    note(f"resolving {len(wanted)} combination{plural}; nothing is installed yet")

    def resolve(place: int) -> tuple[Pin, ...] | Refusal:
        return installer.resolve(wanted[place].python.path, requirements[place])

    # The first alone: it finds out once what all need to know.
    answers = [resolve(0), *_all(resolve, range(1, len(wanted)))]
    found = [
        replace(one, refusal=answer) if isinstance(answer, Refusal) else replace(one, pins=answer)
        for one, answer in zip(wanted, answers, strict=True)
    ]
    return Plan(tuple(axes), tuple(found), installer.name)


def _all(function: Callable[[int], _T], places: Sequence[int]) -> list[_T]:
    """Return the answers for all places, asked several at once; Ctrl-C is heard meanwhile."""
    pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
    try:
        futures = [pool.submit(function, place) for place in places]
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=0.2)
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _expanded(axis: Axis, python: Interpreter, installer: Installer, note: Note) -> Axis:
    """Return an axis with every release of its ranges, the oldest first."""
    found: dict[str, Alternative] = {}
    for alternative in axis.alternatives:
        if alternative.is_pinned:
            found[alternative.text] = alternative
            continue
        note(f"asking which releases {axis.name}{_shown(alternative)} has for {python.name}")
        answer = installer.releases(python.path, f"{axis.name}{axis.extras}", alternative.text)
        if isinstance(answer, Refusal):
            # Its row will say why.
            found[alternative.text] = alternative
            continue
        for version in answer:
            found.setdefault(f"=={version}", Alternative(f"=={version}"))
    ordered = sorted(found.values(), key=_release)
    return replace(axis, alternatives=tuple(ordered))


def _release(alternative: Alternative) -> Version:
    return Version(alternative.text[2:]) if alternative.is_pinned else Version("0")


def _shown(alternative: Alternative) -> str:
    return alternative.text.replace(",", "&")
