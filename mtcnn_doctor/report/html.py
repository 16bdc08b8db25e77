"""The smallest pieces of HTML, for the page and for the fragments in a notebook."""

from __future__ import annotations

from html import escape
from typing import Any

from mtcnn_doctor.report.look import clean


def safe(value: Any) -> str:
    """Return a text from outside as one that can be nothing but text."""
    return escape(clean(str(value)))


def fold(title: str, content: str, *, is_open: bool = False) -> str:
    """Return content that opens at a click; ``title`` and ``content`` are HTML."""
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>{content}</details>"


def lines(value: Any) -> str:
    """Return a value, or each of several on a line of its own."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return "<br>".join(safe(item) for item in items)
