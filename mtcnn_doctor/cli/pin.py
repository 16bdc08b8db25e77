"""``mtcnn-doctor pin``: releases that go together here."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated

import typer

from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_OK
from mtcnn_doctor.targets import resolve as resolve_target


class PinFormat(str, Enum):
    """How the releases are printed."""

    TEXT = "text"
    JSON = "json"
    REQUIREMENTS = "requirements"


def pin(
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME", help="For this backend; repeatable."),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", metavar="NAME", help="For this MTCNN package, such as mtcnn."),
    ] = None,
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    python_version: options.PythonVersionOption = None,
    platform: options.PlatformOption = None,
    resolve: Annotated[
        bool,
        typer.Option("--resolve", help="Let uv or pip try it (network)."),
    ] = False,
    timeout: options.TimeoutOption = None,
    format: Annotated[
        PinFormat, typer.Option("--format", help="text (lines and remarks), json, requirements.")
    ] = PinFormat.TEXT,
    output: options.OutputOption = None,
) -> None:
    """Print releases that go together, from the knowledge base."""
    from mtcnn_doctor.declared.judge import place_of
    from mtcnn_doctor.declared.pin import pins, resolved

    options.check_output(output)
    target = resolve_target(python, kernel)
    place = place_of(python_version, platform, target, options.timeout(timeout))
    backends, subjects = options.backends(backend or ()), list(subject or ())
    if not backends and not subjects:
        backends = ["torch"]
    found = pins(place, backends, subjects)
    if found is None:
        typer.echo(
            f"no releases of {', '.join([*subjects, *backends])} are known that go together for "
            f"{place.name}; try another --python-version or --platform",
            err=True,
        )
        raise typer.Exit(EXIT_FINDINGS)
    if resolve:
        found = resolved(found, place)
    code = EXIT_FINDINGS if found.resolved is False else EXIT_OK
    if format is PinFormat.JSON:
        data = {"place": place.name, "pins": list(found.lines), "resolved": found.resolved,
                "said": found.said}  # fmt: skip
        options.write(json.dumps(data, indent=2) + "\n", output)
        raise typer.Exit(code)
    lines = list(found.lines)
    if format is PinFormat.TEXT:
        asked = ", ".join([*subjects, *backends])
        state = {None: "not asked of an installer (--resolve)", True: "it can be installed",
                 False: f"it cannot be installed: {found.said}"}[found.resolved]  # fmt: skip
        lines = [f"# {asked} for {place.name}, from the knowledge base; {state}", *lines]
    elif found.resolved is False:
        typer.echo(f"it cannot be installed: {found.said}", err=True)
    options.write("\n".join(lines) + "\n", output)
    raise typer.Exit(code)
