"""Error texts made comparable: without colours, log prefixes and line breaks.

What people paste was wrapped by a terminal, indented by pytest, stamped by a log collector or boxed
by rich. A pattern is tried on the text with every line break turned into a space, and again on
the text without any white space, which undoes breaks in the middle of words.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate

#: Colours and cursor movements, and the titles and links that terminals understand.
_ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[@-_])"

#: What log collectors, pytest, mail and rich put in front of a line.
_PREFIX = r"""
      \s+
    | E(?:\s\s+|$)                                              # pytest
    | >\s                                                       # pytest, mail
    | [│┃|]\s?                                                  # rich
    | \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?\]?[\s:,|-]*
    | \[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?\s
      # syslog
    | [A-Z][a-z]{2}\s[\s\d]\d\s\d\d:\d\d:\d\d\s\S{1,80}\s[\w./-]{1,60}(?:\[\d{1,9}\])?:\s
    | \[?(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL|stderr|stdout)\]?(?:[:|\s-]+|$)
    | [\w.-]{1,60}\s{0,20}\|\s                                  # docker compose
    | \[[\w.:/-]{1,40}\]\s
    """

#: How far around a run of plain characters its whole pattern may reach.
_BEFORE, _AFTER = 300, 700
#: How far from a match its surroundings reach, mostly back: a traceback ends with the error.
_FAR = 20_000
#: How often a run of plain characters may occur without its pattern before the search gives up.
_ATTEMPTS = 5000
#: Texts longer than this were not copied from a terminal that breaks words: no second form.
_SQUEEZED = 1_000_000


@dataclass(frozen=True)
class Text:
    """A text in two forms, and the lines that it was made of.

    ``spaced`` has one space for any white space, ``squeezed`` has none; it is empty for a long
    text. ``numbers`` are those of the lines, counted from 1, as empty ones are left out.
    """

    lines: tuple[str, ...]
    numbers: tuple[int, ...]
    spaced: str
    squeezed: str

    def line_at(self, offset: int, squeezed: bool = False) -> int:
        """Return the index of the line that holds a character of one of the forms."""
        return bisect_right(self._squeezed if squeezed else self._spaced, offset) - 1

    @cached_property
    def _spaced(self) -> list[int]:
        return list(accumulate((len(line) + 1 for line in self.lines), initial=0))[:-1]

    @cached_property
    def _squeezed(self) -> list[int]:
        widths = (len(line) - line.count(" ") for line in self.lines)
        return list(accumulate(widths, initial=0))[:-1]


def clean(raw: str) -> Text:
    """Return a text as patterns see it."""
    if "\x1b" in raw:
        raw = _compiled(_ESCAPES).sub("", raw)
    kept = [(line, number) for number, line in enumerate(map(_bare, _lines(raw)), 1) if line]
    lines = tuple(line for line, _ in kept)
    spaced = " ".join(lines)
    squeezed = spaced.replace(" ", "") if len(spaced) <= _SQUEEZED else ""
    return Text(lines, tuple(number for _, number in kept), spaced, squeezed)


def _lines(raw: str) -> list[str]:
    # Not splitlines(): editors and grep count no form feeds and no Unicode separators.
    return raw.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _bare(line: str) -> str:
    prefix = _prefix()
    # More than a few prefixes are no prefixes.
    for _ in range(5):
        found = prefix.match(line)
        if found is None:
            break
        line = line[found.end() :]
    if line.endswith(("│", "┃", "|")):
        line = line[:-1]
    return " ".join(line.split())


@dataclass(frozen=True)
class Hit:
    """Where a pattern fits: the place in one form of the text, and the index of its line."""

    line: int
    start: int
    length: int
    squeezed: bool


def search(pattern: str, text: Text) -> Hit | None:
    """Return the last place where a pattern fits, None where it does not.

    The time is bounded by the length of the text: a run of plain characters is looked for first,
    and the pattern is tried on its neighbourhood only.
    """
    for squeezed in (False, True):
        body = text.squeezed if squeezed else text.spaced
        wanted = squeeze(pattern) if squeezed else pattern
        for found in _backwards(wanted, body):
            line = text.line_at(found.start(), squeezed)
            return Hit(line, found.start(), found.end() - found.start(), squeezed)
    return None


def search_loosely(pattern: str, text: Text) -> Hit | None:
    """Return where a pattern fits a short text that a person typed.

    Shells eat quotes and people forget them, so quotes may be missing and case does not count.
    """
    found = re.search(loosened(pattern), text.spaced, re.IGNORECASE)
    if found is None:
        return None
    line = text.line_at(found.start())
    return Hit(line, found.start(), found.end() - found.start(), squeezed=False)


def near(pattern: str, text: Text, hit: Hit) -> bool:
    """Whether a pattern fits in the neighbourhood of a place, some hundred lines to each side."""
    here = text.squeezed if hit.squeezed else text.spaced
    for squeezed, body in ((False, text.spaced), (True, text.squeezed)):
        wanted = squeeze(pattern) if squeezed else pattern
        # The same share of the way through either form is near enough.
        place = hit.start * len(body) // len(here)
        if _compiled(wanted).search(body[max(0, place - _FAR) : place + _FAR // 4]):
            return True
    return False


def _backwards(pattern: str, body: str) -> Iterator[re.Match[str]]:
    plain = literal(pattern)
    compiled = _compiled(pattern)
    end = len(body)
    # find is much faster than rfind, and most patterns occur nowhere.
    if plain not in body:
        return
    for _ in range(_ATTEMPTS):
        place = body.rfind(plain, 0, end)
        if place < 0:
            return
        found = compiled.search(body, max(0, place - _BEFORE), place + _AFTER)
        if found is not None:
            yield found
        end = place + len(plain) - 1


@cache
def _prefix() -> re.Pattern[str]:
    return re.compile(_PREFIX, re.VERBOSE)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@cache
def squeeze(pattern: str) -> str:
    """Return a pattern for text without white space."""
    return pattern.replace(" ", "")


@cache
def loosened(pattern: str) -> str:
    """Return a pattern that does without its quotes; what they held still ends where they did."""
    made, opening, inside = "", True, False
    for place, char in enumerate(pattern):
        before, after = pattern[place - 1 : place], pattern[place + 1 : place + 2]
        inside = char != "]" and (inside or char == "[")
        if char != "'" or inside or after == "?" or (before.isalpha() and after.isalpha()):
            made += char
            continue
        made += """['"`]?""" if opening else r"""(?:['"`]|(?![\w.]))"""
        opening = not opening
    return made


@cache
def literal(pattern: str) -> str:
    """Return the longest run of plain characters that a pattern cannot fit without."""
    runs, run, place = [], "", 0
    while place < len(pattern):
        char = pattern[place]
        if char == "\\" and not pattern[place + 1].isalnum():
            run += pattern[place + 1]
            place += 2
            continue
        if char not in "\\[(.?*+{^$|":
            run += char
            place += 1
            continue
        if char in "?*{":
            run = run[:-1]  # what may be missing is not certain
        runs.append(run)
        run = ""
        place = _after(pattern, place)
    return max([*runs, run], key=len)


def _after(pattern: str, place: int) -> int:
    """Return where an element that is not a plain character ends."""
    char = pattern[place]
    if char == "\\":
        return place + 2
    if char == "{":
        return pattern.index("}", place) + 1
    if char == "[":
        return pattern.index("]", place + 2) + 1
    if char != "(":
        return place + 1
    depth = 0
    while place < len(pattern):
        char = pattern[place]
        if char in "\\[":
            place = _after(pattern, place)
            continue
        depth += {"(": 1, ")": -1}.get(char, 0)
        place += 1
        if not depth:
            break
    return place
