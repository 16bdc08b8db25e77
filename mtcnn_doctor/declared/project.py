"""pyproject.toml: PEP 621 with its extras, PEP 735 groups, and Poetry's own table.

Formats: https://packaging.python.org/en/latest/specifications/pyproject-toml/,
https://packaging.python.org/en/latest/specifications/dependency-groups/ and
https://python-poetry.org/docs/dependency-specification/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.declared.lines import Declaration, Finder, Line, parsed, read_toml, strings, table
from mtcnn_doctor.errors import UsageError


def read(path: Path, found: Declaration, extras: Sequence[str], groups: Sequence[str]) -> None:
    """Read a project's requirements into a declaration.

    Raises:
        UsageError: it cannot be read, names no requirements, or lacks an extra or group.
    """
    text, document = read_toml(path)
    found.files.append(str(path))
    project, poetry = table(document, "project"), table(document, "tool", "poetry")
    known_groups = table(document, "dependency-groups")
    if not project and not poetry and not known_groups:
        raise UsageError(
            f"--requirements {path} has neither [project] nor [tool.poetry]; name the file that "
            "holds the requirements"
        )
    if "dependencies" in (project.get("dynamic") or ()):
        found.remarks.append(f"{path}: its requirements are dynamic; name the file they come from")
    finder = Finder(text)
    if project.get("requires-python"):
        number = finder.line("requires-python")
        found.python.append((str(project["requires-python"]), f"{path}:{number}"))
    for one in strings(project.get("dependencies"), str(path), "project.dependencies"):
        found.lines.append(parsed(one, str(path), finder.line(one)))
    _take_extras(path, found, finder, project, poetry, extras)
    _take_groups(path, found, finder, known_groups, table(poetry, "group"), groups)
    _take_poetry(path, found, Finder(text), poetry, groups, extras)


def _take_extras(
    path: Path,
    found: Declaration,
    finder: Finder,
    project: dict[str, Any],
    poetry: dict[str, Any],
    extras: Sequence[str],
) -> None:
    optional = {
        str(canonicalize_name(name)): value
        for name, value in table(project, "optional-dependencies").items()
    }
    others = {str(canonicalize_name(name)) for name in table(poetry, "extras")}
    own = str(canonicalize_name(project.get("name") or ""))
    waiting, taken = [str(canonicalize_name(extra)) for extra in extras], set()
    while waiting:
        name = waiting.pop(0)
        if name in taken or (name in others and name not in optional):
            continue
        taken.add(name)
        if name not in optional:
            known = ", ".join(sorted({*optional, *others})) or "none"
            raise UsageError(f"{path} has no extra '{name}'; it has: {known}")
        for one in strings(optional[name], str(path), f"optional-dependencies.{name}"):
            line = parsed(one, str(path), finder.line(one))
            if line.name == own:
                # A project may collect its own extras: "ours[torch,opencv]".
                waiting += [str(canonicalize_name(extra)) for extra in line.extras]
            else:
                found.lines.append(line)


def _take_groups(
    path: Path,
    found: Declaration,
    finder: Finder,
    known: dict[str, Any],
    poetry: dict[str, Any],
    groups: Sequence[str],
) -> None:
    named = {str(canonicalize_name(name)): value for name, value in known.items()}
    for group in groups:
        name = str(canonicalize_name(group))
        if name not in named and name in [str(canonicalize_name(one)) for one in poetry]:
            continue
        for one in _group(path, named, name, sorted({*known, *poetry}), ()):
            found.lines.append(parsed(one, str(path), finder.line(one)))


def _group(
    path: Path, groups: dict[str, Any], name: str, known: Sequence[str], above: tuple[str, ...]
) -> Iterator[str]:
    if name not in groups:
        raise UsageError(
            f"{path} has no dependency group '{name}'; it has: {', '.join(known) or 'none'}"
        )
    if name in above:
        raise UsageError(f"{path}: dependency group '{name}' includes itself; take one out")
    if not isinstance(groups[name], list):
        raise UsageError(f"{path}: dependency-groups.{name} must be a list")
    for one in groups[name]:
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict) and isinstance(one.get("include-group"), str):
            inner = str(canonicalize_name(one["include-group"]))
            yield from _group(path, groups, inner, known, (*above, name))
        else:
            raise UsageError(f"{path}: dependency-groups.{name} holds what is not understood")


def _take_poetry(
    path: Path,
    found: Declaration,
    finder: Finder,
    poetry: dict[str, Any],
    groups: Sequence[str],
    extras: Sequence[str],
) -> None:
    wanted = {
        str(canonicalize_name(name))
        for extra, names in table(poetry, "extras").items()
        if canonicalize_name(extra) in map(canonicalize_name, extras)
        for name in strings(names, str(path), f"tool.poetry.extras.{extra}")
    }
    sections = [("[tool.poetry.dependencies]", table(poetry, "dependencies"))]
    sections += [
        (f"[tool.poetry.group.{name}.dependencies]", table(poetry, "group", name, "dependencies"))
        for name in table(poetry, "group")
        if canonicalize_name(name) in map(canonicalize_name, groups)
    ]
    if "dev" in groups:
        sections.append(("[tool.poetry.dev-dependencies]", table(poetry, "dev-dependencies")))
    for heading, section in sections:
        finder.go(heading)
        for name, value in section.items():
            number = finder.line(f"\n{name} ", f"\n{name}=", f'\n"{name}"')
            number += 1 if number else 0
            for one in value if isinstance(value, list) else [value]:
                key = str(canonicalize_name(name))
                if isinstance(one, dict) and one.get("optional") and key not in wanted:
                    continue
                line = _poetry_line(path, key, one, number, found)
                if name.lower() == "python":
                    found.python.append((line.specifier, line.where))
                else:
                    found.lines.append(line)


def _poetry_line(path: Path, name: str, value: Any, number: int, found: Declaration) -> Line:
    if isinstance(value, str):
        return Line(name, str(path), number, poetry_range(value, f"{path}:{number}"))
    if not isinstance(value, dict):
        raise UsageError(f"{path}:{number}: {name} is neither a version nor a table")
    source = next((key for key in ("git", "url", "path") if key in value), "")
    if source:
        found.remarks.append(
            f"{path}:{number} takes {name} from elsewhere; what it needs is unknown"
        )
    markers = [f"({value['markers']})"] if isinstance(value.get("markers"), str) else []
    if isinstance(value.get("python"), str):
        markers += [
            f"python_full_version {one.operator} '{one.version}'"
            for one in SpecifierSet(poetry_range(value["python"], f"{path}:{number}"))
        ]
    if isinstance(value.get("platform"), str):
        markers.append(f"sys_platform == '{value['platform']}'")
    return Line(
        name,
        str(path),
        number,
        poetry_range(str(value.get("version", "*")), f"{path}:{number}"),
        tuple(sorted(value.get("extras") or ())),
        " and ".join(markers),
        source="url" if source else "",
    )


def poetry_range(text: str, where: str) -> str:
    """Return a version range of Poetry (^1.2, ~1.2, 1.2.*) in the words of PEP 440.

    Raises:
        UsageError: it cannot be understood.
    """
    if "||" in text or " | " in text:
        raise UsageError(f"{where}: alternatives ('{text}') are not supported; give one range")
    found = []
    for part in re.split(r"\s*,\s*|\s+(?=[<>=!~^])", text.strip()):
        try:
            found += _poetry_part(part.replace(" ", ""))
        except (InvalidVersion, InvalidSpecifier) as error:
            raise UsageError(f"{where}: '{text}' is no version range ({error})") from error
    return str(SpecifierSet(",".join(found)))


def _poetry_part(part: str) -> list[str]:
    if part in ("", "*"):
        return []
    if part[0] == "^":
        release = list(Version(part[1:]).release)
        at = next((n for n, number in enumerate(release) if number), len(release) - 1)
        upper = [*release[:at], release[at] + 1]
        return [f">={part[1:]}", f"<{'.'.join(map(str, upper))}"]
    if part[0] == "~" and not part.startswith("~="):
        release = list(Version(part[1:]).release)
        upper = [release[0], release[1] + 1] if len(release) > 1 else [release[0] + 1]
        return [f">={part[1:]}", f"<{'.'.join(map(str, upper))}"]
    if part[0].isdigit():
        return [f"=={part}"]
    if part[0] == "=" and part[1:2] != "=":
        return [f"={part}"]
    return [part]
