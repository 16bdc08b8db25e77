"""What a process can tell of itself with the standard library: memory and mapped libraries."""

from __future__ import annotations

import os
import sys


def memory_mb() -> dict[str, float | None]:
    """Return resident memory now and at its peak, in MiB (None where the system hides it)."""
    found: dict[str, float | None] = {"rss_mb": None, "peak_rss_mb": None}
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    found["peak_rss_mb"] = int(line.split()[1]) / 1024
                elif line.startswith("VmRSS:"):
                    found["rss_mb"] = int(line.split()[1]) / 1024
        return found
    except OSError:
        pass
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts bytes, the other systems KiB.
        found["peak_rss_mb"] = peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
    except ImportError:
        pass
    return found


def mapped_libraries() -> list[str]:
    """Return the paths of the shared libraries mapped into this process, sorted."""
    try:
        with open("/proc/self/maps") as maps:
            fields = (line.split(None, 5) for line in maps)
            paths = {parts[5].strip() for parts in fields if len(parts) == 6}
    except OSError:
        return _mapped_libraries_macos() if sys.platform == "darwin" else []
    return sorted(path for path in paths if ".so" in os.path.basename(path))


def _mapped_libraries_macos() -> list[str]:
    import ctypes

    try:
        library = ctypes.CDLL(None)
        library._dyld_get_image_name.restype = ctypes.c_char_p
        count = library._dyld_image_count()
        names = [library._dyld_get_image_name(index) for index in range(count)]
    except (OSError, AttributeError):
        return []
    return sorted(name.decode("utf-8", "replace") for name in names if name)
