"""``mtcnn-doctor jupyter last-crash``: why did the kernel die?"""

from __future__ import annotations

import datetime
import sys
from typing import IO, Annotated, Any

import typer

from mtcnn_doctor import blackbox, registry
from mtcnn_doctor.cli import options, outputs
from mtcnn_doctor.cli.check import exit_code, show
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import judge_facts
from mtcnn_doctor.model import Report

_CHECK = "kernel-died"


def application() -> Any:
    """Return the group of commands."""
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    app.callback()(_group)
    app.command("last-crash")(last_crash)
    return app


def _group() -> None:
    """Notebook kernels: what they left behind when they died."""


def last_crash(
    pid: Annotated[
        int | None, typer.Option("--pid", metavar="N", help="Of this process, not of the last.")
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="List the deaths that are on record.")
    ] = False,
    format: outputs.ReportFormatOption = None,
    output: outputs.OutputsOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Say why a notebook kernel died that had loaded the extension (%load_ext mtcnn_doctor)."""
    places = outputs.check_outputs(output, format)
    from mtcnn_doctor.collect.crash import deaths

    found = deaths(blackbox.home())
    if list_all:
        for place in places:
            options.present(lambda stream: _listed(stream, found), place.path)
        raise typer.Exit(0)
    if pid is not None:
        found = [death for death in found if death["pid"] == pid]
        if not found:
            raise UsageError(f"--pid {pid}: no death of it is on record; see --list")
    if not found:
        print(
            "no kernel that had loaded the extension has died; put %load_ext mtcnn_doctor into "
            "the first cell of the notebook, and repeat what kills it",
            file=sys.stderr,
        )
        raise typer.Exit(0)
    report = death_report(found[0])
    code = exit_code(report, "error")
    show(report, code, places, verbose=verbose, quiet=quiet, no_color=no_color)
    raise typer.Exit(code)


def death_report(death: dict[str, Any]) -> Report:
    """Return a report on one death (see :func:`mtcnn_doctor.collect.crash.deaths`)."""
    checks = [check for check in registry.load(()).checks if check.id == _CHECK]
    return judge_facts(
        {
            "facts": {
                "python": {"executable": death["executable"], "version": death["version"]},
                "last_crash": death,
            }
        },
        checks,
        expect_gpu=False,
        command=options.command(),
        plugin_failures=(),
    )


def _listed(stream: IO[str], found: list[dict[str, Any]]) -> None:
    for death in found:
        when = datetime.datetime.fromtimestamp(death["last_sign"]).isoformat(" ", "seconds")
        what = death["fatal"] or "without a word"
        where = death["notebook"] or death["folder"] or ""
        stream.write(f"{when}  {death['pid']:>8}  {what}  {where}\n")
    if not found:
        stream.write("none\n")
