"""Markdown that what comes from outside cannot break, link from, or mention anybody in."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Everything but line break and tab that moves the cursor or ends a text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return a text without the control characters that a terminal or a web page acts on."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text.replace("\r\n", "\n"))


def plain(text: str) -> str:
    """Return a text of one line that Markdown shows as it is."""
    flat = printable(text).replace("\n", " ")
    return re.sub(r"([\\`*_\[\]<>|#~$@&])", r"\\\1", flat)


def fenced(text: str, language: str = "") -> list[str]:
    """Return a text as a block of code, whose fence is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return [f"{fence}{language or 'text'}", printable(text), fence, ""]


def details(title: str, lines: Iterable[str]) -> list[str]:
    """Return lines folded away under a title; nothing where there is none."""
    inside = list(lines)
    if not any(line.strip() for line in inside):
        return []
    return [f"<details><summary>{title}</summary>", "", *inside, "</details>", ""]


def rows(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return rows as a list: a table's cells would break at what comes from outside."""
    return [*(f"- **{key}**: {plain(text)}" if key else f"- {plain(text)}"
              for key, text in pairs if text), ""]  # fmt: skip
