"""requirements.txt in the format of pip, with its includes, constraints and options.

Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from mtcnn_doctor.declared.lines import (
    CONSTRAINT,
    REQUIREMENT,
    Declaration,
    Line,
    parsed,
    read_text,
)
from mtcnn_doctor.errors import UsageError

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OPTION = re.compile(r"\s--?[a-z]")
# Options of a line that take a value, and those that stand alone.
_WITH_VALUE = {
    "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-binary", "--only-binary",
    "--trusted-host", "--use-feature", "--pypi-url", "--uploaded-prior-to",
}  # fmt: skip
_ALONE = {"--no-index", "--pre", "--prefer-binary", "--require-hashes", "--always-unzip", "-Z"}
_INCLUDES = {"-r": REQUIREMENT, "--requirement": REQUIREMENT, "-c": CONSTRAINT,
             "--constraint": CONSTRAINT}  # fmt: skip
_EDITABLE = ("-e", "--editable")


def read(path: Path, found: Declaration, kind: str = REQUIREMENT, asked_by: str = "") -> None:
    """Read a file and what it includes into a declaration.

    Raises:
        UsageError: a file cannot be read, or a line cannot be understood.
    """
    _read(path, found, kind, asked_by, set())


def _read(
    path: Path, found: Declaration, kind: str, asked_by: str, seen: set[tuple[Path, str]]
) -> None:
    text = read_text(path, asked_by)
    if (path.resolve(), kind) in seen:
        return
    seen.add((path.resolve(), kind))
    found.files.append(str(path))
    for number, line in _logical(text):
        _line(line, number, path, found, kind, seen)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their first number: continuations joined, comments and variables away."""
    begun, parts = 0, ""
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        if not parts:
            begun = number
        # As in pip, a comment ends a continuation.
        is_comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not is_comment:
            parts += raw[:-1]
            continue
        line = _COMMENT.sub("", parts + ("" if is_comment and parts else raw)).strip()
        parts = ""
        if line:
            yield begun, _VARIABLE.sub(lambda m: os.environ.get(m[1]) or m[0], line)


def _line(
    line: str,
    number: int,
    path: Path,
    found: Declaration,
    kind: str,
    seen: set[tuple[Path, str]],
) -> None:
    where = f"{path}:{number}"
    if line.startswith("-"):
        _option(line, number, path, found, kind, seen)
        return
    match = _OPTION.search(line)
    if match:
        # Options of a single requirement: hashes and how to build it.
        line = line[: match.start()].strip()
    if re.match(r"[a-z+]+:|[./\\~]|[A-Za-z]:[\\/]", line) or re.search(
        r"\.(whl|zip|tar\.gz)$", line
    ):
        found.lines.append(_elsewhere(line, str(path), number, kind, found))
        return
    if _VARIABLE.search(line):
        name = _VARIABLE.search(line)
        raise UsageError(
            f"{where}: the environment variable {name[1] if name else ''} is not set; set it as "
            "for pip"
        )
    found.lines.append(parsed(line, str(path), number, kind))


def _option(
    line: str,
    number: int,
    path: Path,
    found: Declaration,
    kind: str,
    seen: set[tuple[Path, str]],
) -> None:
    where = f"{path}:{number}"
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{where}: '{line}' cannot be read ({error}); close the quote") from error
    name, _, value = words[0].partition("=")
    if not value and len(name) > 2 and not name.startswith("--"):
        name, value = name[:2], name[2:]  # -rbase.txt
    value = value or "".join(words[1:2])
    if name in _INCLUDES:
        if not value:
            raise UsageError(f"{where}: {name} names no file; write one behind it")
        if re.match(r"[a-z+]+://", value):
            found.remarks.append(f"{where} includes a file from the network, which was not read")
            return
        inner = CONSTRAINT if kind == CONSTRAINT else _INCLUDES[name]
        _read(path.parent / value, found, inner, where, seen)
    elif name in _EDITABLE:
        found.lines.append(_elsewhere(value, str(path), number, kind, found, "editable"))
    elif name in ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index"):
        found.remarks.append(
            f"{where} names another index ({name}); the tables tell of the builds on PyPI"
        )
    elif name not in _WITH_VALUE and name not in _ALONE:
        raise UsageError(f"{where}: pip has no option {name} in a requirements file; take it out")


def _elsewhere(
    text: str, file: str, number: int, kind: str, found: Declaration, source: str = ""
) -> Line:
    """Return the line of something that comes from an address or a folder."""
    address, _, fragment = text.partition("#")
    egg = re.search(r"(?:^|&)egg=([A-Za-z0-9._-]+)", fragment)
    base = unquote(urlsplit(address).path if "://" in address else address)
    base = base.split(" ;")[0].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    source = source or ("url" if "://" in address else "path")
    name, specifier, wheels = "", "", None
    try:
        if base.endswith(".whl"):
            parsed_name, version, _, _ = parse_wheel_filename(base)
            name, specifier, wheels = str(parsed_name), f"=={version}", (base,)
        elif base.endswith((".tar.gz", ".zip")):
            parsed_name, version = parse_sdist_filename(base)
            name, specifier = str(parsed_name), f"=={version}"
    except (InvalidWheelFilename, InvalidSdistFilename):
        pass
    if egg and not name:
        name = str(canonicalize_name(egg[1]))
    if not name and re.match(r"(git|hg|svn|bzr)\+", address):
        # What the last part of such an address says is what most projects are called.
        name = str(canonicalize_name(base.removesuffix(".git").split("@")[0].removesuffix(".git")))
    if not specifier:
        shown = name or ("an address" if source == "url" else base or "a folder")
        found.remarks.append(
            f"{file}:{number} takes {shown} from elsewhere; what it needs is unknown"
        )
    return Line(name, file, number, specifier, (), "", kind, source, wheels)
