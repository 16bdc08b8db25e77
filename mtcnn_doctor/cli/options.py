"""Options that several commands share, and turning their values into something usable."""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import IO, Annotated

import typer

from mtcnn_doctor.cli import abandon_stdout
from mtcnn_doctor.collect.launches import DEFAULT_TIMEOUT_S
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Report


class Format(str, Enum):
    """Format of a report."""

    TEXT = "text"
    JSON = "json"


class FailOn(str, Enum):
    """Lowest severity that makes the exit code 1."""

    ERROR = "error"
    WARNING = "warning"


PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="PATH", help="Interpreter, or environment, to examine."),
]
KernelOption = Annotated[
    str | None, typer.Option("--kernel", metavar="NAME", help="Jupyter kernel to examine.")
]
SubjectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        metavar="NAME",
        help="Your MTCNN package to run: mtcnn, facenet-pytorch, 'all' installed, 'none'.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Format of the report.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the report to a file."),
]
LevelOption = Annotated[
    int | None,
    typer.Option(
        "--level", min=1, max=3, help="1 metadata, 2 imports and runs (default), 3 repeats."
    ),
]
SelectOption = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="ID", help="Only these ids, families or patterns."),
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="ID", help="Not these ids, families or patterns."),
]
FailOnOption = Annotated[
    FailOn | None,
    typer.Option("--fail-on", help="Lowest severity for exit code 1 (default error)."),
]
ExpectGpuOption = Annotated[
    bool, typer.Option("--expect-gpu", help="Having no usable GPU is an error.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="Limit of each phase (default 120)."),
]
PythonVersionOption = Annotated[
    str | None,
    typer.Option("--python-version", metavar="3.13", help="For this Python (the target's)."),
]
PlatformOption = Annotated[
    str | None,
    typer.Option(
        "--platform", metavar="NAME", help="For this platform, such as macos-arm64 (the target's)."
    ),
]
KeepOption = Annotated[
    Path | None,
    typer.Option("--keep", metavar="DIR", help="Keep a folder of evidence for each failed run."),
]
NativeOption = Annotated[
    bool,
    typer.Option("--native", help="Run what crashed or hung again under gdb, for its stack."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="Networks of yours (.npy, .lz4, .pt, .safetensors, ...)."
    ),
]
MinFaceSizeOption = Annotated[
    float | None,
    typer.Option("--min-face-size", metavar="PX", help="Smallest face in pixels (20)."),
]
ScaleFactorOption = Annotated[
    float | None,
    typer.Option("--scale-factor", metavar="F", help="Between pyramid levels (0.709)."),
]
ThresholdsOption = Annotated[
    str | None,
    typer.Option("--thresholds", metavar="P,R,O", help="Of the networks (0.6,0.7,0.7)."),
]
OneBackendOption = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="Backend (default: a fast one)."),
]
OneSubjectOption = Annotated[
    str | None,
    typer.Option("--subject", metavar="NAME", help="Your package instead of a backend."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show what passed, too.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show only what is wrong.")]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="No colours.")]


def command() -> list[str]:
    """Return the command line, to be repeated: the program as it was started, and its arguments."""
    started = Path(sys.argv[0])
    name = "mtcnn-doctor"
    found = shutil.which(name)
    if started.name == "__main__.py":  # python -m mtcnn_doctor
        beside = found is not None and Path(found).parent == Path(sys.executable).parent
        return [*([name] if beside else [sys.executable, "-m", "mtcnn_doctor"]), *sys.argv[1:]]
    by_path = found is not None and started.exists() and started.samefile(found)
    # An environment that is not activated is not on PATH; only the path starts it again.
    bare = by_path or started.parent == Path()
    return [name if bare else sys.argv[0], *sys.argv[1:]]


def timeout(given: float | None, configured: float | None = None) -> float:
    """Return the limit of a phase in seconds.

    Raises:
        UsageError: not a positive, finite number.
    """
    value = given if given is not None else configured
    if value is None:
        return DEFAULT_TIMEOUT_S
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"--timeout {value:g}: give a positive number of seconds")
    return value


def backends(given: Iterable[str]) -> list[str]:
    """Return the backends named, in the order given and once each.

    Which there are is known when the target was asked for its plug-ins.
    """
    return list(dict.fromkeys(split(given)))


def subjects(given: Iterable[str], default: Sequence[str] = ()) -> list[str]:
    """Return the user's packages to run: those named, or "all" that are installed.

    Which there are is known when the target was asked for its plug-ins.

    Raises:
        UsageError: "none" beside others.
    """
    names = list(dict.fromkeys(split(given)))
    if "none" in names and len(names) > 1:
        raise UsageError("--subject none goes with no other --subject; leave one of them out")
    return [] if names == ["none"] else names or list(default)


def split(values: Iterable[str]) -> list[str]:
    """Return the words of repeated and comma-separated option values."""
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def images(given: Sequence[Path]) -> list[Path]:
    """Return image files as absolute paths.

    Raises:
        UsageError: a path that is not there, not a file, or cannot be read.
    """
    found = []
    for path in given:
        if not path.exists():
            raise UsageError(f"no file {_without_password(path)}; name an image file")
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name image files")
        if not path.is_file():
            raise UsageError(f"{path} is not a regular file; name an image file")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{path} cannot be read; check its permissions")
        found.append(path.absolute())
    return found


def _without_password(path: Path) -> str:
    """Return a path as a message shows it: an address may have been taken for one."""
    return re.sub(r"(:/+)[^/]*@", r"\1<hidden>@", str(path))


def weights(path: Path | None) -> Path | None:
    """Return the path of a weight file as an absolute one.

    Raises:
        UsageError: it is not there, not a file, or cannot be read.
    """
    if path is None:
        return None
    if path.is_dir():
        raise UsageError(f"--weights {path} is a folder; name a weight file in it")
    if not path.is_file():
        raise UsageError(f"--weights {path}: no such file; name a weight file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"--weights {path} cannot be read; check its permissions")
    return path.absolute()


def check_output(path: Path | None) -> None:
    """Fail before the work rather than after it when the report cannot be written.

    Raises:
        UsageError: the folder is missing or cannot be written to, or the path is a folder.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        return  # a device or a pipe, whose folder is nobody's business
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--output {path}: its folder does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--output {path}: {folder} cannot be written to; name another folder")


def check_keep(folder: Path | None) -> None:
    """Fail before the work rather than after it when evidence cannot be kept.

    Raises:
        UsageError: it is no folder, cannot be written to, or the folder above it is missing.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--keep {folder} is a file; name a folder")
    place = folder if folder.exists() else folder.absolute().parent
    if not place.is_dir():
        raise UsageError(f"--keep {folder}: the folder above it does not exist; make it first")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--keep {folder}: {place} cannot be written to; name another folder")


def keep(report: Report, folder: Path | None) -> Report:
    """Keep the evidence of the failed runs, if that was asked for; say on stderr where it is.

    Evidence that cannot be written makes the report incomplete, and does not lose it.
    """
    if folder is None:
        return report
    from mtcnn_doctor.report import keep as kept

    try:
        for path in kept.keep(report, folder):
            print(f"evidence kept in {path}", file=sys.stderr)
    except OSError as error:
        reason = f"--keep {folder}: evidence could not be written: {error.strerror}"
        return replace(report, incomplete=(*report.incomplete, reason))
    return report


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Let whoever reads stdout stop early (``| head``); the exit code stays the true one."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()


def present(print_to: Callable[[IO[str]], None], output: Path | None) -> None:
    """Let a reporter print to stdout, or to a file that appears only when it is complete."""
    if output is None:
        with reader_may_leave():
            print_to(sys.stdout)
        return
    write(printed(print_to), output)


def printed(print_to: Callable[[IO[str]], None]) -> str:
    """Return what a reporter prints, as it goes to a file."""
    text = io.StringIO()
    print_to(text)
    return text.getvalue()


def write(text: str, output: Path | None) -> None:
    """Write a finished report to a file (under a temporary name first) or to stdout.

    Raises:
        UsageError: the file cannot be written; the text went to stdout. An earlier file of that
            name is left as it was.
    """
    try:
        put(text, output)
    except OSError as error:
        # It may have taken minutes, and is not lost.
        put(text, None)
        raise UsageError(
            f"--output {output} cannot be written: {error.strerror}; the report is on stdout"
        ) from error


def put(text: str, output: Path | None) -> None:
    """Write a text to stdout, or to a file that appears only when it is complete.

    Raises:
        OSError: the file cannot be written; an earlier one of that name is left as it was.
    """
    if output is None:
        with reader_may_leave():
            sys.stdout.write(text)
    else:
        _replace(output.absolute(), text)


def _replace(target: Path, text: str) -> None:
    """Write a file that appears only when it is complete, or not at all.

    A file name that is no UTF-8 is half a character in a report: it is written as an escape.
    """
    if target.exists() and not target.is_file():
        # A device or a pipe (/dev/stderr): to be written to, never to be replaced.
        target.write_text(text, encoding="utf-8", errors="backslashreplace")
        return
    # A link stays one: what it leads to is replaced.
    target = Path(os.path.realpath(target))
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        # A temporary file is its owner's alone; a report is an ordinary file.
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
