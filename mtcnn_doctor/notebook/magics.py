"""The magics. IPython is imported nowhere else in the project."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError as MagicUsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from mtcnn_doctor.notebook import run, watch
from mtcnn_doctor.notebook.progress import Ticker
from mtcnn_doctor.notebook.results import DoctorReport, DoctorText

#: Commands whose JSON is a report, which is shown as an object.
_REPORTS = ("check", "bench")
_SHAPES = ("--format", "--output", "-o", "--help")


@magics_class
class DoctorMagics(Magics):
    """``%mtcnn_doctor`` and what belongs to it."""

    @line_magic
    def mtcnn_doctor(self, line: str) -> Any:
        """Run mtcnn-doctor on the interpreter of this kernel.

        ``%mtcnn_doctor check`` and every other command, with the options it has in a shell
        (``%mtcnn_doctor check --help``). It runs in a process of its own: no framework gets into
        this kernel, a crash of one ends up in the report, and the stop button works.
        """
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise MagicUsageError(f"%mtcnn_doctor: {error}") from None
        words = words or ["check"]
        given = {word.partition("=")[0] for word in words}
        if words[0] not in _REPORTS or given & set(_SHAPES):
            return _text(words)
        return _report(words)


def _report(words: list[str]) -> DoctorReport:
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        answer = Path(folder) / "report.json"
        orders = [*words, "--format", "json", "--output", str(answer)]
        if words[0] == "check" and not {"--python", "--kernel", "--facts"} & set(words):
            live = Path(folder) / "notebook.json"
            live.write_text(json.dumps(watch.notebook()), encoding="utf-8")
            orders += ["--notebook", str(live)]
        with Ticker() as ticker:
            done = run.run(orders, ticker.say)
        try:
            document = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = None
    if document is None:
        if done.interrupted:
            raise KeyboardInterrupt
        raise MagicUsageError(_complaint(done))
    report = DoctorReport(document, done.code)
    if done.interrupted:
        # What was known is shown; the cells after this one are not to run.
        display(report)
        raise KeyboardInterrupt
    return report


def _text(words: list[str]) -> DoctorText:
    with Ticker() as ticker:
        done = run.run(words, ticker.say)
    if done.interrupted:
        raise KeyboardInterrupt
    if done.code == 2 and not done.out.strip():
        raise MagicUsageError(_complaint(done))
    return DoctorText(done.out, done.code)


def _complaint(done: run.Done) -> str:
    """Return what the command said last, without the name of an error class around it."""
    said = done.err.strip() or done.out.strip() or f"it ended with exit code {done.code}"
    return said.removeprefix("error: ")
