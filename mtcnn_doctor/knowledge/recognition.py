"""Recognising failures by what they write: the rows of ``signatures.toml`` found in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mtcnn_doctor.knowledge.lookup import Signature, signatures
from mtcnn_doctor.knowledge.text import Hit, Text, clean, near, search, search_loosely

#: How sure a match may be, best first.
CONFIDENCE = ("high", "medium", "low")

#: A text of up to this many characters may be a person's description rather than an output.
_SHORT = 600
#: As much of a line is quoted.
_QUOTED = 200


@dataclass(frozen=True)
class Match:
    """A known failure that a text shows.

    ``line`` is the number of the line that shows it, counted from 1, ``said`` its words, shortened
    where they are many, and ``confidence`` how sure it is that this is the failure.
    """

    row: Signature
    line: int
    said: str
    confidence: str
    length: int = 0

    @property
    def rank(self) -> tuple[bool, int, bool, int, int]:
        """Order among matches, smallest first.

        What does harm goes first, then what is sure, then what was told apart from others by its
        surroundings. Among equals what stands later in the text is nearer to the fault (a
        traceback ends with it), and on one line the longer match is the more telling one.
        """
        return (
            self.row.severity == "info",
            CONFIDENCE.index(self.confidence),
            not self.row.needs,
            -self.line,
            -self.length,
        )


def find(raw: str) -> list[Match]:
    """Return the known failures that a text shows, best first."""
    text = clean(raw)
    if not text.lines:
        return []
    found = [match for row in signatures() if (match := _match(row, text)) is not None]
    return sorted(found, key=lambda match: match.rank)


def quotable(raw: str) -> list[Signature]:
    """Return the known errors that a text shows, best first, for a check to quote.

    Left out is what does no harm, and what the text alone does not decide.
    """
    text = clean(raw)
    rows = (row for row in signatures() if row.severity == "error" and not row.ambiguous)
    found = [match for row in rows if (match := _printed(row, text)) is not None]
    return [match.row for match in sorted(found, key=lambda match: match.rank)]


def _match(row: Signature, text: Text) -> Match | None:
    found = _printed(row, text)
    if found is None and len(text.spaced) <= _SHORT:
        found = _printed(row, text, search_loosely) or _described(row, text)
    return found


def _printed(
    row: Signature, text: Text, how: Callable[[str, Text], Hit | None] = search
) -> Match | None:
    hits = [hit for pattern in row.patterns if (hit := how(pattern, text)) is not None]
    hits = [hit for hit in hits if all(near(need, text, hit) for need in row.needs)]
    if not hits:
        return None
    last: Hit = max(hits, key=lambda hit: (hit.line, hit.length))
    sure = CONFIDENCE.index(row.confidence)
    if row.ambiguous or how is search_loosely:
        sure = min(sure + 1, len(CONFIDENCE) - 1)
    return Match(row, text.numbers[last.line], _quoted(text, last), CONFIDENCE[sure], last.length)


def _quoted(text: Text, hit: Hit) -> str:
    """Return the line of a match, or as much of it as stands around the match."""
    line = text.lines[hit.line]
    if len(line) <= _QUOTED or hit.squeezed:
        return line[:_QUOTED]
    begin = max(0, hit.start - 40)
    return text.spaced[begin : begin + _QUOTED]


def _described(row: Signature, text: Text) -> Match | None:
    if not row.described:
        return None
    if any(re.search(words, text.spaced, re.IGNORECASE) is None for words in row.described):
        return None
    # Words that a person chose are weaker evidence than words that a program printed.
    sure = "medium" if row.confidence == "high" else "low"
    return Match(row, text.numbers[0], text.lines[0][:_QUOTED], sure)
