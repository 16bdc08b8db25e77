"""How a guarded cell ended, when it did not end well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.model import Finding, error
from mtcnn_doctor.report.html_fragment import finding as as_html
from mtcnn_doctor.report.look import clean
from mtcnn_doctor.sandbox import Ending
from mtcnn_doctor.sandbox.certificate import MEANINGS, killed_for_memory, says_out_of_memory

#: The cell's name in frames (``target/tasks/cell.py``).
_FILE = "<guarded cell>"
_PACKAGE = re.compile(r"(?:site|dist)-packages[/\\](\w+)")
_MOST_FRAMES = 8


class CellRaised(Exception):
    """An exception ended a guarded cell; shown with the traceback that it had there."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        raised = told.get("error") or {}
        super().__init__(raised.get("last_line") or told["text"])
        #: Outputs that could be handed over all the same.
        self.values: dict[str, Any] = {}
        self._text = str(told["text"]).rstrip()
        if told.get("name"):
            self._text += (
                f"\nThe cell runs in a process of its own: hand {told['name']} over with "
                f"%%mtcnn_guard -i {told['name']}, if the notebook has it (a function or class: "
                "define it in the cell)."
            )

    def _render_traceback_(self) -> list[str]:
        return clean_lines(self._text)


class CellDied(Exception):
    """The process of a guarded cell died, hung or took too much memory; the kernel did not."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.title)
        self.finding = finding
        #: The page shows all of it already: the traceback need not say it again.
        self.is_shown = False

    def bundle(self) -> dict[str, str]:
        """Return the certificate as what a notebook shows and keeps."""
        return {"text/plain": text_of(self.finding), "text/html": as_html(self.finding)}

    def _render_traceback_(self) -> list[str]:
        lines = clean_lines(text_of(self.finding))
        return lines[:1] if self.is_shown else lines


def clean_lines(text: str) -> list[str]:
    """Return the lines of a text from outside, fit to be printed."""
    return [clean(line) for line in text.splitlines()]


def certificate(
    ending: Ending, timeout_s: float | None, memory: int | None, over_mb: float | None
) -> Finding:
    """Return what is known of the death of a cell, and what to do next."""
    how, cause = _how(ending, timeout_s, memory, over_mb)
    place = ending.step if ending.stage == "cell" else f"while it started ({ending.stage})"
    return error(
        f"the cell {how}",
        about="cell",
        evidence={
            key: value
            for key, value in {
                "exit code": None if ending.timed_out or over_mb else ending.exit_code,
                "where": place,
                "python frames": _frames(ending),
                "memory": _memory(ending),
                "openmp libraries": [
                    row["path"] for row in ending.native_libraries if row["kind"] == "openmp"
                ],
                "last words": _last_words(ending.stderr),
            }.items()
            if value not in (None, "", [])
        },
        effect="it would have taken the kernel along; variables of the notebook are as before",
        cause=cause,
        fix=_next(ending),
        commands=_commands(ending),
    )


def _how(
    ending: Ending, timeout_s: float | None, memory: int | None, over_mb: float | None
) -> tuple[str, str]:
    if over_mb is not None and memory is not None:
        limit = memory / 2**20
        return f"took more memory than allowed ({over_mb:.0f} of {limit:.0f} MiB)", ""
    if ending.timed_out is not None:
        return f"had not ended after {timeout_s:g} s", "see what its innermost frame waits for"
    if ending.signal is None:
        return (
            f"ended its process (exit code {ending.exit_code})",
            "something called exit() or os._exit()",
        )
    evidence = killed_for_memory(ending.memory) if ending.signal == "SIGKILL" else None
    if evidence is not None:
        return "was killed for want of memory", evidence
    said = says_out_of_memory(ending.stderr) if ending.signal == "SIGABRT" else None
    if said is not None:
        return "aborted for want of memory", said
    return f"died of {ending.signal}", MEANINGS.get(ending.signal, "")


def _frames(ending: Ending) -> list[str]:
    """Return the frames from the innermost to the cell, whose lines come by its name."""
    found = []
    for frame in ending.python_frames:
        found.append(f"{frame['file']}:{frame['line']} {frame['function']}")
        if frame["file"] == _FILE:
            break
    if len(found) > _MOST_FRAMES:
        found = [*found[: _MOST_FRAMES - 2], "...", found[-1]]
    return found


def _memory(ending: Ending) -> str:
    peak = ending.memory.get("peak_rss_mb") or ending.peak_rss_mb
    return "" if not peak else f"peak {peak:.0f} MiB"


def _last_words(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("  File ", "Fatal Python", "Thread "))]
    return lines[-1][:300] if lines else ""


def _suspect(ending: Ending) -> str | None:
    """Return the backend in whose package the innermost frames are, if they are in one."""
    modules = {backend.module: name for name, backend in BACKENDS.items()}
    for frame in ending.python_frames:
        match = _PACKAGE.search(str(frame["file"]))
        if match and match[1] in modules:
            return modules[match[1]]
    return None


def _next(ending: Ending) -> str:
    if _suspect(ending) is None:
        return "check the interpreter, and search for what makes the fault go away"
    return "search for the change that makes it go away: one at a time, each in a fresh process"


def _commands(ending: Ending) -> list[str]:
    suspect = _suspect(ending)
    if suspect is None:
        return ["%mtcnn_doctor check", "%mtcnn_doctor bench --backend all --bisect"]
    return [f"%mtcnn_doctor bench --backend {suspect} --bisect"]


def text_of(finding: Finding) -> str:
    """Return a finding as lines of text."""
    lines = [f"✗ {finding.title}"]

    def entry(key: str, value: Any) -> None:
        values = value if isinstance(value, (list, tuple)) else [value]
        for number, one in enumerate(values):
            lines.append(f"    {key if not number else '':<18} {one}")

    for key, value in finding.evidence.items():
        entry(key, value)
    for key, value in (("effect", finding.effect), ("cause", finding.cause)):
        if value:
            entry(key, value)
    if finding.remedy is not None:
        entry("next", [finding.remedy.text, *finding.remedy.commands])
    return "\n".join(clean(line) for line in lines)
