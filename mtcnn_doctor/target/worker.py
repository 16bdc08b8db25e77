"""The worker: reads its orders, carries out one task, and leaves traces for the case of death.

Orders (``orders.json`` in the run folder) name a ``task`` from :data:`TASKS`; everything a task
finds out goes through the :class:`~.channel.Channel`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from typing import Any, Callable

from .channel import Channel


def _facts(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import facts

    facts.perform(channel, orders)


def _reference(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import reference

    reference.perform(channel, orders)


def _modules(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import modules

    modules.perform(channel, orders)


def _pictures(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import pictures

    pictures.perform(channel, orders)


def _divergence(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import divergence

    divergence.perform(channel, orders)


def _subject(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import subject

    subject.perform(channel, orders)


def _subject_divergence(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import subject_divergence

    subject_divergence.perform(channel, orders)


def _rate(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import rate

    rate.perform(channel, orders)


def _scene(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import scene

    scene.perform(channel, orders)


def _frames(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import frames

    frames.perform(channel, orders)


def _weight_files(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import weight_files

    weight_files.inspect(channel, orders)


def _convert_weights(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import weight_files

    weight_files.convert(channel, orders)


def _export(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import export

    export.perform(channel, orders)


def _verify_export(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import verify_export

    verify_export.perform(channel, orders)


def _serve(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import serve

    serve.perform(channel, orders)


def _decode(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import decode

    decode.perform(channel, orders)


def _arrays(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import arrays

    arrays.perform(channel, orders)


def _look(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import look

    look.perform(channel, orders)


def _trials(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import trials

    trials.perform(channel, orders)


def _cell(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import cell

    cell.perform(channel, orders)


def _sweep(channel: Channel, orders: dict[str, Any]) -> None:
    from .tasks import sweep

    sweep.perform(channel, orders)


#: Imported only when ordered: a child that collects metadata must not load the cascade.
TASKS: dict[str, Callable[[Channel, dict[str, Any]], None]] = {
    "facts": _facts,
    "modules": _modules,
    "reference": _reference,
    "pictures": _pictures,
    "divergence": _divergence,
    "subject": _subject,
    "subject-divergence": _subject_divergence,
    "rate": _rate,
    "scene": _scene,
    "frames": _frames,
    "weight-files": _weight_files,
    "convert-weights": _convert_weights,
    "export": _export,
    "verify-export": _verify_export,
    "serve": _serve,
    "cell": _cell,
    "sweep": _sweep,
    "decode": _decode,
    "arrays": _arrays,
    "look": _look,
    "trials": _trials,
}


def _prepare_for_death(fault_fd: int) -> None:
    """Send Python stacks of fatal signals to the doctor, and write no core file."""
    faulthandler.enable(file=fault_fd, all_threads=True)
    if hasattr(faulthandler, "register") and hasattr(signal, "SIGUSR1"):
        # The doctor asks with SIGUSR1 where a child hangs; works even inside C code.
        faulthandler.register(signal.SIGUSR1, file=fault_fd, all_threads=True)
    try:
        import resource

        # A core dump of a framework takes gigabytes and seconds. The hard limit stays.
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    except (ImportError, ValueError, OSError):
        pass


def main(arguments: list[str]) -> int:
    """Run the task that the orders name; return the exit code (0 whenever it was reported)."""
    run_folder = arguments[0]
    answers_fd, go_fd, fault_fd = (_descriptor(text) for text in arguments[1:4])
    _prepare_for_death(fault_fd)
    channel = Channel(run_folder, answers_fd, go_fd)
    channel.enter("start")
    channel.send(
        "hello",
        pid=os.getpid(),
        version=".".join(str(part) for part in sys.version_info[:3]),
        executable=sys.executable,
    )
    with open(os.path.join(run_folder, "orders.json"), encoding="utf-8") as file:
        orders = json.load(file)
    try:
        TASKS[orders["task"]](channel, orders)
    except BaseException as error:  # the doctor wants every failure as an answer
        channel.send_failure(error)
    channel.enter("shutdown")
    channel.send("end")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed by the code under examination; nothing of ours is in there
    return 0


def _descriptor(text: str) -> int:
    """Return a descriptor from its number; on Windows the text is an inherited handle."""
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.open_osfhandle(int(text), os.O_BINARY)
    return int(text)
