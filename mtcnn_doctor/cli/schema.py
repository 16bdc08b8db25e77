"""``mtcnn-doctor schema``: what the JSON of a command holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mtcnn_doctor.cli import options
from mtcnn_doctor.report.json_report import SchemaName, schema


def show_schema(
    name: Annotated[
        SchemaName, typer.Argument(help="report (check, bench, inspect, ...), lint or matrix.")
    ] = SchemaName.REPORT,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file.")
    ] = None,
) -> None:
    """Print the JSON Schema of a command's JSON, to check it or to generate readers from."""
    options.check_output(output)
    options.write(json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n", output)
