"""Markdown that what comes from outside cannot break, link from, or mention anybody in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

#: Everything but line break and tab that moves the cursor or ends a text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: What GitHub makes a link of, up to where it is cut: @name, #1, GH-1, a commit, an address.
_REFERENCE = re.compile(
    r"[@#](?=\w)|\bgh-(?=\d)|\b(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{6}(?=[0-9a-f])|\b(?:https?|ftp|mailto):|\bwww(?=\.)",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    """Return a text without the control characters that a terminal or a web page acts on."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text.replace("\r\n", "\n"))


def plain(text: str) -> str:
    """Return a text of one line that Markdown shows as it is, and GitHub makes nothing of.

    GitHub looks for mentions, issues, commits and addresses in what Markdown has become, where a
    backslash is gone already; an empty comment between the characters stays, and is not seen.
    """
    flat = printable(text).replace("\n", " ")
    return _cut(re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", flat))


def _cut(text: str) -> str:
    return _REFERENCE.sub(lambda match: f"{match[0]}<!-- -->", text)


def fenced(text: str, language: str = "") -> list[str]:
    """Return a text as a block of code, whose fence is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return [f"{fence}{language or 'text'}", printable(text), fence, ""]


def details(title: str, lines: Iterable[str]) -> list[str]:
    """Return lines folded away under a title; nothing where there is none.

    The title is escaped here: Markdown leaves it alone, it is HTML.
    """
    inside = list(lines)
    if not any(line.strip() for line in inside):
        return []
    return [
        f"<details><summary>{_cut(escape(printable(title)))}</summary>",
        "",
        *inside,
        "</details>",
        "",
    ]


def rows(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return rows as a list: a table's cells would break at what comes from outside."""
    return [*(f"- **{key}**: {plain(text)}" if key else f"- {plain(text)}"
              for key, text in pairs if text), ""]  # fmt: skip
