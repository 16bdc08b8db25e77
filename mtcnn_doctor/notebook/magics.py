"""The magics. IPython is imported nowhere else in the project."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError as MagicUsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from mtcnn_doctor.notebook import guard, run, variable, watch
from mtcnn_doctor.notebook.certificate import CellDied, CellRaised
from mtcnn_doctor.notebook.progress import Ticker, in_notebook
from mtcnn_doctor.notebook.results import DoctorData, DoctorReport, DoctorText

#: Commands whose JSON is a report, which is shown as an object.
_REPORTS = ("check", "bench", "inspect")
#: Commands whose JSON is one of their own, and an object as well.
_DATA = ("plan", "sweep")
#: Commands that print what they write as JSON at the same time.
_BOTH = (("lint",), ("weights", "inspect"), ("weights", "verify"))
#: The longer side of a picture in a notebook, in pixels.
_PICTURE = "800"
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
        if given & set(_SHAPES):
            return _text(words)
        if words[0] in _DATA:
            return _data(words)
        if words[0] in _REPORTS:
            return _report(words)
        return _text(words, with_data=any(tuple(words[: len(one)]) == one for one in _BOTH))

    @line_magic
    def mtcnn_inspect(self, line: str) -> Any:
        """Look at an array or image of the notebook: ``%mtcnn_inspect NAME [OPTIONS]``.

        Says what is wrong with it, what the installed packages do with it, and the line that mends
        it. Options are those of ``%mtcnn_doctor inspect``.
        """
        name, *options = shlex.split(line) or [""]
        if not name.isidentifier() or name not in self.shell.user_ns:
            what = f"there is no variable {name}" if name else "name a variable"
            raise MagicUsageError(f"%mtcnn_inspect: {what}; files: %mtcnn_doctor inspect FILE")
        with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
            try:
                array = variable.array_of(self.shell.user_ns[name], name)
                memory, path = variable.put(array, name, Path(folder))
            except (variable.NoImage, MemoryError) as problem:
                raise MagicUsageError(f"%mtcnn_inspect: {problem}") from None
            try:
                report = _report(["inspect", str(path), *options])
            finally:
                memory.close()
        data = variable.as_variable(report.data, name, variable.layout_of(array))
        pictures = {key.replace(path.name, name): png for key, png in report.pictures.items()}
        return DoctorReport(data, report.exit_code, pictures)

    @magic_arguments()
    @argument("-i", "--input", action="append", default=[], metavar="NAMES", help="Variables to "
              "hand over, separated by commas; repeatable.")  # fmt: skip
    @argument("-o", "--output", action="append", default=[], metavar="NAMES", help="Variables to "
              "bring back, separated by commas; repeatable.")  # fmt: skip
    @argument("--timeout", type=float, default=None, metavar="S", help="Seconds it may take.")
    @argument("--memory", type=str, default=None, metavar="SIZE", help="Memory it may take: 4G.")
    @cell_magic
    def mtcnn_guard(self, line: str, cell: str) -> None:
        """Run the cell in a process of its own, so that its death costs a report only.

        Modules that the notebook has imported are there; other variables are handed over by name.
        """
        given = parse_argstring(self.mtcnn_guard, line)
        inputs, outputs = _named(given.input), _named(given.output)
        missing = [name for name in inputs if name not in self.shell.user_ns]
        if missing:
            raise MagicUsageError(f"%%mtcnn_guard -i: no variable {', '.join(missing)}")
        if given.timeout is not None and not given.timeout > 0:
            raise MagicUsageError("%%mtcnn_guard --timeout: give a positive number of seconds")
        code = self.shell.transform_cell(cell)
        if "get_ipython()" in code:
            raise MagicUsageError("%%mtcnn_guard: a guarded cell can hold no other magic and no !")
        orders = guard.Orders(
            code,
            {name: self.shell.user_ns[name] for name in inputs},
            outputs,
            guard.imports_of(
                compile(code, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), self.shell.user_ns
            ),
            given.timeout,
            _bytes(given.memory),
        )
        try:
            self.shell.user_ns.update(guard.run(orders, _hear))
        except (guard.NotGiven, MemoryError) as problem:
            raise MagicUsageError(f"%%mtcnn_guard -i: {problem}") from None
        except CellRaised as raised:
            self.shell.user_ns.update(raised.values)
            raise
        except CellDied as death:
            if in_notebook():
                display(death.bundle(), raw=True)
                death.is_shown = True
            raise


def _named(values: list[str]) -> list[str]:
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    wrong = [name for name in names if not name.isidentifier()]
    if wrong:
        raise MagicUsageError(f"%%mtcnn_guard: {wrong[0]} is no variable's name")
    return names


def _bytes(text: str | None) -> int | None:
    """Return a size such as "4G" or "512M" in bytes."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        raise MagicUsageError(f"%%mtcnn_guard --memory {text}: give a size such as 4G or 512M")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def _hear(message: dict[str, Any]) -> None:
    """Show what a guarded cell prints and shows, where it would stand if it ran here."""
    if message["t"] == "output":
        stream = sys.stdout if message["name"] == "stdout" else sys.stderr
        stream.write(message["text"])
        stream.flush()
    elif message["t"] in ("shown", "result"):
        display(message["data"], raw=True)


def _report(words: list[str]) -> DoctorReport:
    given = {word.partition("=")[0] for word in words}
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        answer = Path(folder) / "report.json"
        orders = [*words, "--format", "json", "--output", str(answer)]
        if words[0] == "check" and not {"--python", "--kernel", "--facts"} & given:
            live = Path(folder) / "notebook.json"
            live.write_text(json.dumps(watch.notebook()), encoding="utf-8")
            orders += ["--notebook", str(live)]
        drawn = Path(folder) / "drawn"
        if words[0] == "inspect" and in_notebook() and "--draw" not in given:
            drawn.mkdir()
            orders += ["--draw", str(drawn), "--draw-size", _PICTURE]
        with Ticker() as ticker:
            done = run.run(orders, ticker.say)
        try:
            document = json.loads(answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            document = None
        pictures = _pictures(document, drawn)
    if document is None:
        if done.interrupted:
            raise KeyboardInterrupt
        raise MagicUsageError(_complaint(done))
    report = DoctorReport(document, done.code, pictures)
    if done.interrupted:
        # What was known is shown; the cells after this one are not to run.
        display(report)
        raise KeyboardInterrupt
    return report


def _pictures(document: dict[str, Any] | None, folder: Path) -> dict[str, bytes]:
    """Return the pictures that were drawn for the page; the report names no files of them."""
    found: dict[str, bytes] = {}
    for look in ((document or {}).get("facts") or {}).get("looks") or ():
        drawn = folder / Path(look.get("drawn") or "-").name
        if drawn.is_file():
            found[str(look["name"])] = drawn.read_bytes()
            del look["drawn"]
    return found


def _data(words: list[str]) -> DoctorData:
    with Ticker() as ticker:
        done = run.run([*words, "--format", "json"], ticker.say)
    if done.interrupted:
        raise KeyboardInterrupt
    try:
        data = json.loads(done.out)
    except ValueError:
        raise MagicUsageError(_complaint(done)) from None
    return DoctorData(words[0], data, done.code)


def _text(words: list[str], with_data: bool = False) -> DoctorText:
    data = None
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        answer = Path(folder) / "answer.json"
        more = ["--output", "-", "--output", str(answer)] if with_data else []
        with Ticker() as ticker:
            done = run.run([*words, *more], ticker.say)
        if answer.is_file():
            data = json.loads(answer.read_text(encoding="utf-8"))
    if done.interrupted:
        raise KeyboardInterrupt
    if done.code == 2 and not done.out.strip():
        raise MagicUsageError(_complaint(done))
    # Some have nothing to print, and say why.
    return DoctorText(done.out or done.err, done.code, data)


def _complaint(done: run.Done) -> str:
    """Return what the command said last, without the name of an error class around it."""
    said = done.err.strip() or done.out.strip() or f"it ended with exit code {done.code}"
    return said.removeprefix("error: ")
