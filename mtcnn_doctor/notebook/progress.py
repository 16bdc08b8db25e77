"""What is running, for the person who waits: one line that is rewritten in place.

In a notebook that is a display which is updated and taken away at the end; in a terminal, IPython's
included, it is a line on stderr.
"""

from __future__ import annotations

import html
import sys
import threading
from types import TracebackType
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import HTML, display


def in_notebook() -> bool:
    """Whether this shell shows HTML: it is a kernel, not a terminal."""
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class Ticker:
    """Shows the last line of a command's progress while it runs."""

    def __init__(self) -> None:
        self._line = ""
        self._drawn = 0
        self._lock = threading.Lock()
        self._handle: Any = None
        self._notebook = in_notebook()

    def __enter__(self) -> Ticker:
        if self._notebook:
            self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.update(HTML(""))
        elif self._drawn:
            self._write("\r" + " " * self._drawn + "\r")

    def say(self, line: str) -> None:
        """Show a line instead of the one before; comes from another thread."""
        if not line.strip() or line.startswith("error:"):
            return
        with self._lock:
            if self._handle is not None:
                text = html.escape(line[:200])
                self._handle.update(HTML(f"<span style='opacity:.7'>{text} …</span>"))
                return
            text = line[:100]
            self._write("\r" + " " * self._drawn + "\r" + text)
            self._drawn = len(text)

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more
