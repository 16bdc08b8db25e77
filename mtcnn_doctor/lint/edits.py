"""Fixes as edits of lines, and edits as a diff."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

from mtcnn_doctor.lint.flow import Flow, Picture
from mtcnn_doctor.lint.model import Edit, Problem, Unit


def replaced(unit: Unit, node: ast.expr, text: str) -> tuple[Edit, ...]:
    """Return the edit that writes another text in place of an expression on one line."""
    if node.end_lineno != node.lineno or node.end_col_offset is None:
        return ()
    line = unit.lines[node.lineno - 1]
    raw = line.encode("utf-8")  # offsets count bytes
    new = raw[: node.col_offset] + text.encode("utf-8") + raw[node.end_col_offset :]
    return (Edit(node.lineno, node.lineno, (new.decode("utf-8"),)),)


def inserted_before(unit: Unit, line: int, *texts: str) -> tuple[Edit, ...]:
    """Return the edit that puts lines in front of one, indented like it."""
    there = unit.lines[line - 1]
    indent = there[: len(there) - len(there.lstrip())]
    return (Edit(line, line - 1, tuple(indent + text for text in texts)),)


def after(unit: Unit, flow: Flow, picture: Picture, *texts: str) -> tuple[Edit, ...]:
    """Return the edit that puts lines behind the statement that made a picture."""
    held = flow.assignments.get(id(picture.origin))
    if held is None or held[0].end_lineno is None:
        return ()
    statement = held[0]
    there = unit.lines[statement.lineno - 1]
    indent = there[: len(there) - len(there.lstrip())]
    line = statement.end_lineno + 1  # type: ignore[operator]
    return (Edit(line, line - 1, tuple(indent + text for text in texts)),)


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits made; they must not overlap."""
    lines = text.splitlines()
    for edit in sorted(edits, key=lambda one: one.first, reverse=True):
        lines[edit.first - 1 : edit.last] = edit.lines
    return "\n".join(lines) + "\n"


def diff(unit: Unit, problem: Problem) -> str:
    """Return the fix of a problem as a unified diff, "" where it has none that can be written."""
    if not problem.edits:
        return ""
    new = applied(unit.text, problem.edits)
    name = unit.place(problem.line).rpartition(":")[0]
    return "\n".join(
        difflib.unified_diff(unit.text.splitlines(), new.splitlines(), name, name, lineterm="", n=1)
    )
