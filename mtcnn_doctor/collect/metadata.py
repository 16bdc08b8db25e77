"""Level 1: what the machine and the target's files tell without importing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mtcnn_doctor.backends import MODULES_OF_INTEREST
from mtcnn_doctor.collect import early
from mtcnn_doctor.collect.launches import HOST_PROBES, host_launch, metadata_launch
from mtcnn_doctor.collect.request import Collected, Request, run_in_target
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.sandbox import Child, Ending, NotPython, TargetTooOld


def ask_host(request: Request, collected: Collected) -> None:
    """Ask the machine, from a child of the doctor's own interpreter."""
    launch = host_launch(request.timeout_s)
    try:
        ending = early.take(launch) or Child(launch, request.listener).run()
    except (NotPython, TargetTooOld) as problem:
        with collected.lock:
            collected.incomplete.append(f"machine: {problem}")
        return
    collected.take(ending)
    note_unfinished(collected, ending, HOST_PROBES)
    _note_silent_driver(collected, ending)


def _note_silent_driver(collected: Collected, ending: Ending) -> None:
    """Say it where the driver of the GPU never came back from what it was asked last."""
    gpu = collected.facts.get("gpu") or {}
    if gpu.get("nvml") != "asked":
        return
    if ending.timed_out is not None:
        what = f"did not return within {ending.limit_s:g} s"
        if ending.outlived_kill:
            what += ", and its process could not be killed: it waits inside the kernel"
    else:
        what = f"ended the process with {ending.signal or f'exit code {ending.exit_code}'}"
    gpu.update(nvml="no-answer", nvml_error=f"{ending.step or 'the driver'} {what}")
    with collected.lock:
        collected.incomplete.append(f"gpu: {gpu['nvml_error']}")


def ask_memory(request: Request, collected: Collected) -> None:
    """Ask the machine how much memory may be used, and nothing else."""
    launch = host_launch(request.timeout_s)
    launch = replace(launch, orders={**launch.orders, "probes": ["memory"]})
    collected.take(Child(launch, request.listener).run())


def ask_metadata(request: Request, collected: Collected) -> None:
    """Collect what can be told of the target without importing anything of the field.

    Raises:
        UsageError: the target is no Python, too old, or holds nothing to examine.
    """
    launch = metadata_launch(
        request.target.python,
        request.target.environment,
        [str(path) for path in request.images],
        request.timeout_s,
    )
    ending = early.take(launch) or run_in_target(request, launch)
    collected.take(ending)
    if ending.last("hello") is None:
        collected.facts["startup"] = {
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "timed_out": ending.timed_out is not None,
            "python_traceback": list(ending.python_frames[:10]),
            "stderr_tail": ending.stderr[-2000:],
            "executable": request.target.python,
        }
        return
    note_unfinished(collected, ending, launch.orders["probes"])
    image = collected.facts.pop("image", None)
    if image is not None:
        collected.facts["images"] = image["images"]
    modules = (collected.facts.get("packages") or {}).get("modules")
    if modules is not None and not any(
        (modules.get(name) or {}).get("found") for name in MODULES_OF_INTEREST
    ):
        raise UsageError(
            f"nothing to examine: {request.target.python} has none of "
            f"{', '.join(MODULES_OF_INTEREST)}; name another interpreter with --python"
        )


def note_unfinished(collected: Collected, ending: Ending, probes: Sequence[str]) -> None:
    """Remember the probes that a child was ordered to make and never answered."""
    told = {message["name"] for message in ending.of("fact") + ending.of("probe-failed")}
    for probe in probes:
        if probe in told:
            continue
        if ending.timed_out is not None:
            reason = "its time limit passed"
        else:
            reason = f"its process ended with {ending.signal or f'exit code {ending.exit_code}'}"
        with collected.lock:
            collected.probes_failed.append({"probe": probe, "reason": reason})
