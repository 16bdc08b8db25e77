"""The commands put together."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mtcnn_doctor import __version__

#: The commands in the order of the help: module, and what in it is the command.
_COMMANDS = {
    "check": ("check", "check"),
    "bench": ("bench", "bench"),
    "inspect": ("inspect", "inspect"),
    "lint": ("lint", "lint"),
    "matrix": ("matrix", "matrix"),
    "pin": ("pin", "pin"),
    "fix": ("fix", "fix"),
    "explain": ("explain", "explain"),
    "export": ("export", "export"),
    "weights": ("weights", "application"),
    "plan": ("plan", "plan"),
    "diff": ("diff", "diff"),
    "report": ("report", "report"),
    "jupyter": ("jupyter", "application"),
    "sweep": ("sweep", "sweep"),
    "list": ("list_checks", "list_checks"),
    "schema": ("schema", "show_schema"),
}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mtcnn-doctor {__version__}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Finds out why MTCNN face detection crashes, hangs, finds nothing or the wrong thing."""


def build(arguments: Sequence[str] = ()) -> Any:
    """Return the application, ready to be called with arguments.

    Of these the first is enough to know that a command's module is the only one needed; loading
    all of them takes longer than the quickest examination.
    """
    app = typer.Typer(
        name="mtcnn-doctor",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Rich would read "torch[cuda]" in a help text as markup.
        rich_markup_mode=None,
    )
    app.callback()(_main)
    first = arguments[0] if arguments else ""
    for name in [first] if first in _COMMANDS else _COMMANDS:
        module, attribute = _COMMANDS[name]
        command = getattr(importlib.import_module(f"mtcnn_doctor.cli.{module}"), attribute)
        if attribute == "application":
            app.add_typer(command(), name=name)
        else:
            app.command(name)(command)
    return app
