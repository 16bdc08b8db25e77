"""What is linted, what a rule is, and what it finds."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtcnn_doctor.lint.flow import Flow

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Unit:
    """One Python file, or one notebook as a whole.

    ``places`` maps each line of ``text`` to the cell and the line in it, of a notebook alone.
    ``versions`` are those of the packages in the target, by normalised name.
    """

    path: str
    text: str
    tree: ast.Module
    places: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.splitlines()

    def place(self, line: int) -> str:
        """Return where a line is, as people look for it."""
        if line in self.places:
            cell, inside = self.places[line]
            return f"{self.path} cell {cell}:{inside}"
        return f"{self.path}:{line}"


@dataclass(frozen=True)
class Edit:
    """Lines ``first`` to ``last`` become others; with ``last`` = ``first`` - 1 these are put in."""

    first: int
    last: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """What a rule says of one place; ``rule`` and ``title`` are filled in when it has run.

    ``edits`` are the fix as it would be typed; ``fix`` says the same in words.
    """

    line: int
    message: str
    severity: str = "warning"
    fix: str = ""
    edits: tuple[Edit, ...] = ()
    rule: str = ""
    column: int = 0


@dataclass(frozen=True)
class Rule:
    """A judge of code; its docstring is its documentation, in the sections of checks."""

    id: str
    title: str
    function: Callable[[Unit, Flow], Iterable[Problem]]
    documentation: str


def rule(id: str, title: str) -> Callable[[Callable[[Unit, Flow], Iterable[Problem]]], Rule]:
    """Turn a function into a :class:`Rule`."""

    def wrap(function: Callable[[Unit, Flow], Iterable[Problem]]) -> Rule:
        return Rule(id, title, function, function.__doc__ or "")

    return wrap
