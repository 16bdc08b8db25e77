"""What is running, for the person who waits: on stderr, and only when it takes a while."""

from __future__ import annotations

import threading
import time
from typing import IO, Any

from mtcnn_doctor.report.look import clean

#: A phase that takes longer than this is worth a word.
_PATIENCE_S = 1.0


class Progress:
    """Listens to children (see ``sandbox.Child``) and says what has been running for a while.

    On a terminal one line is rewritten in place; elsewhere each long phase gets one line.
    """

    def __init__(self, stream: IO[str], limit_s: float, enabled: bool = True) -> None:
        self._stream = stream
        self._limit_s = limit_s
        self._enabled = enabled
        self._terminal = bool(getattr(stream, "isatty", lambda: False)())
        self._running: dict[str, tuple[str, float]] = {}
        self._announced: set[tuple[str, str]] = set()
        self._drawn = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        if self._enabled:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._erase()

    def hear(self, label: str, message: dict[str, Any]) -> None:
        """Take one message of a child."""
        with self._lock:
            kind = message.get("t")
            if kind == "note":
                self._note(str(message.get("text")))
            elif kind == "hello":
                self._running[label] = ("start", time.monotonic())
            elif kind == "phase":
                self._running[label] = (str(message.get("name")), time.monotonic())
            elif kind in ("ready", "end"):
                # Waiting for its turn, or done.
                self._running.pop(label, None)

    def _note(self, text: str) -> None:
        """Say something that stays on the screen."""
        if self._enabled:
            self._erase()
            self._write(clean(text) + "\n")

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            with self._lock:
                now = time.monotonic()
                long = [
                    (label, phase, now - since)
                    for label, (phase, since) in self._running.items()
                    if now - since > _PATIENCE_S
                ]
            if self._terminal:
                self._draw(long)
            else:
                self._announce(long)

    def _announce(self, long: list[tuple[str, str, float]]) -> None:
        for label, phase, _ in long:
            if (label, phase) not in self._announced:
                self._announced.add((label, phase))
                self._write(f"{label}: {phase} (limit {self._limit_s:g} s)\n")

    def _draw(self, long: list[tuple[str, str, float]]) -> None:
        self._erase()
        if not long:
            return
        parts = [f"{label}: {phase} {spent:.0f} s" for label, phase, spent in long]
        text = clean("; ".join(parts) + f" (limit {self._limit_s:g} s each)")[:100]
        self._drawn = len(text)
        self._write(text)

    def _erase(self) -> None:
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stop.set()  # nobody reads stderr any more
