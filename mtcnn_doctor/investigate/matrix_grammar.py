"""What the arguments of ``matrix`` mean: a package with the alternatives that are to be tried.

::

    argument    = name [extras] [ alternative { "," alternative } ]
    alternative = condition { "&" condition }
                | version                  (after an alternative that is "==")
    condition   = ( "==" | "<" | "<=" | ">" | ">=" | "~=" | "!=" ) version

A comma separates alternatives, "&" joins conditions of one alternative. To pip a comma joins, so
what would be a sensible range there (``numpy>=1.26,<2``) is refused rather than guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.errors import UsageError

#: More environments than this were hardly meant.
MOST = 200

_ARGUMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*"
    r"(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\s*(?P<rest>.*)",
    re.DOTALL,
)
_OPERATORS = ("==", "<", "<=", ">", ">=", "~=", "!=")


@dataclass(frozen=True)
class Alternative:
    """One of the versions, or ranges, of a package; ``text`` is "" where any release will do."""

    text: str

    @property
    def conditions(self) -> SpecifierSet:
        """The conditions in a form that versions can be held against."""
        return SpecifierSet(self.text)

    @property
    def is_pinned(self) -> bool:
        """Whether it names one release."""
        return self.text.startswith("==") and "*" not in self.text and "," not in self.text


@dataclass(frozen=True)
class Axis:
    """A package and what is to be tried of it."""

    name: str
    extras: str
    alternatives: tuple[Alternative, ...]

    def requirement(self, alternative: Alternative) -> str:
        """Return an alternative as a requirement that installers understand."""
        return f"{self.name}{self.extras}{alternative.text}"


def axes_of(arguments: Sequence[str]) -> list[Axis]:
    """Return what several arguments mean.

    Raises:
        UsageError: one that cannot be understood or could mean two things, or a package twice.
    """
    axes: dict[str, Axis] = {}
    for argument in arguments:
        axis = axis_of(argument)
        if axis.name in axes:
            raise UsageError(
                f"{axis.name} is given twice; put its alternatives into one argument, such as "
                f'"{axis.name}==1.0,2.0"'
            )
        axes[axis.name] = axis
    return list(axes.values())


def axis_of(argument: str) -> Axis:
    """Return what one argument means.

    Raises:
        UsageError: it cannot be understood, or could mean two things.
    """
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        raise UsageError(
            f"'{argument}' names no package; write one such as \"numpy==1.26.4,2.2.6\""
        )
    if ";" in argument or "@" in argument:
        raise UsageError(
            f"'{argument}': addresses and markers (@, ;) are not supported; give a name with "
            'versions, such as "numpy==1.26.4,2.2.6"'
        )
    name = canonicalize_name(match["name"])
    extras = re.sub(r"\s", "", match["extras"] or "")
    if not match["rest"].strip():
        return Axis(name, extras, (Alternative(""),))
    found = list(_alternatives(argument, match["rest"]))
    _refuse_double_meaning(argument, name, found)
    return Axis(name, extras, tuple(found))


def _alternatives(argument: str, rest: str) -> Iterator[Alternative]:
    before: Alternative | None = None
    for part in rest.split(","):
        text = re.sub(r"\s", "", part)
        if not text:
            raise UsageError(f"'{argument}': nothing stands before or after a comma; take it out")
        if text[0].isdigit():
            if before is None or not before.text.startswith("==") or "," in before.text:
                raise UsageError(
                    f"'{argument}': {text} has no operator; write =={text}, or a range such as "
                    f">={text}"
                )
            text = f"=={text}"
        before = Alternative(",".join(_condition(argument, one) for one in text.split("&")))
        yield before


def _condition(argument: str, text: str) -> str:
    operator = next(
        (o for o in sorted(_OPERATORS, key=len, reverse=True) if text.startswith(o)), ""
    )
    try:
        specifier = Specifier(text)
        if operator == "" or text.startswith("==="):
            raise InvalidSpecifier
        Version(specifier.version.removesuffix(".*"))
    except (InvalidSpecifier, InvalidVersion) as problem:
        raise UsageError(
            f"'{argument}': {text or 'an empty condition'} is no condition; write one such as "
            "==1.26.4, ==2.4.* or >=2"
        ) from problem
    return str(specifier)


def _refuse_double_meaning(argument: str, name: str, found: Sequence[Alternative]) -> None:
    for one, other in combinations(found, 2):
        if one.text == other.text:
            raise UsageError(f"'{argument}' names {one.text} twice; take one out")
        pinned = one.text.startswith("==") and other.text.startswith("==")
        if not pinned and _overlap(one, other):
            joined = f"{one.text}&{other.text}".replace(",", "&")
            raise UsageError(
                f"'{argument}': {_shown(one)} and {_shown(other)} overlap, so this could be one "
                f'range or two alternatives; write "{name}{joined}" for the range, or alternatives '
                "that exclude each other"
            )


def _overlap(one: Alternative, other: Alternative) -> bool:
    """Whether some version fits both: looked for at every bound, and right above it."""
    both = SpecifierSet(f"{one.text},{other.text}")
    bounds = [specifier.version.removesuffix(".*") for specifier in both]
    above = [f"{Version(bound).base_version}.0.0.0.1" for bound in bounds]
    points = ["0.0.1", *bounds, *above]
    return any(both.contains(point, prereleases=True) for point in points)


def _shown(alternative: Alternative) -> str:
    return alternative.text.replace(",", "&")


def choices(axes: Sequence[Axis]) -> list[tuple[Alternative, ...]]:
    """Return every combination of alternatives, one of each axis.

    Raises:
        UsageError: more than :data:`MOST` of them.
    """
    found = list(product(*(axis.alternatives for axis in axes)))
    if len(found) > MOST:
        raise UsageError(
            f"these are {len(found)} combinations, more than {MOST}; give fewer alternatives, or "
            "split them over several runs"
        )
    return found
