"""``mtcnn-doctor matrix`` behind its options: plan, ask, run, hand over to the reporter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mtcnn_doctor import __version__, registry
from mtcnn_doctor import config as configuration
from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, UsageError
from mtcnn_doctor.investigate import matrix as investigation
from mtcnn_doctor.investigate.environments_choice import installer
from mtcnn_doctor.investigate.matrix_cache import Cache, default_folder
from mtcnn_doctor.investigate.matrix_commands import Commands
from mtcnn_doctor.investigate.matrix_grammar import Axis, axes_of
from mtcnn_doctor.investigate.matrix_plan import planned
from mtcnn_doctor.investigate.matrix_pythons import interpreters
from mtcnn_doctor.report.matrix_text import MatrixReporter, render
from mtcnn_doctor.report.progress import Progress
from mtcnn_doctor.subjects import SUBJECTS


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    packages: Sequence[str]
    pythons: Sequence[str]
    backends: Sequence[str]
    subjects: Sequence[str]
    bisect: str | None
    yes: bool
    dry_run: bool
    installer: str
    cache: Path | None
    keep: bool
    fresh: bool
    timeout: float | None
    install_timeout_s: float
    json: bool
    output: Path | None
    quiet: bool
    no_color: bool


def carry_out(asked: Asked) -> int:
    """Plan, ask, run and report; return the exit code.

    Raises:
        UsageError: something given cannot be used, or nobody agreed to the installation.
    """
    config = configuration.find_here()
    limit = options.timeout(asked.timeout, config.timeout)
    subjects = axes_of(asked.subjects)
    axes = _axes(asked.packages, subjects)
    _check_backends(asked.backends, axes)
    bisected = _bisected(asked.bisect, axes)
    checks = registry.load(config.plugins)
    place = Cache((asked.cache or default_folder()).expanduser().absolute())
    command = options.command()
    with (
        Progress(sys.stderr, limit, enabled=not asked.quiet) as progress,
        Commands(place.folder) as commands,
    ):
        pythons = interpreters(asked.pythons, commands)
        tool = installer(asked.installer, commands)

        def note(text: str) -> None:
            progress.hear("matrix", {"t": "note", "text": text})

        plan = planned(axes, pythons, tool, bisect=bisected, note=note)
        data = {**investigation.described(plan, bisected), "command": command}
        if asked.dry_run:
            if asked.json:
                options.write(render(data), asked.output)
            else:
                options.present(lambda stream: _show_plan(asked, data, place, stream), asked.output)
            return _exit_code([row["state"] for row in data["combinations"]])
        if not (asked.quiet and asked.yes):
            _show_plan(asked, data, place, sys.stderr)
        if plan.resolved and not asked.yes and not _agreed():
            print("nothing was installed", file=sys.stderr)
            return EXIT_OK
        request = investigation.MatrixRequest(
            checks=checks.checks,
            backends=asked.backends,
            subjects=[axis.name for axis in subjects],
            bisect=bisected,
            timeout_s=limit,
            install_timeout_s=asked.install_timeout_s,
            keep=asked.keep,
            fresh=asked.fresh,
            identity={
                "doctor": __version__,
                "packages": sorted(asked.packages),
                "backends": list(asked.backends),
                "subjects": sorted(asked.subjects),
                "pythons": [[one.path, one.version] for one in pythons],
                "bisect": bisected,
                "timeout": limit,
                "keep": asked.keep,
            },
            command=command,
            plugin_failures=list(checks.failures),
            listener=progress.hear,
        )
        result = investigation.run(plan, request, tool, place)
    states = [row["state"] for row in result["combinations"]]
    code = EXIT_INTERRUPTED if result["interrupted"] else _exit_code(states)
    if asked.json:
        options.write(render(result), asked.output)
        return code

    def print_to(stream: IO[str]) -> None:
        reporter = MatrixReporter(stream, no_color=asked.no_color, quiet=asked.quiet)
        reporter.result(result, code)

    options.present(print_to, asked.output)
    return code


def _show_plan(asked: Asked, data: investigation.Data, place: Cache, stream: IO[str]) -> None:
    reporter = MatrixReporter(stream, no_color=asked.no_color)
    reporter.plan(data["plan"], data["combinations"], str(place.folder))


def _exit_code(states: Sequence[str]) -> int:
    """Return 0 when all is well, 2 when nothing could be examined, else 1.

    Releases that a bisection did not need are no fault; nor is what a dry run did not run.
    """
    ran = [state for state in states if state != investigation.NOT_RUN]
    if not any(state in (investigation.OK, investigation.FAILED) for state in ran):
        return EXIT_OK if not ran else EXIT_USAGE if len(ran) == len(states) else EXIT_FINDINGS
    return EXIT_OK if all(state == investigation.OK for state in ran) else EXIT_FINDINGS


def _agreed() -> bool:
    """Ask on the terminal whether to go on.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError("nothing was installed; add --yes to go on, or --dry-run to only look")
    sys.stderr.write("install this and run it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _axes(packages: Sequence[str], subjects: Sequence[Axis]) -> list[Axis]:
    for axis in subjects:
        if axis.name not in SUBJECTS:
            raise UsageError(
                f"no subject '{axis.name}'; there are {', '.join(SUBJECTS)}, with a version "
                "where one is meant, such as mtcnn==1.0.0"
            )
    named = {axis.name: axis for axis in axes_of(packages)}
    for axis in subjects:
        if axis.name in named and axis.alternatives[0].text:
            raise UsageError(
                f"{axis.name} is given as a package and with a version as --subject; leave the "
                "version out of one of them"
            )
        named.setdefault(axis.name, axis)
    axes = list(named.values())
    if "numpy" not in named:
        # The reference needs it with every backend, and not every framework brings it.
        axes += axes_of(["numpy"])
    return axes


def _check_backends(names: Sequence[str], axes: Sequence[Axis]) -> None:
    own = {name for known in BACKENDS.values() for name in known.distributions} | SUBJECTS.keys()
    if all(axis.name in own for axis in axes):
        # Nothing here can be a plug-in with a backend, so a wrong name is told before the install.
        for name in names:
            if name not in (*BACKENDS, "all"):
                raise UsageError(f"no backend '{name}'; there are {', '.join(BACKENDS)}")


def _bisected(name: str | None, axes: Sequence[Axis]) -> str | None:
    if name is None:
        return None
    (axis,) = axes_of([name])
    if axis.name not in {one.name for one in axes} or axis.alternatives[0].text:
        raise UsageError(
            f"--bisect {name}: name one of the packages given, without a version: "
            f"{', '.join(one.name for one in axes)}"
        )
    return axis.name
