"""A child under a native debugger: how it is started there, and what the debugger said.

The child runs in gdb from its start: attaching to another process is forbidden on many machines,
and a process that dies leaves no time for it. gdb stops where the first signal strikes, where the
process calls exit, or (for one that hangs) where the doctor interrupts it, prints its stacks and
ends the process.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtcnn_doctor.sandbox.libraries import describe

#: Variables that would change the debugger itself, which has a Python of its own.
_NOT_FOR_THE_DEBUGGER = re.compile(r"^(PYTHON.*|LD_.*|GLIBC_TUNABLES|MALLOC_.*)$")
_MARK = "@@ mtcnn-doctor"
#: Frames of the thread that died, and of each other thread.
_DEPTH, _DEPTH_OF_OTHERS = 60, 12
_SETTINGS = (
    "set debuginfod enabled off",
    "set auto-load python-scripts off",
    "set auto-load local-gdbinit off",
)
_COMMANDS = (
    "set pagination off",
    "set width 0",
    "set height 0",
    "set print thread-events off",
    # The values of arguments are long, and may be secret.
    "set print frame-arguments none",
    "set print inferior-events off",
    "handle SIGUSR1 SIGUSR2 SIGPIPE SIGCHLD nostop noprint pass",
    # A process may end without any signal: somebody called exit() or _exit().
    "catch syscall exit_group",
    "run",
    # The stack that matters comes last: of a long text the end is kept.
    f"echo \\n{_MARK} threads\\n",
    f"thread apply all bt {_DEPTH_OF_OTHERS}",
    f"echo \\n{_MARK} libraries\\n",
    "info sharedlibrary",
    f"echo \\n{_MARK} backtrace\\n",
    f"bt {_DEPTH}",
    f"echo \\n{_MARK} end\\n",
    "kill",
)
_FRAME = re.compile(r"^#\d+\s+(?:0x[0-9a-f]+ in )?(.*?) \([^()]*\)(?: (?:at|from) (.*))?$")
_THREAD = re.compile(r"^Thread \d+ \(Thread (0x[0-9a-f]+)")
_SIGNAL = re.compile(r"received signal (SIG\w+)")
_LIBRARY = re.compile(r"^(?:0x\S+\s+0x\S+|\s+)\s+(?:Yes|No)[ (*)]*\s(/.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Stacks:
    """What the debugger said. ``text`` is all of it; ``frames`` are of the thread that died.

    ``threads`` are all of them, by the number under which Python knows them, to less depth.
    """

    signal: str | None
    frames: tuple[dict[str, str], ...]
    threads: dict[int, tuple[dict[str, str], ...]]
    runtimes: tuple[dict[str, str], ...]
    text: str


def find_debugger() -> str | None:
    """Return the path of gdb, None where it is not installed."""
    return shutil.which("gdb")


def under(
    debugger: str, command: Sequence[str], environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return the command and environment that run a command in the debugger.

    The debugger starts without what the examined process is to be started with; ``env`` brings
    that back for the process alone.
    """
    moved = {key: value for key, value in environment.items() if _NOT_FOR_THE_DEBUGGER.match(key)}
    kept = {key: value for key, value in environment.items() if key not in moved}
    arguments = [debugger, "-nx", "-batch"]
    for text in _SETTINGS:
        arguments += ["-iex", text]
    for text in _COMMANDS:
        arguments += ["-ex", text]
    assigned = [f"{key}={value}" for key, value in moved.items()]
    return (
        [*arguments, "--args", shutil.which("env") or "/usr/bin/env", *assigned, *command],
        # gdb starts the program through this shell.
        {**kept, "SHELL": "/bin/sh"},
    )


def stacks_in(stdout: str) -> Stacks | None:
    """Return what the debugger said, None where it never came to stop the process."""
    before, _, rest = stdout.partition(f"{_MARK} threads")
    threads, _, rest = rest.partition(f"{_MARK} libraries")
    loaded, _, rest = rest.partition(f"{_MARK} backtrace")
    stack, _, _ = rest.partition(f"{_MARK} end")
    frames = _frames(stack)
    if not frames:
        return None
    signals = _SIGNAL.findall(before)
    # gdb names them as the loader was asked for them; a process map has real paths.
    paths = (os.path.realpath(match[1].strip()) for match in _LIBRARY.finditer(loaded))
    return Stacks(
        signal=signals[-1] if signals else None,
        frames=frames,
        threads=_threads(threads),
        runtimes=tuple(row for row in describe(paths) if "runtime" in row),
        text="\n\n".join(
            (stack.strip(), "All threads", threads.strip(), "Libraries", loaded.strip())
        ),
    )


def _frames(text: str) -> tuple[dict[str, str], ...]:
    matches = (_FRAME.match(line) for line in text.splitlines())
    return tuple({"function": m[1], "where": m[2] or ""} for m in matches if m)


def _threads(text: str) -> dict[int, tuple[dict[str, str], ...]]:
    found = {}
    for part in re.split(r"^(?=Thread \d+ \()", text, flags=re.MULTILINE):
        head = _THREAD.match(part)
        if head:
            found[int(head[1], 16)] = _frames(part)
    return found
