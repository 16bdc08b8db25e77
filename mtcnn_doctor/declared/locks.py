"""Lock files, in which every release was chosen before: uv, Poetry, Pipenv, and pylock.toml.

Formats: https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile, Poetry's and Pipenv's
own files, and https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from mtcnn_doctor.declared.lines import (
    LOCKED,
    Declaration,
    Finder,
    Line,
    Need,
    read_text,
    read_toml,
    strings,
    table,
)
from mtcnn_doctor.declared.project import poetry_range
from mtcnn_doctor.errors import UsageError


def read_uv(path: Path, found: Declaration, extras: Sequence[str], groups: Sequence[str]) -> None:
    """Read uv.lock: the packages that its own projects reach, with these extras and groups."""
    text, document = read_toml(path)
    packages = _packages(path, document, "uv")
    _python(path, text, document.get("requires-python"), found)
    roots: list[Need] = []
    named: set[str] = set()
    for entry, number in zip(packages, _headers(text), strict=False):
        needs = _needs(entry.get("dependencies"))
        source = entry.get("source") or {}
        for extra, lines in table(entry, "optional-dependencies").items():
            needs += [
                replace(need, marker=_both(f"extra == '{extra}'", need.marker))
                for need in _needs(lines)
            ]
        own_project = any(key in source for key in ("virtual", "editable", "workspace"))
        if own_project:
            roots.append(Need(_key(entry), tuple(extras)))
            known_groups = table(entry, "dev-dependencies")
            named |= known_groups.keys()
            for group in groups:
                roots += _needs(known_groups.get(group))
        version = str(entry.get("version", ""))
        found.lines.append(
            Line(
                _key(entry),
                str(path),
                number + 1,
                f"=={version}" if version and not own_project else "",
                marker=" or ".join(f"({one})" for one in entry.get("resolution-markers") or ()),
                kind=LOCKED,
                source="editable" if own_project else ("url" if _elsewhere(source) else ""),
                wheels=_wheel_names(entry.get("wheels")),
                needs=tuple(needs),
            )
        )
    known = {extra for line in found.lines if line.source == "editable" for extra in _extras(line)}
    _known(path, "extra", extras, sorted(known))
    _known(path, "group", groups, sorted(named))
    found.files.append(str(path))
    found.roots = roots or None


def read_poetry(
    path: Path, found: Declaration, extras: Sequence[str], groups: Sequence[str]
) -> None:
    """Read poetry.lock: its main packages, and those of extras and groups that are asked for."""
    text, document = read_toml(path)
    packages = _packages(path, document, "Poetry")
    _python(path, text, table(document, "metadata").get("python-versions"), found, poetry=True)
    known = table(document, "extras")
    _known(path, "extra", extras, known)
    wanted = {
        str(canonicalize_name(name.split(" ")[0]))
        for extra in extras
        for name in strings(known.get(extra), str(path), f"extras.{extra}")
    }
    for entry, number in zip(packages, _headers(text), strict=False):
        if entry.get("optional") and _key(entry) not in wanted:
            continue
        theirs = entry.get("groups") or [entry.get("category", "main")]
        marker = entry.get("markers") or ""
        if isinstance(marker, dict):
            marker = marker.get("main") or next(iter(marker.values()), "")
        if not {"main", *groups} & set(theirs):
            continue  # tools of the developers
        found.lines.append(
            Line(
                _key(entry),
                str(path),
                number + 1,
                f"=={entry.get('version', '')}",
                marker=str(marker),
                kind=LOCKED,
                source="url" if table(entry, "source").get("type") in ("git", "url") else "",
                wheels=_wheel_names(entry.get("files")),
            )
        )
    found.files.append(str(path))


def read_pipfile(path: Path, found: Declaration, groups: Sequence[str]) -> None:
    """Read Pipfile.lock: its default section, and "develop" where that group is asked for."""
    text = read_text(path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--requirements {path} is not valid JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("default"), dict):
        raise UsageError(
            f"--requirements {path} has no section 'default'; lock it again with pipenv"
        )
    finder = Finder(text)
    requires = table(document, "_meta", "requires")
    version = requires.get("python_full_version") or requires.get("python_version")
    if version:
        found.python.append(
            (f"=={version}" + ("" if str(version).count(".") > 1 else ".*"),
             f"{path}:{finder.line('python_version', 'python_full_version')}")
        )  # fmt: skip
        found.python_wanted = str(version)
    _known(path, "group", groups, ("dev", "develop"))
    sections = ["default", *(["develop"] if groups else [])]
    for section in sections:
        finder.go(f'"{section}"')
        for name, entry in table(document, section).items():
            number = finder.line(f'"{name}":')
            entry = entry if isinstance(entry, dict) else {}
            found.lines.append(
                Line(
                    str(canonicalize_name(name)),
                    str(path),
                    number,
                    str(entry.get("version", "")).replace("*", ""),
                    marker=str(entry.get("markers") or ""),
                    kind=LOCKED,
                    source="" if "version" in entry else "url",
                )
            )
    found.files.append(str(path))


def read_pylock(path: Path, found: Declaration) -> None:
    """Read pylock.toml (PEP 751)."""
    text, document = read_toml(path)
    packages = document.get("packages")
    if not isinstance(packages, list) or not all(isinstance(one, dict) for one in packages):
        raise UsageError(f"--requirements {path} has no [[packages]]; lock it again")
    _python(path, text, document.get("requires-python"), found)
    for entry, number in zip(packages, _headers(text, "packages"), strict=False):
        version = entry.get("version")
        found.lines.append(
            Line(
                _key(entry),
                str(path),
                number + 1,
                f"=={version}" if version else "",
                marker=str(entry.get("marker") or ""),
                kind=LOCKED,
                source="" if version else "url",
                wheels=_wheel_names(entry.get("wheels")),
            )
        )
    found.files.append(str(path))


def _packages(path: Path, document: Mapping[str, Any], tool: str) -> list[dict[str, Any]]:
    packages = document.get("package")
    if not isinstance(packages, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in packages
    ):
        raise UsageError(f"--requirements {path} has no [[package]]; lock it again with {tool}")
    return packages


def _known(path: Path, what: str, asked: Sequence[str], known: Any) -> None:
    for one in asked:
        if one not in known:
            raise UsageError(f"{path} has no {what} '{one}'; it has: {', '.join(known) or 'none'}")


def _extras(line: Line) -> list[str]:
    found = (re.match(r"extra == '([^']+)'", need.marker) for need in line.needs)
    return [match[1] for match in found if match]


def _python(path: Path, text: str, value: Any, found: Declaration, *, poetry: bool = False) -> None:
    if isinstance(value, str) and value not in ("", "*"):
        number = Finder(text).line("requires-python", "python-versions")
        if poetry:
            number = Finder(text[text.find("[metadata]") :]).line("python-versions")
            number += text.count("\n", 0, text.find("[metadata]"))
        where = f"{path}:{number}"
        found.python.append((poetry_range(value, where) if poetry else value, where))


def _headers(text: str, name: str = "package") -> list[int]:
    """Return the numbers of the lines with the headings of the packages, in order."""
    return [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == f"[[{name}]]"]


def _key(entry: Mapping[str, Any]) -> str:
    return str(canonicalize_name(str(entry.get("name", ""))))


def _needs(lines: Any) -> list[Need]:
    return [
        Need(
            _key(one),
            tuple(one.get("extra") or ()),
            str(one.get("marker") or ""),
            str(one.get("version") or ""),
        )
        for one in lines or ()
        if isinstance(one, dict)
    ]


def _both(one: str, other: str) -> str:
    return f"{one} and ({other})" if other else one


def _elsewhere(source: Mapping[str, Any]) -> bool:
    return any(key in source for key in ("git", "url", "path", "directory"))


def _wheel_names(files: Any) -> tuple[str, ...] | None:
    """Return the names of the wheels that a lock lists; None where it lists no files."""
    if not isinstance(files, list) or not files:
        return None
    names = [
        str(one.get("name") or one.get("file") or one.get("url") or one.get("path") or "")
        for one in files
        if isinstance(one, dict)
    ]
    return tuple(name.rsplit("/", 1)[-1] for name in names if name.endswith(".whl"))
