"""Settings of a project: ``mtcnn-doctor.toml`` or ``[tool.mtcnn-doctor]`` in pyproject.toml.

Keys: ``select`` and ``ignore`` (lists; an entry of ``ignore`` may be a table with ``id`` and
``reason``), ``fail-on``, ``level``, ``timeout``, ``history`` (false: none is kept), ``images``,
``backends``, ``plugins`` (Python files with checks, relative to the file).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcnn_doctor import toml
from mtcnn_doctor.errors import UsageError


@dataclass(frozen=True)
class Config:
    """What a configuration file sets; empty by default."""

    path: Path | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str | None = None
    level: int | None = None
    timeout: float | None = None
    images: tuple[Path, ...] = ()
    backends: tuple[str, ...] = ()
    plugins: tuple[Path, ...] = ()
    history: bool = True


def find_here() -> Config:
    """Return the configuration that holds in the working directory; none where that was deleted.

    Raises:
        UsageError: as of :func:`find`.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return Config()
    return find(here)


def find(start: Path) -> Config:
    """Return the configuration that holds in a folder: the nearest file up the tree.

    Raises:
        UsageError: the file cannot be read or says something that is not understood.
    """
    for folder in (start, *start.parents):
        own = folder / "mtcnn-doctor.toml"
        if own.is_file():
            return _read(own, _parse(own))
        project = folder / "pyproject.toml"
        if project.is_file():
            table = _table(project)
            if table is not None:
                return _read(project, table)
    return Config()


def _table(project: Path) -> dict[str, Any] | None:
    # A pyproject.toml that concerns other tools only is not worth an error of ours.
    try:
        if "mtcnn-doctor" not in project.read_text(encoding="utf-8"):
            return None
    except (OSError, UnicodeDecodeError):
        return None
    table = _parse(project).get("tool", {}).get("mtcnn-doctor")
    return table if isinstance(table, dict) else None


def _parse(path: Path) -> dict[str, Any]:
    try:
        return toml.parse(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}") from problem
    except ValueError as problem:
        raise UsageError(f"{path} is not valid TOML: {problem}") from problem


_KEYS = {
    "select",
    "ignore",
    "fail-on",
    "level",
    "timeout",
    "images",
    "backends",
    "plugins",
    "history",
}


def _read(path: Path, table: dict[str, Any]) -> Config:
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise UsageError(
            f"{path}: unknown setting '{unknown[0]}' for mtcnn-doctor; "
            f"known are {', '.join(sorted(_KEYS))}"
        )
    ignore: list[str] = []
    for entry in _list(path, table, "ignore", (str, dict)):
        if isinstance(entry, str):
            ignore.append(entry)
        elif isinstance(entry.get("id"), str):
            ignore.append(entry["id"])
        else:
            raise UsageError(f"{path}: a table in ignore needs an id")
    level, timeout, fail_on = table.get("level"), table.get("timeout"), table.get("fail-on")
    if level is not None and level not in (1, 2, 3):
        raise UsageError(f"{path}: level must be 1, 2 or 3")
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0
    ):
        raise UsageError(f"{path}: timeout must be a positive number of seconds")
    if fail_on is not None and fail_on not in ("error", "warning"):
        raise UsageError(f"{path}: fail-on must be error or warning")
    history = table.get("history", True)
    if not isinstance(history, bool):
        raise UsageError(f"{path}: history must be true or false")
    base = path.parent
    return Config(
        path=path,
        select=tuple(_list(path, table, "select", str)),
        ignore=tuple(ignore),
        fail_on=fail_on,
        level=level,
        timeout=timeout,
        history=history,
        images=tuple(base / name for name in _list(path, table, "images", str)),
        backends=tuple(_list(path, table, "backends", str)),
        plugins=tuple(base / name for name in _list(path, table, "plugins", str)),
    )


def _list(path: Path, table: dict[str, Any], key: str, kind: Any) -> list[Any]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise UsageError(f"{path}: {key} must be a list of strings")
    return value
