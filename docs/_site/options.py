"""``<!-- options: bench -->`` in a page becomes the table of a command's options.

The table is what ``--help`` says, asked for while the site is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer.main

from mtcnn_doctor.cli.app import build

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_PLACE = re.compile(r"^<!-- options: ([a-z-]+) -->$", re.MULTILINE)


def placed(text: str) -> list[str]:
    """Return the commands whose options a page shows."""
    return _PLACE.findall(text)


def reference(name: str) -> str:
    """Return the arguments and options of a command, or of each of its subcommands, in Markdown."""
    root = typer.main.get_command(build())
    command = root.commands[name]  # type: ignore[attr-defined]
    if not hasattr(command, "commands"):
        return "\n".join(_command(f"mtcnn-doctor {name}", command))
    parts = [_first_paragraph(command.help)]
    for subname, subcommand in command.commands.items():
        parts += ["", f"### `{name} {subname}`", ""]
        parts += _command(f"mtcnn-doctor {name} {subname}", subcommand)
    return "\n".join(parts)


def _command(usage: str, command: Any) -> Iterator[str]:
    context = command.make_context(usage, [], resilient_parsing=True)
    records = [(one, one.get_help_record(context)) for one in command.get_params(context)]
    arguments = [record[0] for one, record in records if record and not _is_option(one)]
    line = " ".join([usage, "[OPTIONS]", *arguments])
    yield f"{_first_paragraph(command.help)}\n\n```\n{line}\n```\n"
    yield "| option | meaning |\n|---|---|"
    for record in (record for _, record in records if record):
        names = ", ".join(_code(name) for name in record[0].split(", "))
        yield f"| {names} | {_cell(record[1])} |"


def _is_option(one: Any) -> bool:
    return bool(one.param_type_name == "option")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|")


def _cell(text: str) -> str:
    for sign in ("\\", "|", "<", "*", "_", "[", "`"):
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", " ")


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def _replace(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = _PLACE.sub(lambda match: reference(match[1]), source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _replace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
