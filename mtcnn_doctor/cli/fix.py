"""``mtcnn-doctor fix``: the remedies of all findings as one plan, and carrying it out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor.cli import options


def fix(
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME", help="Run only this backend; repeatable."),
    ] = None,
    subject: options.SubjectOption = None,
    level: options.LevelOption = None,
    select: options.SelectOption = None,
    ignore: options.IgnoreOption = None,
    expect_gpu: options.ExpectGpuOption = False,
    facts: Annotated[
        Path | None,
        typer.Option("--facts", metavar="FILE", help="Plan for recorded facts, or a JSON report."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Carry out what can be, after asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    restore: Annotated[
        Path | None,
        typer.Option("--restore", metavar="FILE", help="Put back what a freeze of fix holds."),
    ] = None,
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
    """Plan the remedies of all findings in order; with --apply, carry out the installations.

    Without --apply nothing is installed. With it, what is installed is written down first, the
    target is examined again afterwards, and the former releases come back if it got worse.
    """
    options.check_output(output)
    # Loaded here: no other command needs what plans and installs.
    from mtcnn_doctor.cli.fix_run import Asked, carry_out

    code = carry_out(
        Asked(
            python=python,
            kernel=kernel,
            backends=options.backends(backend or ()),
            subjects=options.subjects(subject or (), () if backend else ("all",)),
            level=level,
            select=options.split(select or ()),
            ignore=options.split(ignore or ()),
            expect_gpu=expect_gpu,
            facts=facts,
            apply=apply,
            yes=yes,
            restore=restore,
            timeout=timeout,
            install_timeout=install_timeout,
            json=format is options.Format.JSON,
            output=output,
            quiet=quiet,
            no_color=no_color,
        )
    )
    raise typer.Exit(code)
