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
#: Lines that belong to our own thread, which listens for the doctor.
_OUR_THREAD = re.compile(r"mtcnn_doctor/target/channel\.py$")


def python_frames(fault_text: str) -> list[dict[str, Any]]:
    """Return the Python frames of the faulting thread, innermost first, from faulthandler's text.

    The thread that faulthandler calls current is taken; where it names none (a report asked for
    from outside), the longest thread that is not the doctor's own listener.
    """
    threads: list[tuple[bool, list[dict[str, Any]]]] = []
    for line in fault_text.splitlines():
        if line.startswith(("Current thread", "Thread 0x", "Stack (most recent call first)")):
            threads.append((line.startswith("Current"), []))
        elif threads and (match := _FRAME.match(line)):
            number = match["line"]
            threads[-1][1].append(
                {
                    "file": match["file"],
                    "line": int(number) if number.isdigit() else None,
                    "function": match["function"].strip(),
                }
            )
    current = [frames for is_current, frames in threads if is_current and frames]
    if current:
        # The last report wins: one asked for while hanging may be followed by a fatal one.
        chosen = current[-1]
        if not _is_listener(chosen):
            return chosen[:40]
    others = [frames for _, frames in threads if frames and not _is_listener(frames)]
    return max(others, key=len)[:40] if others else []


def _is_listener(frames: list[dict[str, Any]]) -> bool:
    return any(
        frame["function"] == "_listen" and _OUR_THREAD.search(frame["file"].replace("\\", "/"))
        for frame in frames[:3]
    )


#: Words on stderr by which native code says that memory ran out before it aborted.
_NATIVE_OOM = re.compile(
    r"std::bad_alloc|out of memory|cannot allocate memory|can't allocate memory"
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
