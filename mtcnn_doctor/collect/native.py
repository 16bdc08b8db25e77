"""What crashed or hung once more, under a native debugger."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mtcnn_doctor.collect.request import Request, ask_child
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Exhibit, Outcome, Run
from mtcnn_doctor.sandbox import Ending
from mtcnn_doctor.sandbox.native import Stacks, find_debugger, stacks_in

#: Runs under the debugger before it is said that the fault does not come back there.
_TRIES = 3
#: What the debugger takes for itself, in each phase of a run: it reads the symbols of everything.
_ALLOWANCE_S = 60.0
_HANG = Outcome.TIMEOUT


def looked_at(
    request: Request,
    run: Run,
    orders: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Return a run with what a debugger shows of its fault; as it is where that was not asked for.

    Args:
        request: Says whether it was asked for, and names the target.
        run: A run that ended; of interest are a crash, a hang and an abort for want of memory.
        orders: The orders of its child.
        environment: What was set in its environment beside the target's.
    """
    died = run.outcome in (Outcome.CRASH, Outcome.OUT_OF_MEMORY)
    # Nothing is learned from where a kill from outside struck, or where Python raised.
    if run.outcome is Outcome.OUT_OF_MEMORY and run.error is not None:
        died = False
    if not request.native or run.signal == "SIGKILL" or not (died or run.outcome is _HANG):
        return run
    if sys.platform != "linux":
        return replace(run, native={"state": "refused", "said": "it is done on Linux only"})
    debugger = find_debugger()
    if debugger is None:
        return replace(run, native={"state": "no-debugger"})
    patient = request
    if run.outcome is not _HANG:
        patient = replace(request, timeout_s=request.timeout_s + _ALLOWANCE_S)
    for tries in range(1, _TRIES + 1):
        try:
            ending = ask_child(
                patient,
                f"{run.name}, under gdb",
                orders,
                environment=environment,
                debugger=debugger,
            )
        except UsageError as error:
            return replace(run, native={"state": "refused", "said": str(error)})
        stacks = stacks_in(ending.stdout)
        if stacks is None:
            lines = [line for line in ending.stderr.splitlines() if line.strip()]
            said = lines[-1].strip()[:300] if lines else f"gdb ended with code {ending.exit_code}"
            return replace(run, native={"state": "refused", "said": said})
        # At the end of a run that went well it stands in exit().
        if not ending.completed or stacks.signal is not None:
            return _found(run, stacks, ending, tries)
    return replace(run, native={"state": "not-reproduced", "tries": _TRIES})


def _found(run: Run, stacks: Stacks, ending: Ending, tries: int) -> Run:
    frames = stacks.frames
    if run.outcome is _HANG and ending.python_threads:
        # The interrupt reaches the main thread, which may only be waiting for the lanes.
        number = int(ending.python_threads[0]["thread"] or "0", 16)
        frames = stacks.threads.get(number, frames)
    found = {
        "state": "found",
        "tries": tries,
        # SIGINT is ours: a process that hangs was interrupted.
        "signal": None if run.outcome is _HANG else stacks.signal,
        "stage": ending.stage,
        "same": run.outcome is _HANG or stacks.signal == run.signal,
        "frames": list(frames),
        "runtimes": list(stacks.runtimes),
    }
    exhibit = replace(run.exhibit or Exhibit(), native=stacks.text)
    return replace(run, native=found, exhibit=exhibit)
