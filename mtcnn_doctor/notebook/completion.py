"""Completion of ``%mtcnn_doctor``, out of the command line's own definition."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

_MAGIC, _INSPECT = "mtcnn_doctor", "mtcnn_inspect"


def register(shell: Any) -> None:
    """Let the shell complete the commands and options of the magic."""
    for name in (_MAGIC, f"%{_MAGIC}"):
        shell.set_hook("complete_command", _complete, str_key=name)
    for name in (_INSPECT, f"%{_INSPECT}"):
        shell.set_hook("complete_command", _complete_inspect, str_key=name)


def _complete(shell: Any, event: Any) -> list[str]:
    """Return what may stand where the cursor is (IPython's hook)."""
    before = str(event.line)
    words = before.lstrip().split()[1:]
    symbol = str(event.symbol)
    if words and not before.endswith((" ", "\t")):
        words = words[:-1]
        symbol = before.split()[-1]
    return [word for word in candidates(words) if word.startswith(symbol)]


def _complete_inspect(shell: Any, event: Any) -> list[str]:
    """Return the variables of the notebook, or the options of ``inspect`` behind one."""
    before = str(event.line)
    words = before.lstrip().split()[1:]
    is_new = before.endswith((" ", "\t"))
    last = "" if is_new or not words else words[-1]
    if len(words) - bool(last) > 0:
        done = words[:-1] if last else words
        return [word for word in candidates(["inspect", *done]) if word.startswith(last)]
    names = (name for name in shell.user_ns if not name.startswith("_"))
    hidden = getattr(shell, "user_ns_hidden", {})
    return sorted(name for name in names if name.startswith(last) and name not in hidden)


@dataclass(frozen=True)
class _Option:
    """An option as its command's function declares it."""

    name: str
    words: tuple[str, ...]
    kind: Any
    hidden: bool

    @property
    def is_flag(self) -> bool:
        return self.kind is bool


@lru_cache(maxsize=1)
def _commands() -> dict[str, list[_Option]]:
    """Return the options of each command.

    They are read from the functions' annotations: what typer makes of them differs with its
    release.
    """
    from mtcnn_doctor.cli.app import build

    app = build()
    found = {command.name: list(_options(command.callback)) for command in app.registered_commands}
    # A group is completed to its own commands, of which each is one with a blank in its name.
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            found[f"{group.name} {command.name}"] = list(_options(command.callback))
    return found


def _options(function: Any) -> Iterator[_Option]:
    for name, hint in get_type_hints(function, include_extras=True).items():
        for info in getattr(hint, "__metadata__", ()):
            declared = (getattr(info, "default", None), *(getattr(info, "param_decls", ()) or ()))
            words = tuple(w for w in declared if isinstance(w, str) and w.startswith("-"))
            if words:
                yield _Option(name, words, _bare(get_args(hint)[0]), bool(info.hidden))


def _bare(kind: Any) -> Any:
    """Return the type of one value: without None, and of a list that of its items."""
    while get_origin(kind) is not None:
        kind = next((part for part in get_args(kind) if part is not type(None)), None)
    return kind


def candidates(words: list[str]) -> list[str]:
    """Return what may follow some words of the command line."""
    commands = _commands()
    if not words:
        return sorted({name.partition(" ")[0] for name in commands})
    if len(words) == 1 and words[0] not in commands:
        inside = (name.partition(" ") for name in commands)
        return sorted(name for group, _, name in inside if group == words[0])
    known = commands.get(words[0]) or commands.get(" ".join(words[:2]))
    if known is None:
        return []
    options = {word: option for option in known for word in option.words}
    last = options.get(words[-1])
    if last is not None and not last.is_flag:
        return list(_values(last))
    more = _ids() if words[0] == "explain" else ()
    shown = (w for w, option in options.items() if w.startswith("--") and not option.hidden)
    return [*more, *sorted(shown), "--help"]


def _values(option: _Option) -> Iterator[str]:
    """Yield the values that an option may have, where they can be listed."""
    if isinstance(option.kind, type) and issubclass(option.kind, Enum):
        yield from (str(choice.value) for choice in option.kind)
    elif option.kind is Path:
        yield from sorted(name for name in os.listdir(os.curdir) if not name.startswith("."))
    elif option.name == "backend":
        from mtcnn_doctor.backends import BACKENDS

        yield from (*BACKENDS, "all")
    elif option.name in ("select", "ignore"):
        yield from _ids()
    elif option.name == "kernel":
        from mtcnn_doctor.targets import kernels

        yield from sorted(kernels())


def _ids() -> Iterator[str]:
    from mtcnn_doctor import registry

    yield from (check.id for check in registry.load(()).checks)
