"""Children started while the command line is still being loaded.

Loading typer and the checks takes as long as collecting the metadata. A plain ``check`` therefore
sends its first two children out beforehand; if they turn out not to be what is wanted, they are
dropped, and nothing but a little work was lost.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mtcnn_doctor.collect.launches import DEFAULT_TIMEOUT_S, host_launch, metadata_launch
from mtcnn_doctor.sandbox import Child, Ending, Launch

#: When the user's wait began, as near as can be told from inside.
BEGAN = time.monotonic()

#: Options with which the first children would be others, or none.
_OTHERWISE = (
    "--python", "--kernel", "--facts", "--requirements", "--image", "--timeout", "--select",
    "--help",
)  # fmt: skip


@dataclass
class _Started:
    launch: Launch
    child: Child
    endings: list[Ending] = field(default_factory=list)
    thread: threading.Thread | None = None

    def run(self) -> None:
        try:
            self.endings.append(self.child.run())
        except Exception:
            # Whoever wants this child finds no ending, sends another, and meets the error there.
            pass


_started: list[_Started] = []


def start(arguments: Sequence[str]) -> None:
    """Send out the first children of a command line, if it is a plain ``check``."""
    if arguments[:1] != ["check"]:
        return
    if any(argument.startswith(_OTHERWISE) for argument in arguments):
        return
    for launch in (
        metadata_launch(sys.executable, {}, (), DEFAULT_TIMEOUT_S),
        host_launch(DEFAULT_TIMEOUT_S),
    ):
        one = _Started(launch, Child(launch))
        one.thread = threading.Thread(target=one.run, daemon=True)
        _started.append(one)
        one.thread.start()


def take(launch: Launch) -> Ending | None:
    """Return the ending of a child that was started early with the same orders, once."""
    for one in _started:
        if one.launch == launch and one.thread is not None:
            _started.remove(one)
            one.thread.join()
            return one.endings[0] if one.endings else None
    return None


def drop() -> None:
    """Kill the children that nobody took."""
    while _started:
        one = _started.pop()
        one.child.cancel()
        if one.thread is not None:
            one.thread.join(5.0)
