"""Turning an exception in the target into plain facts."""

from __future__ import annotations

import os
import re
import traceback
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))

#: How libraries word a failed allocation when they raise something other than MemoryError.
_MEMORY_WORDS = re.compile(
    # Of static TLS, the loader's room for thread-local variables, there is little on any machine.
    r"can't allocate memory|cannot allocate memory(?! in static TLS)|out of memory"
    r"|std::bad_alloc|bad allocation"
    r"|failed to allocate|unable to allocate|failed to map segment|ResourceExhausted"
    r"|OOM when allocating",
    re.IGNORECASE,
)


def is_memory_failure(error: BaseException) -> bool:
    """Whether an exception, or one it was raised from, says that memory ran out."""
    if isinstance(error, (RuntimeError, OSError, SystemError)) and address_space_is_full():
        # Libraries such as oneDNN report a failed allocation as some general failure.
        return True
    seen = 0
    current: Any = error
    while current is not None and seen < 10:
        text = f"{type(current).__name__}: {current}"
        if isinstance(current, MemoryError) or _MEMORY_WORDS.search(text):
            return True
        current = current.__cause__ or current.__context__
        seen += 1
    return False


def address_space_is_full() -> bool:
    """Whether this process once came near its limit of address space (``ulimit -v``)."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return False
        with open("/proc/self/status") as status:
            peaks = [int(line.split()[1]) for line in status if line.startswith("VmPeak:")]
    except (ImportError, OSError, ValueError):
        return False
    # The allocation that failed is not in the peak; a tenth of the limit is a guess at its size.
    return bool(peaks) and peaks[0] * 1024 > 0.9 * limit


def describe(error: BaseException) -> dict[str, Any]:
    """Return type, message, last line and frames (innermost first) of an exception."""
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:
        message = "(its text could not be produced)"
    return {
        "type": kind,
        "message": message[:4000],
        "last_line": "{}: {}".format(kind, message.strip().splitlines()[-1] if message else ""),
        "traceback": frames(error),
    }


def frames(error: BaseException) -> list[dict[str, Any]]:
    """Return the frames of an exception, innermost first, at most 40."""
    found = [
        {"file": frame.filename, "line": frame.lineno, "function": frame.name}
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib")
    ]
    found.reverse()
    return found[:40]
