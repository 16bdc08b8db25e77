"""How the programs of the working directory call the package mtcnn, read and never run.

Only files at the top of the folder that name the package are parsed: a project's scripts, not
what it has checked out.
"""

from __future__ import annotations

import ast
import os
from typing import Any, Iterator

_MOST_FILES = 200
_MOST_BYTES = 512 * 1024
_MOST_CALLS = 50
#: The class, and the method that finds faces.
_FUNCTIONS = ("MTCNN", "detect_faces")


def _sources(folder: str) -> Iterator[str]:
    """Yield the Python files of a folder."""
    with os.scandir(folder) as entries:
        names = sorted(entry.path for entry in entries if entry.name.endswith(".py"))
    yield from names[:_MOST_FILES]


def _text(path: str) -> str:
    """Return a source that names the package, "" for any other and for what cannot be read."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MOST_BYTES:
            return ""
        with open(path, "rb") as stream:
            content = stream.read(_MOST_BYTES)
    except OSError:
        return ""
    return content.decode("utf-8", "replace") if b"mtcnn" in content else ""


def _imports_mtcnn(tree: ast.AST) -> bool:
    """Whether it is the package mtcnn that a source takes the class from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            if any(alias.name.split(".")[0] == "mtcnn" for alias in node.names):
                return True
        elif _module_of(node) == "mtcnn":
            return True
    return False


def _imports_other(tree: ast.AST) -> bool:
    """Whether a class of the same name comes from another package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _module_of(node) != "mtcnn":
            names = [alias.name for alias in node.names]
            if "MTCNN" in names:
                return True
    return False


def _module_of(node: ast.AST) -> str:
    """Return the package that an import by name takes from, "" for relative and other ones."""
    if not isinstance(node, ast.ImportFrom) or node.level:
        return ""
    return (node.module or "").split(".")[0]


def _calls(tree: ast.AST) -> Iterator[dict[str, Any]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = getattr(function, "id", None) or getattr(function, "attr", None)
        if name not in _FUNCTIONS or any(keyword.arg is None for keyword in node.keywords):
            continue  # what **options holds is not known
        arguments: dict[str, Any] = {}
        for keyword in node.keywords:
            try:
                value = ast.literal_eval(keyword.value)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                value = None
            # Texts are nobody's business: a report is shared.
            if not isinstance(value, (int, float)):
                value = None
            arguments[str(keyword.arg)] = value
        yield {
            "function": name,
            "line": node.lineno,
            "arguments": arguments,
            "positional": len(node.args),
        }


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `calls`."""
    try:
        folder = orders.get("working_directory") or os.getcwd()
        paths = list(_sources(folder))
    except OSError:
        return {"found": []}
    found: list[dict[str, Any]] = []
    for path in paths:
        text = _text(path)
        if not text:
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # a file of another Python, or none
        if not _imports_mtcnn(tree) or _imports_other(tree):
            continue
        found.extend({"file": path, **call} for call in _calls(tree))
        if len(found) >= _MOST_CALLS:
            break
    return {"found": found[:_MOST_CALLS]}
