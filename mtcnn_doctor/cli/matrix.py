"""``mtcnn-doctor matrix``: which releases work together?"""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import UsageError

_INSTALL_LIMIT_S = 1800.0


class InstallerName(str, Enum):
    """Who makes the environments."""

    AUTO = "auto"
    UV = "uv"
    PIP = "pip"


def matrix(
    packages: Annotated[
        list[str],
        typer.Argument(
            metavar="PACKAGE",
            help='What to try of a package: "torch==2.4.*,2.13.0", "numpy<2,>=2" (two '
            'alternatives), "numpy>=1.26&<2" (one range).',
        ),
    ],
    python: Annotated[
        list[str] | None,
        typer.Option(
            "--python",
            metavar="VERSION|PATH",
            help="Interpreters to make environments of: 3.11,3.12 or paths (default: this one).",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend", metavar="NAME", help="Backend that must run (default: all installed)."
        ),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject",
            metavar="PACKAGE",
            help="An MTCNN package to install and run, too: facenet-pytorch==2.6.0.",
        ),
    ] = None,
    bisect: Annotated[
        str | None,
        typer.Option(
            "--bisect",
            metavar="PACKAGE",
            help="Find where the fault begins or ends in this package's releases.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Install without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be installed, and stop.")
    ] = False,
    installer: Annotated[
        InstallerName, typer.Option("--installer", help="Who installs; auto is uv where it is.")
    ] = InstallerName.AUTO,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="Folder for environments and results."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep-environments", help="Leave the environments, and name them.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what an interrupted run found.")
    ] = False,
    timeout: options.TimeoutOption = None,
    install_timeout: Annotated[
        float | None,
        typer.Option(
            "--install-timeout", metavar="SECONDS", help="Limit of one installation (1800)."
        ),
    ] = None,
    format: options.FormatOption = options.Format.TEXT,
    output: options.OutputOption = None,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Try releases together: an environment for each combination, and MTCNN run in it.

    It says first what it will install, and goes on with --yes. Your environments are not touched.
    """
    options.check_output(output)
    # Loaded here: no other command needs what reads versions and makes environments.
    from mtcnn_doctor.cli.matrix_run import Asked, carry_out

    code = carry_out(
        Asked(
            packages=packages,
            pythons=options.split(python or ()),
            backends=options.backends(backend or ()),
            subjects=subject or (),
            bisect=bisect,
            yes=yes,
            dry_run=dry_run,
            installer=installer.value,
            cache=cache,
            keep=keep,
            fresh=fresh,
            timeout=timeout,
            install_timeout_s=_install_limit(install_timeout),
            json=format is options.Format.JSON,
            output=output,
            quiet=quiet,
            no_color=no_color,
        )
    )
    raise typer.Exit(code)


def _install_limit(given: float | None) -> float:
    if given is None:
        return _INSTALL_LIMIT_S
    if not (math.isfinite(given) and given > 0):
        raise UsageError(f"--install-timeout {given:g}: give a positive number of seconds")
    return given
