"""How text looks on this terminal: marks, colours, width; and what may be printed at all."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from dataclasses import dataclass
from typing import IO

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

#: Marks and words for each severity; the word stands beside the mark, never colour alone.
MARKS = {"error": "✗", "warning": "!", "info": "i", "pass": "✓", "skip": "-", "crash": "☠"}
ASCII_MARKS = {
    "error": "xx",
    "warning": "!!",
    "info": "i ",
    "pass": "ok",
    "skip": "--",
    "crash": "xx",
}
STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "info": "cyan",
    "pass": "green",
    "skip": "dim",
    "crash": "bold red",
}


def clean(text: str) -> str:
    """Return a text from outside with control and direction characters made visible.

    What a child printed must not move the cursor, recolour the terminal or hide itself.
    """
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text.replace("\t", "    "))


@dataclass(frozen=True)
class Look:
    """The abilities of an output stream."""

    unicode: bool
    color: bool
    width: int | None

    @classmethod
    def of(cls, stream: IO[str], no_color: bool) -> Look:
        """Return what a stream can show; width is None (never wrap) unless it is a terminal."""
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
        terminal = bool(getattr(stream, "isatty", lambda: False)())
        dumb = os.environ.get("TERM") == "dumb"
        return cls(
            unicode=encoding.startswith("utf") and not dumb,
            color=terminal and not no_color and not dumb and "NO_COLOR" not in os.environ,
            width=max(40, shutil.get_terminal_size().columns) if terminal else None,
        )

    def mark(self, severity: str) -> str:
        """Return the mark of a severity."""
        return (MARKS if self.unicode else ASCII_MARKS)[severity]

    @property
    def dot(self) -> str:
        """The separator between values of one line."""
        return "·" if self.unicode else "|"

    def fit(self, text: str) -> str:
        """Return a text in characters that the stream can show."""
        text = clean(text)
        return text if self.unicode else _plain(text)

    def wrap(self, text: str, indent: int) -> list[str]:
        """Break a text to the terminal's width for a hanging indent; paths stay whole."""
        text = self.fit(text)
        lines: list[str] = []
        for part in text.splitlines() or [""]:
            if self.width is None:
                lines.append(part)
            else:
                lines += textwrap.wrap(
                    part,
                    max(20, self.width - indent),
                    break_long_words=False,
                    break_on_hyphens=False,
                ) or [""]
        return lines


_ASCII = {
    "·": "|",
    "×": "x",
    "–": "-",
    "—": "-",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "…": "...",
    "’": "'",
    "“": '"',
    "”": '"',
    "±": "+-",
    "Δ": "d",
}


def _plain(text: str) -> str:
    for special, ordinary in _ASCII.items():
        text = text.replace(special, ordinary)
    return text.encode("ascii", "backslashreplace").decode("ascii")
