"""``%%mtcnn_guard``: a cell that may die without taking the kernel along."""

from __future__ import annotations

import pickle
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from mtcnn_doctor.notebook.certificate import CellDied, CellRaised, certificate
from mtcnn_doctor.notebook.memory import Memory
from mtcnn_doctor.sandbox import Child, Ending, Launch

#: Nobody asked for a limit: a cell may train for a week.
_NO_LIMIT_S = 10e6
_LOOK_EVERY_S = 0.1


class NotGiven(Exception):
    """A variable of the notebook cannot go into another process."""


@dataclass(frozen=True)
class Orders:
    """A cell, and what goes with it. ``memory``: bytes, None for no limit."""

    code: str
    inputs: Mapping[str, Any]
    outputs: Sequence[str]
    imports: Mapping[str, tuple[str, str | None]]
    timeout_s: float | None = None
    memory: int | None = None


def run(orders: Orders, hear: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run a cell in a child and return its outputs.

    ``hear`` gets what it prints and shows, as it comes, in this thread.

    Raises:
        CellRaised: an exception ended the cell.
        CellDied: the process died, hung or took too much memory.
        KeyboardInterrupt: after the child was killed.
    """
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        given, taken = Memory(folder), Memory(folder)
        try:
            _fill(given, orders.inputs)
            return _run(orders, hear, given, taken)
        finally:
            given.close()
            taken.close()


def _run(
    orders: Orders, hear: Callable[[dict[str, Any]], None], given: Memory, taken: Memory
) -> dict[str, Any]:
    launch = Launch(
        sys.executable,
        {
            "task": "cell",
            "code": orders.code,
            "sys_path": [entry for entry in sys.path if isinstance(entry, str)],
            "imports": {name: list(place) for name, place in orders.imports.items()},
            "inputs": {"path": given.path, "size": given.size},
            "outputs": {"path": taken.path, "names": list(orders.outputs)},
            "memory": orders.memory,
        },
        "cell",
        timeout_s=orders.timeout_s or _NO_LIMIT_S,
        # The kernel's own backend draws into the kernel, which is elsewhere.
        environment={"MPLBACKEND": "agg"},
    )
    child = Child(launch, lambda _, message: hear(message))
    watch = _Watch(child, orders.memory)
    with watch:
        ending = child.run()
    for name, text in (("stdout", ending.stdout), ("stderr", ending.stderr)):
        if text and not ending.signal:
            hear({"t": "output", "name": name, "text": text})  # of native code
    raised = ending.last("raised")
    if raised is not None:
        if raised["out_of_memory"] and orders.memory:
            limit = f"\n--memory allows {orders.memory / 2**20:.0f} MiB, and they were taken."
            raised = {**raised, "text": raised["text"] + limit}
        raise CellRaised(raised)
    if watch.over or not ending.completed or ending.returncode != 0 or ending.timed_out:
        raise CellDied(certificate(ending, orders.timeout_s, orders.memory, watch.over))
    return _outputs(ending, taken)


def _fill(memory: Memory, values: Mapping[str, Any]) -> None:
    """Put the inputs into memory.

    Raises:
        NotGiven: one of them cannot be handed over.
    """
    for name, value in values.items():
        own = getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__")
        if own:
            raise NotGiven(f"{name} is defined in the notebook: define it in the cell instead")
    try:
        memory.fill(values)
    except MemoryError:
        raise
    except Exception:  # whatever a foreign __reduce__ raises
        for name, value in values.items():
            try:
                pickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
            except Exception as problem:
                raise NotGiven(f"{name} cannot be handed over: {problem}") from None
        raise


def _outputs(ending: Ending, taken: Memory) -> dict[str, Any]:
    told = ending.last("outputs") or {"size": 0, "missing": [], "refused": {}}
    problems = [f"{name} is not defined in the cell" for name in told["missing"]]
    problems += [f"{name} cannot be handed over: {why}" for name, why in told["refused"].items()]
    try:
        values = taken.values(told["size"])
    except pickle.UnpicklingError as problem:
        text = f"%%mtcnn_guard -o: what the cell hands over cannot come back: {problem}"
        raise CellRaised({"text": text, "error": {}}) from None
    if problems:
        raised = CellRaised({"text": f"%%mtcnn_guard -o: {'; '.join(problems)}", "error": {}})
        raised.values = values
        raise raised
    return values


class _Watch:
    """Ends a child that holds more memory than it may; ``over`` is then what it held, in MiB."""

    def __init__(self, child: Child, limit: int | None) -> None:
        self._child, self._limit = child, limit
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.over: float | None = None

    def __enter__(self) -> _Watch:
        if self._limit is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _look(self) -> None:
        while not self._done.wait(_LOOK_EVERY_S):
            held = _held(self._child.pid)
            if self._limit is not None and held > self._limit:
                self.over = held / 2**20
                self._child.cancel()
                return


def _held(pid: int | None) -> int:
    """Return the memory of a process and of those it started, in bytes."""
    if pid is None:
        return 0
    total = 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            total += int(one.memory_info().rss)
    except psutil.Error:
        pass  # gone, or going
    return total


def imports_of(code: types.CodeType, space: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return the modules, and things out of modules, that a cell uses by names of the notebook.

    They are imported in the child again: ``np`` of an earlier cell is there without being handed
    over.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for name in _names(code):
        value = space.get(name)
        if isinstance(value, types.ModuleType):
            found[name] = (value.__name__, None)
            continue
        owner = getattr(value, "__module__", None)
        own = getattr(value, "__qualname__", "")
        module = sys.modules.get(owner) if isinstance(owner, str) else None
        if module is not None and owner != "__main__" and getattr(module, own, None) is value:
            found[name] = (str(owner), own)
    return found


def _names(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found
