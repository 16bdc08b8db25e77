"""``mtcnn-doctor explain ID``: what a finding means, why it matters and how to mend it."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.errors import UsageError


def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of a finding, e.g. numpy-abi.")],
) -> None:
    """Explain a finding: what was checked, why it matters, how to fix it, sources."""
    config = configuration.find(Path.cwd())
    checks = {check.id: check for check in registry.load(config.plugins).checks}
    check = checks.get(id)
    if check is None:
        near = difflib.get_close_matches(id, checks, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; see mtcnn-doctor list"
        raise UsageError(f"no finding is called {id}{hint}")
    typer.echo(f"{check.id} (family {check.family}, from level {check.level})\n")
    typer.echo(inspect.cleandoc(check.documentation) or check.title)
