"""The death certificate: what an exit status, a fault report and the stderr of a child mean."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Mapping
from typing import Any

#: Windows reports a fatal exception as an NTSTATUS exit code.
_NTSTATUS = {
    0xC0000005: "SIGSEGV",
    0xC000001D: "SIGILL",
    0xC0000094: "SIGFPE",
    0xC0000095: "SIGFPE",
    0xC00000FD: "SIGSEGV",
    0xC0000374: "SIGABRT",
    0xC0000409: "SIGABRT",
    0xC0000017: "SIGKILL",
}

#: What each signal means, in words an engineer would use.
MEANINGS = {
    "SIGSEGV": "segmentation fault: native code touched memory that is not its own",
    "SIGABRT": "abort: native code or the C library stopped the process on purpose",
    "SIGBUS": "bus error: memory-mapped data vanished or was misaligned",
    "SIGILL": "illegal instruction: the processor does not know an instruction of the library",
    "SIGFPE": "arithmetic fault, usually an integer division by zero in native code",
    "SIGKILL": "killed from outside",
    "SIGTERM": "asked to end from outside",
    "SIGXCPU": "the CPU time limit (ulimit -t) was reached",
    "SIGSYS": "a system call is forbidden here (seccomp)",
    "SIGTRAP": "a breakpoint or an assertion of a library",
}


def exit_code(returncode: int) -> int:
    """Return an exit status in the shell's habit: 128 + n for death by signal n."""
    return 128 - returncode if returncode < 0 else returncode


def signal_name(returncode: int) -> str | None:
    """Return the signal a process died of (``"SIGSEGV"``), or None when it exited."""
    if returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
    if sys.platform == "win32":
        return _NTSTATUS.get(returncode & 0xFFFFFFFF)
    return None


_FRAME = re.compile(r'^  File "(?P<file>[^"]*)", line (?P<line>\d+|\?\?\?) in (?P<function>.*)$')
_MOST_THREADS = 64
_NUMBER = re.compile(r"0x[0-9a-f]+")
#: Lines that belong to our own thread, which listens for the doctor.
_OUR_THREAD = re.compile(r"mtcnn_doctor/target/channel\.py$")


def python_frames(fault_text: str) -> list[dict[str, Any]]:
    """Return the Python frames of the faulting thread, innermost first, from faulthandler's text.

    See :func:`python_threads` for which thread that is.
    """
    threads = python_threads(fault_text)
    frames: list[dict[str, Any]] = threads[0]["frames"] if threads else []
    return frames


def python_threads(fault_text: str) -> list[dict[str, Any]]:
    """Return every thread with its frames, innermost first, but for the doctor's own listener.

    The thread that the report is about comes first and is marked ``current``: the one that
    faulthandler calls so. Where it names none, or our listener, it is the longest; where a hanging
    process was asked for its stacks while its main thread waits for lanes, a lane that works.
    """
    told = [thread for thread in _threads(fault_text) if thread["frames"]]
    # The last report wins: one asked for while hanging may be followed by a fatal one.
    last = {t["thread"]: t for t in told if not _is_listener(t["frames"])}
    if not last:
        return []
    named = [thread["thread"] for thread in told if thread["current"]]
    longest = max(last, key=lambda number: len(last[number]["frames"]))
    chosen = named[-1] if named and named[-1] in last else longest
    if "Fatal Python error" not in fault_text and _stands_in(last[chosen], "map"):
        working = [number for number, thread in last.items() if _stands_in(thread, "piece")]
        chosen = max(working, key=lambda number: len(last[number]["frames"]), default=chosen)
    order = [chosen, *(number for number in last if number != chosen)][:_MOST_THREADS]
    return [
        {"thread": number, "current": number == chosen, "frames": last[number]["frames"][:40]}
        for number in order
    ]


def _stands_in(thread: dict[str, Any], function: str) -> bool:
    """Whether a thread is inside a function of ``target/tasks/stages.py``."""
    return any(
        frame["function"] == function
        and frame["file"].replace("\\", "/").endswith("mtcnn_doctor/target/tasks/stages.py")
        for frame in thread["frames"]
    )


def _threads(fault_text: str) -> list[dict[str, Any]]:
    threads: list[dict[str, Any]] = []
    for line in fault_text.splitlines():
        if line.startswith(("Current thread", "Thread 0x", "Stack (most recent call first)")):
            number = _NUMBER.search(line)
            threads.append(
                {
                    "thread": number[0] if number else "",
                    "current": line.startswith("Current"),
                    "frames": [],
                }
            )
        elif threads and (match := _FRAME.match(line)):
            at = match["line"]
            threads[-1]["frames"].append(
                {
                    "file": match["file"],
                    "line": int(at) if at.isdigit() else None,
                    "function": match["function"].strip(),
                }
            )
    return threads


def _is_listener(frames: list[dict[str, Any]]) -> bool:
    return any(
        frame["function"] == "_listen" and _OUR_THREAD.search(frame["file"].replace("\\", "/"))
        for frame in frames[:3]
    )


#: Words on stderr by which native code says that memory ran out before it aborted.
_NATIVE_OOM = re.compile(
    # Of static TLS there is little, however much memory there is.
    r"std::bad_alloc|out of memory|cannot allocate memory(?! in static TLS)|can't allocate memory"
    r"|failed to allocate|MemoryError|OpenBLAS.*(?:allocation|memory)",
    re.IGNORECASE,
)


def says_out_of_memory(stderr: str) -> str | None:
    """Return the line of a stderr text that says memory ran out, or None."""
    for line in reversed(stderr.splitlines()):
        if _NATIVE_OOM.search(line):
            return line.strip()[:300]
    return None


def killed_for_memory(memory: Mapping[str, Any]) -> str | None:
    """Return the evidence that a SIGKILL came from the out-of-memory killer, or None.

    A SIGKILL leaves no word behind. Counted as evidence: the kernel's count of kills rose
    between start and death, in the child's own cgroup or machine-wide together with a peak that
    was near what was available.
    """
    before, after = memory.get("cgroup_oom_kills_before"), memory.get("cgroup_oom_kills_after")
    if before is not None and after is not None and after > before:
        return f"the cgroup's oom_kill count rose from {before} to {after}"
    before, after = memory.get("system_oom_kills_before"), memory.get("system_oom_kills_after")
    if before is not None and after is not None and after > before:
        return f"the kernel's oom_kill count rose from {before} to {after}"
    return None
