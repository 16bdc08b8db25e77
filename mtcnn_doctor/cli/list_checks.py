"""``mtcnn-doctor list``: the checks there are, and where each comes from."""

from __future__ import annotations

import json

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options


def list_checks(format: options.FormatOption = options.Format.TEXT) -> None:
    """List the checks by family, with the lowest level at which each runs."""
    config = configuration.find_here()
    found = registry.load(config.plugins)
    if format is options.Format.JSON:
        rows = [
            {
                "id": check.id,
                "family": check.family,
                "level": check.level,
                "title": check.title,
                "origin": check.origin,
            }
            for check in found.checks
        ]
        options.write(json.dumps(rows, indent=2) + "\n", None)
        return
    with options.reader_may_leave():
        _print(found)


def _print(found: registry.Registry) -> None:
    width = max(len(check.id) for check in found.checks)
    family = ""
    for check in found.checks:
        if check.family != family:
            family = check.family
            typer.echo(f"{family}")
        origin = "" if check.origin == "built-in" else f"  [{check.origin}]"
        typer.echo(f"  {check.id:<{width}}  level {check.level}  {check.title}{origin}")
    for failure in found.failures:
        typer.echo(f"  not loaded: {failure.about}: {failure.evidence.get('reason')}")
