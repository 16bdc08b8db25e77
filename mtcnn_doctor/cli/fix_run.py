"""What ``mtcnn-doctor fix`` does with its options."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options
from mtcnn_doctor.cli.check import recorded
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_INTERRUPTED, EXIT_OK, UsageError
from mtcnn_doctor.examine import Request, examine, judge_facts
from mtcnn_doctor.investigate.fix_apply import (
    BETTER,
    DAMAGED,
    DECLINED,
    FIXED,
    LOG,
    RESTORED,
    SAME,
    STOPPED,
    Applier,
    Manner,
    bring_back,
    new_folder,
    with_results,
)
from mtcnn_doctor.investigate.fix_freeze import Freeze, load, taken
from mtcnn_doctor.investigate.fix_place import place_of
from mtcnn_doctor.investigate.fix_plan import Plan, plan
from mtcnn_doctor.investigate.matrix_commands import Commands
from mtcnn_doctor.model import Report
from mtcnn_doctor.report.fix_text import FixReporter
from mtcnn_doctor.report.look import clean
from mtcnn_doctor.report.progress import Progress
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.targets import resolve

_INSTALL_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Asked:
    """The options of ``fix``."""

    python: str | None
    kernel: str | None
    backends: Sequence[str]
    subjects: Sequence[str]
    level: int | None
    select: Sequence[str]
    ignore: Sequence[str]
    expect_gpu: bool
    facts: Path | None
    apply: bool
    yes: bool
    restore: Path | None
    timeout: float | None
    install_timeout: float | None
    json: bool
    output: Path | None
    quiet: bool
    no_color: bool


def carry_out(asked: Asked) -> int:
    """Plan, and carry out if that is asked for; return the exit code.

    Raises:
        UsageError: options that do not go together, or a target that cannot be examined.
    """
    config = configuration.find_here()
    limit = options.timeout(asked.timeout, config.timeout)
    _refuse_mixtures(asked)
    if asked.restore is not None:
        return _restored(asked, asked.restore)
    checks = registry.load(config.plugins)
    ignored = [*asked.ignore, *config.ignore]
    level = asked.level or config.level or 2
    chosen = [
        check
        for check in checks.selected((), ignored, level if asked.facts is None else 3)
        if "declared" not in registry.parameters(check)[0]
    ]
    selected = (
        frozenset(check.id for check in checks.selected(asked.select, ignored, 3))
        if asked.select
        else None
    )
    command = options.command()
    if asked.facts is not None:
        document = recorded(asked.facts)
        report = judge_facts(
            document, chosen, expect_gpu=asked.expect_gpu, command=command, plugin_failures=[]
        )
        return _planned_only(asked, _plan(report, selected, live=False))
    target = resolve(asked.python, asked.kernel)
    with Progress(sys.stderr, limit, enabled=not asked.quiet) as progress:
        request = Request(
            target=target,
            checks=chosen,
            level=level,
            backends=asked.backends or options.backends(config.backends),
            subjects=asked.subjects,
            images=options.images(config.images),
            timeout_s=limit,
            expect_gpu=asked.expect_gpu,
            command=command,
            listener=progress.hear,
        )
        report = examine(request)
    found = _plan(report, selected, live=True)
    if not (asked.apply and found.automatic):
        return _planned_only(asked, found)
    return _applied(asked, found, request, report)


def _applied(asked: Asked, found: Plan, request: Request, report: Report) -> int:
    """Carry a plan out; return the exit code."""
    data = found.to_data()
    if not (asked.quiet and asked.yes):
        FixReporter(sys.stderr, no_color=asked.no_color).plan(data)
    folder = new_folder()
    manner = _manner(asked, f"carry this out in {found.place.python}?")
    with Commands(folder) as commands:
        about = report.facts.get("python") or {}
        done = Applier(request, about, commands, folder, manner).apply(found, report)
    if done.state == DECLINED:
        print("nothing was installed", file=sys.stderr)
        return EXIT_FINDINGS
    data = with_results(data, done)
    code = {STOPPED: EXIT_INTERRUPTED, FIXED: EXIT_OK}.get(done.state, EXIT_FINDINGS)
    if asked.select and done.state == BETTER and not _left(data):
        code = EXIT_OK
    _show(asked, data, lambda reporter: reporter.result(data, code))
    return code


def _left(data: Mapping[str, Any]) -> bool:
    """Whether something of what was to be mended is still there."""
    names = {finding["name"] for step in data["steps"] for finding in step["findings"]}
    return bool(names & {*data["applied"]["remaining"], *data["applied"]["new"]})


def _restored(asked: Asked, file: Path) -> int:
    """Bring an environment back to a freeze; return the exit code."""
    freeze = load(file)
    target = resolve(asked.python or freeze.python, None)
    if not _is_of(target.python, freeze):
        raise UsageError(
            f"--restore {file} is of {freeze.prefix}, and {target.python} is not in it"
        )
    folder = new_folder()
    request = Request(target, ())
    manner = _manner(asked, f"carry this out in {target.python}?")
    with Commands(folder) as commands:
        applier = Applier(request, freeze.about, commands, folder, manner)
        state, lines = bring_back(applier, freeze, target.python)
    said = {SAME: "nothing to do: what is installed is what the freeze holds",
            DECLINED: "nothing was installed", RESTORED: "what is installed is what it was",
            DAMAGED: "it could not be brought back"}[state]  # fmt: skip
    data = {"state": state, "advice": lines, "freeze": str(file), "log": str(folder / LOG)}
    if asked.json:
        options.write(_json(data), asked.output)
    else:
        text = "\n".join([said, *(f"  {line}" for line in lines)]) + "\n"
        options.write(Redactor().text(text), asked.output)
    return EXIT_OK if state in (SAME, RESTORED) else EXIT_FINDINGS


def _is_of(python: str, freeze: Freeze) -> bool:
    """Whether an interpreter lies in the environment that a freeze is of."""
    folder = Path(python).absolute().parent
    places = (folder, folder.parent)  # Windows has no folder bin
    return os.path.realpath(freeze.prefix) in [os.path.realpath(place) for place in places]


def _manner(asked: Asked, question: str) -> Manner:
    def say(text: str) -> None:
        if not asked.quiet:
            # Not redacted: the paths are to be used.
            print(clean(text), file=sys.stderr, flush=True)

    def agree(lines: Sequence[str]) -> bool:
        for line in lines:
            if not (asked.quiet and asked.yes):
                print(clean(line), file=sys.stderr)
        if asked.yes:
            return True
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return Manner(agree, say, _install_limit(asked))


def _refuse_mixtures(asked: Asked) -> None:
    if asked.facts is not None and asked.apply:
        raise UsageError(
            "--facts may come from another machine, and --apply changes this one; leave one of "
            "them out"
        )
    if asked.facts is not None and (asked.python or asked.kernel):
        raise UsageError("--facts names its own target; leave --python and --kernel out")
    if asked.yes and not (asked.apply or asked.restore):
        raise UsageError("--yes goes with --apply or --restore; add one, or leave it out")
    if asked.restore is not None and (asked.apply or asked.facts is not None or asked.kernel):
        raise UsageError("--restore goes with --python alone; leave --apply, --facts, --kernel out")
    if (asked.apply or asked.restore) and not asked.yes and not sys.stdin.isatty():
        option = "--apply" if asked.apply else "--restore"
        raise UsageError(
            f"{option} asks before it changes anything, and there is no terminal to ask on; "
            f"add --yes to go on, or leave {option} out"
        )
    _install_limit(asked)


def _install_limit(asked: Asked) -> float:
    given = asked.install_timeout
    if given is None:
        return _INSTALL_LIMIT_S
    if not (math.isfinite(given) and given > 0):
        raise UsageError(f"--install-timeout {given:g}: give a positive number of seconds")
    return given


def _plan(report: Report, selected: frozenset[str] | None, *, live: bool) -> Plan:
    python = str(report.target.get("python") or "python")
    about = report.facts.get("python") or {}
    lost = frozenset(row.key for row in taken(about, python).lost) if live else frozenset()
    place = place_of(python, report.facts, live)
    return plan(report.findings, report.facts, place, selected, lost)


def _planned_only(asked: Asked, found: Plan) -> int:
    data = {**found.to_data(), "applied": None}
    _show(asked, data, lambda reporter: reporter.plan(data))
    return EXIT_FINDINGS if found.steps else EXIT_OK


def _show(asked: Asked, data: Mapping[str, Any], print_to: Any) -> None:
    if asked.json:
        options.write(_json(data), asked.output)
        return

    def present(stream: IO[str]) -> None:
        print_to(FixReporter(stream, no_color=asked.no_color, quiet=asked.quiet))

    options.present(present, asked.output)


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(Redactor().data(dict(data)), indent=2, ensure_ascii=False) + "\n"
