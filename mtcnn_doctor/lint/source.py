"""Reading files, folders and notebooks into units."""

from __future__ import annotations

import ast
import json
import re
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.lint.model import Unit

#: Folders of other people's code.
_SKIPPED = {
    ".git", ".hg", ".tox", ".nox", ".venv", "venv", "env", "node_modules", "__pycache__", "build",
    "dist", "site-packages", ".ipynb_checkpoints", ".eggs", ".mypy_cache",
}  # fmt: skip
_LARGEST, _LARGEST_NOTEBOOK = 2 * 2**20, 200 * 2**20
#: Cell magics whose cell is Python all the same.
_PYTHON_CELLS = {"time", "timeit", "capture", "prun", "python", "python3", "memit"}


def units_of(
    given: Sequence[Path], versions: Mapping[str, str]
) -> tuple[list[Unit], dict[str, str]]:
    """Return the units, and the files that could not be read with the reasons.

    Raises:
        UsageError: a path that is not there, a folder with nothing in it, or nothing is left.
    """
    units, failed = [], {}
    for path in given:
        if path.is_dir():
            files = list(_files(path))
            if not files:
                raise UsageError(f"{path} holds no Python files and no notebooks")
        elif path.is_file():
            files = [path]
        else:
            raise UsageError(f"no file or folder {path}; name Python files, notebooks or folders")
        for file in files:
            try:
                units.append(_read(file, versions))
            except (OSError, ValueError) as problem:
                failed[str(file)] = str(problem)
    if failed and not units:
        name, reason = next(iter(failed.items()))
        more = f" (nor can {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise UsageError(f"{name} cannot be linted: {reason}{more}")
    return units, failed


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in _SKIPPED and not (path / "pyvenv.cfg").exists():
                yield from _files(path)
        elif path.suffix in (".py", ".ipynb") and path.is_file():
            yield path


def _read(path: Path, versions: Mapping[str, str]) -> Unit:
    """Return the unit of a file.

    Raises ValueError where it is no Python, with the place.
    """
    largest = _LARGEST_NOTEBOOK if path.suffix == ".ipynb" else _LARGEST
    if path.stat().st_size > largest:
        raise ValueError(f"it is larger than {largest // 2**20} MiB")
    places: dict[int, tuple[int, int]] = {}
    if path.suffix == ".ipynb":
        text, places = _notebook(path)
    else:
        try:
            with tokenize.open(path) as stream:
                text = stream.read()
        except (SyntaxError, UnicodeDecodeError) as problem:
            raise ValueError(f"its encoding: {problem}") from problem
    if len(text) > _LARGEST:
        raise ValueError(f"its code is larger than {_LARGEST // 2**20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about their strings, which is not our business
            tree = ast.parse(text, str(path))
    except SyntaxError as problem:
        line = problem.lineno or 0
        where = "cell {}, line {}".format(*places[line]) if line in places else f"line {line}"
        raise ValueError(f"{where} is no Python 3: {problem.msg}") from problem
    except (RecursionError, MemoryError) as problem:
        raise ValueError("it is nested too deeply") from problem
    return Unit(str(path), text, tree, places, versions)


def _notebook(path: Path) -> tuple[str, dict[int, tuple[int, int]]]:
    """Return the code of a notebook and where each line of it stands; magics are left out."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        cells = document["cells"] if "cells" in document else document["worksheets"][0]["cells"]
        codes = [_code(cell) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as problem:
        raise ValueError("it is no notebook (JSON with cells)") from problem
    lines: list[str] = []
    places: dict[int, tuple[int, int]] = {}
    for number, code in enumerate(codes, 1):
        for inside, line in enumerate(_without_magics(code), 1):
            lines.append(line)
            places[len(lines)] = (number, inside)
    return "\n".join(lines) + "\n", places


def _code(cell: Any) -> str:
    source = cell.get("source", cell.get("input", ""))
    return source if isinstance(source, str) else "".join(source)


def _without_magics(code: str) -> list[str]:
    """Return as many lines as a cell has, those that are no Python replaced."""
    lines = code.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and re.split(r"\W", first[2:], maxsplit=1)[0] not in _PYTHON_CELLS:
        return [""] * len(lines)
    found = []
    for line in lines:
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        magic = bare.startswith(("%", "!")) or re.fullmatch(r"[\w.]+\?{1,2}|\?{1,2}[\w.]+", bare)
        assigned = re.match(r"[\w, ]+= *[!%]", bare)
        if magic:
            line = f"{indent}pass"
        elif assigned:
            line = indent + bare[: assigned.end() - 1] + "None"
        found.append(line)
    return found
