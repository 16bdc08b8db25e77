"""What an isolated detector raises when its child dies, hangs or raises, and in what words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtcnn_doctor.backends import BACKENDS, Backend
from mtcnn_doctor.model import Run
from mtcnn_doctor.reference import WeightsError
from mtcnn_doctor.runs import run_of
from mtcnn_doctor.sandbox import Ending

__all__ = ["DetectorDied", "DetectorHung", "Subject", "exception", "placed"]

#: Exceptions of the child that come out here as what they are; others become RuntimeError.
_AS_THEY_ARE: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        ArithmeticError, AssertionError, AttributeError, ImportError, IndexError, MemoryError,
        ModuleNotFoundError, NotImplementedError, OSError, OverflowError, RuntimeError, TypeError,
        ValueError, WeightsError,
    )
}  # fmt: skip
_STDERR_LINES, _FRAMES = 10, 6


class _Certificate:
    """What is known of how a child ended."""

    #: Name of the signal it died of; None where it exited by itself, or hung and was ended.
    signal: str | None = None
    #: In the shell's habit: 139 for SIGSEGV.
    exit_code: int | None = None
    #: Where it was: "import", "build", "pnet", ...
    stage: str | None = None
    #: And what it did there: "level 3 of 11, 120x213".
    step: str | None = None
    #: The Python frames of the thread it is about, innermost first: "file", "line", "function".
    frames: tuple[dict[str, Any], ...] = ()
    #: The end of what it printed there.
    stderr: str = ""
    #: What the signal means, or the evidence that memory ran out.
    reason: str | None = None
    #: The command that looks for the cause.
    next_command: str = ""


class DetectorDied(_Certificate, RuntimeError):
    """The child process died; the attributes tell how. The next call starts a fresh one."""


class DetectorHung(_Certificate, TimeoutError):
    """The child gave no answer in time and was ended. The next call starts a fresh one."""


class _ChildsTraceback(Exception):
    """Where in the child an exception was raised, shown as the cause of the one raised here."""


@dataclass(frozen=True)
class Subject:
    """Whose failure it is; ``python``: the interpreter, where it is another than this one."""

    backend: str
    device: str
    lanes: int
    python: str | None

    def died(self, ending: Ending | None, image: tuple[int, ...] | None = None) -> DetectorDied:
        """Return what to raise for a death, while it worked on an image of that shape."""
        run = self._run(ending)
        how = "died"
        if run is not None:
            how = f"died of {run.signal}" if run.signal else "ended"
            how += f" (exit code {run.exit_code})" if run.exit_code is not None else ""
        reason = run.reason if run is not None else None
        error = DetectorDied(self._text(how, reason, run, image))
        if run is not None:
            error.signal, error.exit_code, error.reason = run.signal, run.exit_code, reason
        self._certify(error, run)
        return error

    def hung(
        self, ending: Ending | None, limit_s: float, image: tuple[int, ...] | None = None
    ) -> DetectorHung:
        """Return what to raise where a limit was overrun, by an image or by the start."""
        run = self._run(ending)
        what = "start" if image is None else "answer"
        how = f"did not {what} within {limit_s:g} s and was ended"
        error = DetectorHung(self._text(how, None, run, image))
        self._certify(error, run)
        return error

    def refused(self, ending: Ending | None, limit_s: float) -> Exception:
        """Return what to raise for a child that ended while it started."""
        if ending is None or ending.timed_out is not None:
            return self.died(None) if ending is None else self.hung(ending, limit_s)
        missing, failed = ending.last("not-loadable"), ending.last("failed")
        if missing is not None:
            line = missing["error"]["last_line"]
            check = f"mtcnn-doctor check{self._elsewhere()}"
            return ImportError(f"NumPy does not load in the child ({line}); {check} tells why")
        if failed is not None:
            return exception({**failed["error"], "stage": failed["stage"], "step": failed["step"]})
        return self.died(ending)

    def _run(self, ending: Ending | None) -> Run | None:
        if ending is None:
            return None
        known = BACKENDS.get(self.backend) or Backend(self.backend, self.backend, None, ())
        return run_of(ending, known, ())

    def _certify(self, error: _Certificate, run: Run | None) -> None:
        error.next_command = self._next()
        if run is not None:
            error.stage, error.step, error.stderr = run.stage, run.step, run.stderr_tail
            error.frames = tuple(dict(frame) for frame in run.python_traceback)

    def _text(
        self, how: str, reason: str | None, run: Run | None, image: tuple[int, ...] | None
    ) -> str:
        """Return the message: what, where and why; frames; stderr; what to do next."""
        places = [run.stage, run.step] if run is not None else []
        where = ", ".join(part for part in places if part)
        first = f"the process of backend {self.backend} {how}" + (f" in {where}" if where else "")
        if image is not None:
            first += f", on an image {image[1]}x{image[0]}"
        lines = [f"{first}: {reason}" if reason else first]
        if run is not None:
            lines += [
                f"  at {frame['file']}:{frame['line']} {frame['function']}"
                for frame in run.python_traceback[:_FRAMES]
            ]
            said = run.stderr_tail.strip().splitlines()[-_STDERR_LINES:]
            lines += ["  the end of its stderr:"] if said else []
            lines += [f"    {line}" for line in said]
        return "\n".join([*lines, f"to find the cause: {self._next()}"])

    def _next(self) -> str:
        options = f" --backend {shlex.quote(self.backend)}" if self.backend != "auto" else ""
        options += self._elsewhere()
        if self.device != "cpu":
            options += f" --device {shlex.quote(self.device)}"
        if self.lanes > 1:
            # Without, a fault of several callers would not be met again.
            options += f" --lanes {self.lanes}"
        return f"mtcnn-doctor bench{options} --bisect"

    def _elsewhere(self) -> str:
        return "" if self.python is None else f" --python {shlex.quote(self.python)}"


def placed(ending: Ending | None, places: Sequence[tuple[str, str, str]]) -> Ending | None:
    """Return an ending with the places of the threads that were at work, where there were any.

    Which of several threads died is found out where it is for every child (``runs.py``).
    """
    if ending is None or not places:
        return ending
    if len(places) == 1:
        return replace(ending, stage=places[0][1], step=places[0][2] or None)
    return replace(ending, stage=places[-1][1], step=f"several:{json.dumps(places)}")


def exception(told: dict[str, Any]) -> Exception:
    """Return an exception of the child's as one of this process."""
    kind = _AS_THEY_ARE.get(told["type"])
    if kind is not None:
        error = kind(told["message"])
    else:
        error = RuntimeError(f"{told['type']}: {told['message']}")
    place = " ".join(part for part in (told["stage"], told["step"]) if part)
    frames = "".join(
        f'\n  File "{frame["file"]}", line {frame["line"]}, in {frame["function"]}'
        for frame in reversed(told["traceback"])
    )
    error.__cause__ = _ChildsTraceback(f"in the detector's own process, in {place}:{frames}")
    return error
