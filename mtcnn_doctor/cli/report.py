"""``mtcnn-doctor report``: all that a bug report needs, redacted, as Markdown and as a zip file."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mtcnn_doctor import blackbox, registry
from mtcnn_doctor import config as configuration
from mtcnn_doctor.cli import options
from mtcnn_doctor.cli.check import exit_code, recorded
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from mtcnn_doctor.examine import Request, examine, judge_facts
from mtcnn_doctor.model import Report
from mtcnn_doctor.report.bundle import LARGEST_REPORT, Part
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.targets import resolve

_NAME = "mtcnn-doctor-report"
#: Seconds that the death of a kernel is news.
_RECENT_S = 86_400
#: Lines of the Markdown that are shown before asking.
_HEAD = 15
#: What comes of a report in which something is not of its kind.
_DAMAGED = (LookupError, TypeError, ValueError, AttributeError)


def report(
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    level: options.LevelOption = None,
    given: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Of a JSON report, instead of examining."),
    ] = None,
    crash: Annotated[
        Path | None,
        typer.Option("--crash", metavar="DIR", help="Add the evidence that --keep kept there."),
    ] = None,
    kernel_crash: Annotated[
        bool,
        typer.Option(
            "--kernel-crash/--no-kernel-crash",
            help="Add the last death of a notebook kernel, of the last 24 hours.",
        ),
    ] = True,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="NAME", help="Write NAME.md and NAME.zip."),
    ] = Path(_NAME),
    force: Annotated[bool, typer.Option("--force", help="Replace files of these names.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: options.TimeoutOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Put a bug report together, redacted; shows what is in it, and asks before it writes it."""
    page, archive = _places(output, force)
    _refuse_mixtures(given, python, kernel, level)
    if crash is not None and not crash.is_dir():
        raise UsageError(f"--crash {crash} is no folder; name one that --keep made")
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "report asks before it writes, and there is no terminal to ask on; add --yes to go on"
        )
    found = _examined(python, kernel, level, timeout, quiet) if given is None else _loaded(given)
    redactor = Redactor()
    try:
        parts, left_out = _report_parts(found, redactor)
    except _DAMAGED as problem:
        if given is None:
            raise  # not the user's file, but a fault of ours
        raise _is_damaged(given) from problem
    if crash is not None:
        more, reasons = _crash_parts(crash, redactor)
        parts, left_out = [*parts, *more], [*left_out, *reasons]
    if kernel_crash:
        parts += _kernel_crash(found, given is not None, redactor)
    if not (quiet and yes):
        _show(parts, left_out, redactor.counts, page, archive)
    if not (yes or _agreed(page, archive)):
        print("nothing was written", file=sys.stderr)
        raise typer.Exit(EXIT_FINDINGS)
    from mtcnn_doctor.report.bundle import packed

    (told,) = [part.data for part in parts if part.name == "report.md"]
    _write({page: told, archive: packed(parts)}, force)
    print(f"written: {page}, {archive}")
    raise typer.Exit(EXIT_OK)


def _refuse_mixtures(
    given: Path | None, python: str | None, kernel: str | None, level: int | None
) -> None:
    for name, value in {"--python": python, "--kernel": kernel, "--level": level}.items():
        if given is not None and value is not None:
            raise UsageError(f"--from holds an examination, and {name} asks for one; leave one out")


def _places(output: Path, force: bool) -> tuple[Path, Path]:
    """Return the files that are to be written.

    Raises:
        UsageError: one of them is there, or cannot be written.
    """
    stem = output.with_suffix("") if output.suffix in (".md", ".zip") else output
    if stem.name in ("", "-", ".."):
        raise UsageError(f"--output {output}: give a name, to which .md and .zip are added")
    places = (stem.with_name(f"{stem.name}.md"), stem.with_name(f"{stem.name}.zip"))
    for place in places:
        options.check_output(place)
        _refuse_existing(place, force)
    return places


def _refuse_existing(place: Path, force: bool) -> None:
    if os.path.lexists(place) and not force:
        raise UsageError(f"{place} is there already; give another --output, or --force")
    if os.path.lexists(place) and not place.is_file():
        raise UsageError(f"{place} is no regular file; give another --output")


def _examined(
    python: str | None, kernel: str | None, level: int | None, timeout: float | None, quiet: bool
) -> Report:
    from mtcnn_doctor.report.progress import Progress

    config = configuration.find_here()
    limit = options.timeout(timeout, config.timeout)
    checks = registry.load(config.plugins)
    level = level or config.level or 2
    chosen = checks.selected((), (), level)
    with Progress(sys.stderr, limit, enabled=not quiet) as progress:
        request = Request(
            target=resolve(python, kernel),
            checks=[one for one in chosen if "declared" not in registry.parameters(one)[0]],
            level=level,
            backends=options.backends(config.backends),
            subjects=["all"],
            images=options.images(config.images),
            timeout_s=limit,
            command=options.command(),
            plugin_failures=list(checks.failures),
            listener=progress.hear,
        )
        return examine(request)


def _loaded(path: Path) -> Report:
    """Return the report of a file; bare facts are judged first.

    Raises:
        UsageError: it holds neither.
    """
    from mtcnn_doctor.report.load import report_of

    document = recorded(path, "--from ")
    try:
        if "findings" in document:
            return report_of(document)
        checks = registry.load(configuration.find_here().plugins).checks
        return judge_facts(
            document,
            [one for one in checks if "declared" not in registry.parameters(one)[0]],
            expect_gpu=False,
            command=options.command(),
            plugin_failures=(),
        )
    except _DAMAGED as problem:
        raise _is_damaged(path) from problem


def _is_damaged(path: Path) -> UsageError:
    return UsageError(
        f"--from {path} is no whole report; make one with check --format json --output FILE"
    )


def _report_parts(found: Report, redactor: Redactor) -> tuple[list[Part], list[str]]:
    from mtcnn_doctor.report import bundle, json_report, markdown

    clean = redactor.report(found)
    parts = [bundle.part("report.md", markdown.render(clean, exit_code(clean, "error"), "error"))]
    left_out = []
    data = bundle.part("report.json", bundle.json_text(json_report.to_data(clean)))
    if len(data.data) <= LARGEST_REPORT:
        parts.append(data)
    else:
        left_out.append(f"report.json: its {len(data.data)} bytes are too many")
    return parts, left_out


def _crash_parts(crash: Path, redactor: Redactor) -> tuple[list[Part], list[str]]:
    from mtcnn_doctor.report import bundle

    try:
        found, left_out = bundle.crash_parts(crash, redactor)
    except OSError as error:
        raise UsageError(f"--crash {crash} cannot be read: {error.strerror}") from error
    if not found:
        raise UsageError(f"--crash {crash} holds no text files; name a folder that --keep made")
    return found, left_out


def _kernel_crash(found: Report, is_recorded: bool, redactor: Redactor) -> list[Part]:
    """Return the last death of a kernel, if it was today and may be the report's business."""
    from mtcnn_doctor.cli.jupyter import death_report
    from mtcnn_doctor.collect.crash import deaths
    from mtcnn_doctor.report import bundle, markdown

    died = [one for one in deaths(blackbox.home()) if time.time() - one["last_sign"] < _RECENT_S]
    # A report from elsewhere has nothing to do with what died here.
    if not died or (is_recorded and not _is_of(found.target, died[0], redactor)):
        return []
    clean = redactor.report(death_report(died[0]))
    text = markdown.render(clean, exit_code(clean, "error"), "error")
    note = "holds the code of the cell that ran"
    return [
        bundle.part("kernel-crash.md", text, note),
        bundle.part("kernel-crash.json", bundle.json_text(redactor.data(died[0])), note),
    ]


def _is_of(target: Any, death: dict[str, Any], redactor: Redactor) -> bool:
    here = redactor.text(os.path.dirname(str(death["executable"])))
    return os.path.dirname(redactor.text(str(target.get("python")))) == here


def _show(
    parts: Sequence[Part], left_out: Sequence[str], counts: Counter[str], page: Path, archive: Path
) -> None:
    """Say on stderr what is going to be written."""
    from mtcnn_doctor.report.look import clean

    (told,) = [part.data.decode() for part in parts if part.name == "report.md"]
    lines = told.splitlines()
    said = [f"{page.name}: the text of the issue, {len(lines)} lines, which begins:", ""]
    said += [f"    {line}" for line in lines[:_HEAD]]
    said += [f"    ... {len(lines) - _HEAD} more lines"] if len(lines) > _HEAD else []
    said += ["", f"{archive.name}: to be attached"]
    width = max(len(part.name) for part in parts)
    for one in sorted(parts, key=lambda part: part.name):
        said.append(f"    {one.name:{width}}  {len(one.data):>9,} bytes  {one.note}".rstrip())
    said += [f"    left out: {reason}" for reason in left_out]
    replaced = ", ".join(f"{mark} {number}×" for mark, number in sorted(counts.items()))
    said.append(f"taken out: {replaced or 'nothing was found'}")
    said.append(
        "Names of folders below the home directory, of packages and of images are in it: read it."
    )
    for line in said:
        print(clean(line), file=sys.stderr)


def _agreed(page: Path, archive: Path) -> bool:
    sys.stderr.write(f"write {page.name} and {archive.name}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(files: dict[Path, bytes], force: bool) -> None:
    """Write all files under temporary names, then give them theirs.

    Raises:
        UsageError: one cannot be written, or appeared in the meantime; nothing of it is left.
    """
    mask = os.umask(0)
    os.umask(mask)
    ready: dict[Path, Path] = {}
    try:
        for place, data in files.items():
            descriptor, name = tempfile.mkstemp(dir=place.absolute().parent, prefix=f".{_NAME}.")
            ready[place] = Path(name)
            with open(descriptor, "wb") as file:
                file.write(data)
            ready[place].chmod(0o666 & ~mask)
        for place in files:
            _refuse_existing(place, force)
        for place, temporary in ready.items():
            temporary.replace(place)
    except OSError as error:
        raise UsageError(f"--output: the files cannot be written: {error.strerror}") from error
    finally:
        for temporary in ready.values():
            temporary.unlink(missing_ok=True)
