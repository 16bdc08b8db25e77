"""Whether two runs failed in the same way: faults by what stays the same when they come back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mtcnn_doctor.model import Outcome, Run

#: How many of the innermost Python frames tell one fault from another.
_FRAMES = 3

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s'\":,;()\[\]\\/]+)*[\\/](?=[^\s'\":,;()\[\]\\/]+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
#: What faulthandler writes is in the frames.
_NOISE = re.compile(
    r"  File |Fatal Python error|(?:Current t|T)hread 0x|Stack \(|Extension modules:"
)


@dataclass(frozen=True)
class Fault:
    """What identifies a fault. ``frames`` are "file function", the innermost first."""

    outcome: str
    signal: str | None
    exit_code: int | None
    stage: str | None
    frames: tuple[str, ...]
    message: str

    def describe(self) -> str:
        """Return the fault in a few words."""
        what = self.signal or self.outcome
        if self.outcome == "crash" and self.signal is None:
            what = f"exit code {self.exit_code}"
        text = f"{what} in {self.stage}" if self.stage else what
        if self.outcome not in ("crash", "timeout") and self.message:
            text += f": {self.message}"
        elif self.frames:
            text += f" ({self.frames[0]})"
        return text

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "outcome": self.outcome,
            "signal": self.signal,
            "exit_code": self.exit_code,
            "stage": self.stage,
            "frames": list(self.frames),
            "message": self.message,
        }


def fault_of(run: Run) -> Fault | None:
    """Return what identifies the fault of a run, None where it went well."""
    if run.outcome is Outcome.OK:
        return None
    frames = tuple(
        f"{str(frame['file']).replace(chr(92), '/').rsplit('/', 1)[-1]} {frame['function']}"
        for frame in run.python_traceback[:_FRAMES]
    )
    # A wrong result has no place of its own: it is found when the faces are compared, and a
    # comparison of the networks, which names a place, is not made for every run.
    wrong = run.outcome is Outcome.WRONG_RESULT
    early = run.outcome is Outcome.CRASH and run.signal is None
    return Fault(
        outcome=run.outcome.value,
        signal=run.signal,
        exit_code=run.exit_code if early else None,
        stage=None if wrong else run.stage,
        frames=() if wrong else frames,
        message=_message(run),
    )


def _message(run: Run) -> str:
    if run.outcome is Outcome.TIMEOUT:
        return ""
    if run.outcome is Outcome.WRONG_RESULT:
        # Which faces are lost may vary from run to run; that NaN came out of a network does not.
        return "NaN or infinity" if "NaN" in (run.reason or "") else "other faces than expected"
    if run.error is not None:
        return normalised(str(run.error.get("last_line") or ""))
    # A segmentation fault says nothing of itself, and what stood on stderr before is chance.
    if run.outcome is Outcome.CRASH and run.signal not in (None, "SIGABRT"):
        return ""
    lines = [line for line in run.stderr_tail.splitlines() if line.strip()]
    lines = [line for line in lines if not _NOISE.match(line)]
    return normalised(lines[-1]) if lines else ""


def normalised(text: str) -> str:
    """Return a message without what differs from run to run: addresses, folders, numbers."""
    text = _ADDRESS.sub("<address>", text.strip())
    text = _PATH.sub("", text)
    return _NUMBER.sub("#", text)[:200]
