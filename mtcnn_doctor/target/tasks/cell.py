"""Task ``cell``: run one cell of a notebook, in place of the kernel that sent it.

Arrays go in and out through memory that both processes map: pickle (protocol 5) hands them over out
of band, whatever object they are in. What is printed or shown is sent as it comes.
"""

from __future__ import annotations

import ast
import base64
import builtins
import importlib
import inspect
import linecache
import mmap
import os
import pickle
import struct
import sys
import traceback
import types
from typing import Any, Iterator

from ..channel import Channel
from ..failures import describe, is_memory_failure

#: The name of the cell in tracebacks; the kernel reads it in the frames of the dead.
FILE = "<guarded cell>"
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
#: What an object may offer beside its text, in the words of IPython.
_SHAPES = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
}
#: Bytes of a length in the memory, and what buffers are aligned to.
_LENGTH, _ALIGNED = 8, 64


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Run ``code`` and send ``output``, ``shown``, ``raised`` and ``outputs``.

    Orders: ``code``, ``sys_path``, ``imports`` (name to [module, attribute or None]), ``inputs``
    and ``outputs`` (files of memory, and the names that are wanted), ``memory`` (bytes, or None).
    """
    _volunteer()
    if orders.get("memory"):
        _limit(int(orders["memory"]))
    sys.path[:] = orders["sys_path"]
    sys.stdout = _Sent(channel, "stdout")
    sys.stderr = _Sent(channel, "stderr")
    channel.send("phase", name="cell")
    # Classes of the cell must be found under the name of their module.
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    space: dict[str, Any] = module.__dict__
    space["__builtins__"] = builtins

    def display(*things: Any) -> None:
        for thing in things:
            channel.send("shown", data=_shapes_of(thing))

    space["display"] = display
    try:
        channel.enter("cell", "its imports")
        for name, (owner, attribute) in orders["imports"].items():
            value = importlib.import_module(owner)
            space[name] = value if attribute is None else getattr(value, attribute)
        channel.enter("cell", "its inputs")
        space.update(_loaded(orders["inputs"]))
        for line, value in _executed(channel, orders["code"], space):
            channel.enter("cell", f"showing line {line}")
            if value is not None:
                channel.send("result", data=_shapes_of(value))
        _figures(channel)
        channel.enter("cell", "its outputs")
        _hand_over(channel, orders, space)
    except BaseException as error:
        _figures(channel)
        channel.send("raised", out_of_memory=is_memory_failure(error), **_told(error))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _volunteer() -> None:
    """Ask the system to end this process, and not the kernel, when memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # another system, or not allowed


def _limit(size: int) -> None:
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
    except (ImportError, ValueError, OSError):
        pass  # the kernel watches it as well


class _Sent:
    """A text stream whose text goes to the kernel as it comes."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel, self.name = channel, name

    def write(self, text: str) -> int:
        if text:
            self._channel.send("output", name=self.name, text=str(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        pass  # nothing is held back

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1 if self.name == "stdout" else 2

    closed = False


class _Loop:
    """Runs code in a namespace; what awaits at its top level, as notebooks may, in one loop."""

    def __init__(self, space: dict[str, Any]) -> None:
        self._space = space
        self._loop: Any = None

    def run(self, code: types.CodeType) -> Any:
        if not code.co_flags & inspect.CO_COROUTINE:
            return eval(code, self._space)
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(eval(code, self._space))

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()


def _executed(channel: Channel, code: str, space: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    """Run a cell statement by statement; yield the value of a last expression.

    The breadcrumb names the statement, for a death that leaves no frames.
    """
    lines = code.splitlines(True)
    linecache.cache[FILE] = (len(code), None, lines, FILE)
    statements = ast.parse(code, FILE).body
    quiet = code.rstrip().endswith(";")
    loop = _Loop(space)
    for number, statement in enumerate(statements):
        line = statement.lineno
        channel.enter("cell", f"line {line}: {lines[line - 1].strip()[:200]}")
        last = number == len(statements) - 1
        if last and isinstance(statement, ast.Expr) and not quiet:
            yield line, loop.run(compile(ast.Expression(statement.value), FILE, "eval", _AWAIT))
        else:
            module = ast.Module(body=[statement], type_ignores=[])
            loop.run(compile(module, FILE, "exec", _AWAIT))
    loop.close()


def _shapes_of(thing: Any) -> dict[str, str]:
    """Return what a notebook can show of an object, by media type."""
    found: dict[str, str] = {}
    for method, kind in _SHAPES.items():
        try:
            value = getattr(thing, method)() if not isinstance(thing, type) else None
        except Exception:  # foreign code; the text is left
            continue
        value = value[0] if isinstance(value, tuple) else value
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode("ascii")
        if isinstance(value, str):
            found[kind] = value
    found["text/plain"] = repr(thing)
    return found


def _figures(channel: Channel) -> None:
    """Send the open figures of matplotlib, as a notebook shows them after a cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    import io

    try:
        for number in pyplot.get_fignums():
            page = io.BytesIO()
            pyplot.figure(number).savefig(page, format="png", bbox_inches="tight")
            data = base64.b64encode(page.getvalue()).decode("ascii")
            channel.send("shown", data={"image/png": data, "text/plain": "<Figure>"})
        pyplot.close("all")
    except Exception as error:
        said = describe(error)["last_line"]
        channel.send("output", name="stderr", text=f"figures: {said}\n")


def _told(error: BaseException) -> dict[str, Any]:
    """Return an exception with its traceback from the cell on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != FILE:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace or None)
    return {
        "error": describe(error),
        "name": getattr(error, "name", None) if isinstance(error, NameError) else None,
        "text": "".join(lines),
    }


# -- values ---------------------------------------------------------------------------------------


def _loaded(file: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs; their arrays are views of the mapped memory."""
    if not file["size"]:
        return {}
    with open(file["path"], "r+b") as stream:
        # A private mapping: what the cell writes into its inputs stays with the cell.
        memory = memoryview(mmap.mmap(stream.fileno(), file["size"], access=mmap.ACCESS_COPY))
    stem, *buffers = list(_pieces(memory))
    values: dict[str, Any] = pickle.loads(stem, buffers=buffers)
    return values


def _pieces(memory: memoryview) -> Iterator[memoryview]:
    """Yield what :func:`packed` has put into memory."""
    (count,) = struct.unpack_from("<Q", memory, 0)
    lengths = struct.unpack_from(f"<{count}Q", memory, _LENGTH)
    start = _LENGTH * (1 + count)
    for length in lengths:
        start = -(-start // _ALIGNED) * _ALIGNED
        yield memory[start : start + length]
        start += length


def packed(pieces: list[Any]) -> tuple[int, bytes, list[int]]:
    """Return the bytes needed for pieces, the header, and where each piece begins."""
    lengths = [len(piece) for piece in pieces]
    header = struct.pack(f"<{1 + len(pieces)}Q", len(pieces), *lengths)
    start, places = len(header), []
    for length in lengths:
        start = -(-start // _ALIGNED) * _ALIGNED
        places.append(start)
        start += length
    return start, header, places


def _hand_over(channel: Channel, orders: dict[str, Any], space: dict[str, Any]) -> None:
    """Put the outputs into the kernel's memory, and say how much there is."""
    wanted = orders["outputs"]
    missing = [name for name in wanted["names"] if name not in space]
    refused: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name in wanted["names"]:
        if name in missing:
            continue
        try:
            pickle.dumps(space[name], protocol=5, buffer_callback=lambda _: None)
            values[name] = space[name]
        except Exception as error:  # whatever a foreign __reduce__ raises
            refused[name] = describe(error)["last_line"]
    size = 0
    if values:
        kept: list[pickle.PickleBuffer] = []
        stem = pickle.dumps(values, protocol=5, buffer_callback=kept.append)
        pieces = [memoryview(stem), *(buffer.raw() for buffer in kept)]
        size, header, places = packed(pieces)
        with open(wanted["path"], "r+b") as stream:
            os.ftruncate(stream.fileno(), size)
            with mmap.mmap(stream.fileno(), size) as memory:
                memory[: len(header)] = header
                for piece, place in zip(pieces, places):
                    memory[place : place + len(piece)] = piece
    channel.send("outputs", size=size, missing=missing, refused=refused)
