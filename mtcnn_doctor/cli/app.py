"""The commands put together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mtcnn_doctor import __version__
from mtcnn_doctor.cli.bench import bench
from mtcnn_doctor.cli.check import check
from mtcnn_doctor.cli.explain import explain
from mtcnn_doctor.cli.export import export
from mtcnn_doctor.cli.inspect import inspect
from mtcnn_doctor.cli.jupyter import application as jupyter
from mtcnn_doctor.cli.lint import lint
from mtcnn_doctor.cli.list_checks import list_checks
from mtcnn_doctor.cli.matrix import matrix
from mtcnn_doctor.cli.pin import pin
from mtcnn_doctor.cli.plan import plan
from mtcnn_doctor.cli.sweep import sweep
from mtcnn_doctor.cli.weights import application as weights


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


def build() -> Any:
    """Return the application, ready to be called with arguments."""
    app = typer.Typer(
        name="mtcnn-doctor",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Rich would read "torch[cuda]" in a help text as markup.
        rich_markup_mode=None,
    )
    app.callback()(_main)
    app.command("check")(check)
    app.command("bench")(bench)
    app.command("inspect")(inspect)
    app.command("lint")(lint)
    app.command("matrix")(matrix)
    app.command("pin")(pin)
    app.command("explain")(explain)
    app.command("export")(export)
    app.add_typer(weights(), name="weights")
    app.command("plan")(plan)
    app.add_typer(jupyter(), name="jupyter")
    app.command("sweep")(sweep)
    app.command("list")(list_checks)
    return app
