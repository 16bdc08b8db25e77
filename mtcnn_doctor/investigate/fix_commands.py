"""Reading the commands of remedies: what is known to change packages and nothing else.

A command is never handed to a shell. It is read by a grammar of a few words; what does not fit is
for a person to run. What comes out is put together anew for the installer of the target.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

#: The indexes that remedies name beside the one that the user has set up.
KNOWN_INDEXES = frozenset({"download.pytorch.org"})
_FLAGS = {
    "--upgrade": "upgrade",
    "-U": "upgrade",
    "--force-reinstall": "again",
    "--no-deps": "alone",
}
_INDEX_OPTIONS = ("--index-url", "-i")


@dataclass(frozen=True)
class Change:
    """What one ``pip install`` of a remedy asks for.

    ``again`` installs what is there already once more, ``alone`` without its requirements.
    ``index`` is the address of the index where it is not the usual one.
    """

    requirements: tuple[Requirement, ...]
    upgrade: bool = False
    again: bool = False
    alone: bool = False
    index: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The distributions it names."""
        return frozenset(canonicalize_name(one.name) for one in self.requirements)


def read(command: str, python: str) -> Change | None:
    """Return what a command changes in the environment of an interpreter.

    None for every other command: another program, another interpreter, an option that is not
    known, a file or an address in place of a name, anything that only a shell understands.
    """
    try:
        words = _split(command)
    except ValueError:
        return None
    rest = _after_the_program(words, python)
    if rest is None or rest[:1] != ["install"]:
        return None
    flags: dict[str, bool] = {}
    requirements: list[Requirement] = []
    index = ""
    waiting = iter(rest[1:])
    for word in waiting:
        option, _, value = word.partition("=")
        if word in _FLAGS:
            flags[_FLAGS[word]] = True
        elif word in _INDEX_OPTIONS or option in _INDEX_OPTIONS[:1]:
            index = next(waiting, "") if word in _INDEX_OPTIONS else value
            parts = urlsplit(index)
            if parts.scheme != "https" or parts.netloc not in KNOWN_INDEXES:
                return None
        else:
            requirement = named(word)
            if requirement is None:
                return None
            requirements.append(requirement)
    return Change(tuple(requirements), index=index, **flags) if requirements else None


def named(word: str) -> Requirement | None:
    """Return a requirement that is a name with a range, None for options, files and addresses."""
    try:
        requirement = Requirement(word)
    except InvalidRequirement:
        return None
    return None if requirement.url or requirement.marker else requirement


def _split(command: str) -> list[str]:
    if sys.platform == "win32":
        return [word.strip('"') for word in shlex.split(command, posix=False)]
    return shlex.split(command)


def _after_the_program(words: Sequence[str], python: str) -> list[str] | None:
    """Return the words behind a pip that works on the interpreter, None where it is no such."""
    if list(words[:1]) == ["pip"]:
        return list(words[1:])
    if list(words[1:3]) == ["-m", "pip"] and words[0] in ("python", python):
        return list(words[3:])
    if list(words[:4]) == ["uv", "pip", "install", "--python"] and list(words[4:5]) == [python]:
        return ["install", *words[5:]]
    return None
