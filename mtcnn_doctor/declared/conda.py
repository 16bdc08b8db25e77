"""environment.yml of conda: the small part of YAML in which such files are written.

A file that uses more of YAML is refused, with the line, rather than misread.
Format: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

from __future__ import annotations

import re
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from mtcnn_doctor.declared import pip_file
from mtcnn_doctor.declared.lines import (
    CONDA,
    CONSTRAINT,
    REQUIREMENT,
    Declaration,
    Line,
    parsed,
    read_text,
)
from mtcnn_doctor.errors import UsageError

# What conda's channels call otherwise than PyPI.
_NAMES = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "opencv": "opencv-python",
    "py-opencv": "opencv-python",
    "libopencv": "opencv-python",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-base": "tensorflow",
}
_SPEC = re.compile(
    r"(?:[A-Za-z0-9_./-]+::)?(?P<name>[A-Za-z0-9._-]+)\s*(?P<rest>[<>=!~ ].*)?(?:\[.*\])?"
)
_ITEM = re.compile(r"(?P<indent> *)-(?: +(?P<value>.*))?$")
_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_][\w.-]*)\s*:(?:\s+(?P<value>.*))?$")


def read(path: Path, found: Declaration) -> None:
    """Read an environment's packages into a declaration.

    Raises:
        UsageError: it cannot be read or holds YAML of a kind that is not understood.
    """
    found.files.append(str(path))
    block, pip_indent, any_block = "", -1, False
    for number, raw in enumerate(read_text(path).splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if not line.strip() or line.strip() in ("---", "..."):
            continue
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise _refused(path, number, "a tab")
        item, key = _ITEM.match(line), _KEY.match(line)
        if key and not key["indent"]:
            block, pip_indent = key["key"], -1
            any_block |= block == "dependencies"
            value = (key["value"] or "").strip()
            if block == "dependencies" and value:
                for one in _flow(value, path, number):
                    _package(one, path, number, found)
            continue
        if block != "dependencies":
            continue
        if item is None or item["value"] is None:
            raise _refused(path, number, f"'{line.strip()}'")
        indent, value = len(item["indent"]), _plain(item["value"].strip(), path, number)
        if pip_indent >= 0 and indent > pip_indent:
            _pip(value, path, number, found)
            continue
        pip_indent = -1
        if value.rstrip(": ") == "pip" and value.rstrip().endswith(":"):
            pip_indent = indent
        else:
            _package(value, path, number, found)
    if not any_block:
        raise UsageError(
            f"--requirements {path} has no 'dependencies:'; name conda's environment file"
        )


def _refused(path: Path, number: int, what: str) -> UsageError:
    return UsageError(
        f"{path}:{number}: {what} is YAML of a kind that is not read here; write each package as "
        "'  - name=version' on a line of its own"
    )


def _plain(value: str, path: Path, number: int) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    if value[:1] in ("&", "*", "|", ">", "{", "[", "!", "%", "@", "`", '"', "'") or "<<:" in value:
        raise _refused(path, number, f"'{value}'")
    return value


def _flow(value: str, path: Path, number: int) -> list[str]:
    if not (value.startswith("[") and value.endswith("]")) or "{" in value:
        raise _refused(path, number, f"'{value}'")
    return [_plain(one.strip(), path, number) for one in value[1:-1].split(",") if one.strip()]


def _pip(value: str, path: Path, number: int, found: Declaration) -> None:
    include = re.fullmatch(r"(-r|-c|--requirement|--constraint)[ =]\s*(\S+)", value)
    if include and "://" not in include[2]:
        kind = CONSTRAINT if include[1] in ("-c", "--constraint") else REQUIREMENT
        pip_file.read(path.parent / include[2], found, kind, f"{path}:{number}")
        return
    if value.startswith("-"):
        found.remarks.append(
            f"{path}:{number}: the option '{value.split()[0]}' of pip was not read"
        )
        return
    if re.match(r"[a-z+]+://|[./]", value):
        found.remarks.append(
            f"{path}:{number} takes a package from elsewhere; its needs are unknown"
        )
        return
    found.lines.append(parsed(value, str(path), number))


def _package(value: str, path: Path, number: int, found: Declaration) -> None:
    match = _SPEC.fullmatch(value)
    if match is None:
        raise UsageError(
            f"{path}:{number}: '{value}' is no package of conda; write one such as numpy=1.26"
        )
    name = str(canonicalize_name(match["name"]))
    try:
        specifier = conda_range(match["rest"] or "")
    except InvalidSpecifier as error:
        raise UsageError(
            f"{path}:{number}: '{value}' has no version range that is understood; write one such "
            "as numpy=1.26 or numpy>=1.26,<2"
        ) from error
    if name == "python":
        found.python.append((specifier, f"{path}:{number}"))
        series = re.match(r"\s*={1,2}\s*(\d+\.\d+(?:\.\d+)?)", match["rest"] or "")
        found.python_wanted = series[1] if series else found.python_wanted
        return
    if name == "pip":
        return
    found.lines.append(Line(_NAMES.get(name, name), str(path), number, specifier, kind=CONDA))


def conda_range(text: str) -> str:
    """Return a version of conda ("=1.26", "==1.26.4=py311_0", ">=1,<2") in the words of PEP 440.

    Raises:
        InvalidSpecifier: it cannot be understood.
    """
    text = text.strip()
    if not text or text == "*":
        return ""
    if "|" in text:
        raise InvalidSpecifier(text)
    found = []
    for part in re.split(r"\s*,\s*", text):
        match = re.fullmatch(r"(===?|=|<=|>=|!=|~=|<|>)?\s*([^\s=]+)(?:[=\s]\s*\S+)?", part)
        if match is None:
            raise InvalidSpecifier(part)
        operator, version = match[1] or "==", match[2]
        if version == "*":
            continue
        if operator == "=":
            version = version.rstrip(".*") if version.endswith("*") else version
            found.append(f"=={version}.*")
        elif operator == "==" and not version.endswith("*"):
            found.append(f"=={version}")
        elif version.endswith("*") and not version.endswith(".*"):
            found.append(f"{operator}{version[:-1]}.*")
        else:
            found.append(f"{operator}{version}")
    return str(SpecifierSet(",".join(found)))
