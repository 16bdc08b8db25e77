"""Memory evidence around a child's life: kill counters of the kernel, peak use, limits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def _cgroup_oom_kills() -> int | None:
    """Return how often the kernel killed for memory in this process's cgroup (v2, then v1)."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found = _counter(_folders("/sys/fs/cgroup", path), "memory.events", "oom_kill")
        elif "memory" in controllers.split(","):
            found = _counter(
                _folders("/sys/fs/cgroup/memory", path), "memory.oom_control", "oom_kill"
            )
        else:
            continue
        if found is not None:
            return found
    return None


def _folders(mount: str, path: str) -> list[Path]:
    # Inside a container the path is often the host's and only the mount's root exists.
    return [Path(mount + path), Path(mount)]


def _counter(folders: list[Path], file: str, key: str) -> int | None:
    for folder in folders:
        found = _value(folder / file, key)
        if found is not None:
            return found
    return None


def _value(path: Path, key: str) -> int | None:
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            name, *values = line.split()
            if name == key:
                return int(values[0])
    except (OSError, ValueError, IndexError):
        pass
    return None


def oom_counters() -> dict[str, int | None]:
    """Return the kernel's kill counters now, to be compared with a later reading."""
    return {
        "cgroup": _cgroup_oom_kills(),
        # Machine-wide, since Linux 4.13.
        "system": _value(Path("/proc/vmstat"), "oom_kill"),
    }


def memory_of_living(pid: int) -> tuple[float | None, float | None]:
    """Return peak and present resident memory of a living process, in MiB (Linux)."""
    status = Path(f"/proc/{pid}/status")
    peak, now = _value(status, "VmHWM:"), _value(status, "VmRSS:")
    return None if peak is None else peak / 2**10, None if now is None else now / 2**10


def peak_mb(maxrss: int, sampled: float | None) -> float | None:
    """Return the peak of a dead child in MiB from its ``ru_maxrss`` and what was sampled of it.

    ``ru_maxrss`` is exact but inherited: it starts at what the parent held when it forked. So it
    is believed only above the parent's own peak.
    """
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    if maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        return maxrss / unit
    return sampled


def available_mb() -> float:
    """Return how much memory a new process could use without swapping, in MiB."""
    available = _value(Path("/proc/meminfo"), "MemAvailable:")
    if available is not None:
        return available / 2**10
    import psutil

    return float(psutil.virtual_memory().available) / 2**20


def _address_space_limit_mb() -> float | None:
    """Return the limit that children inherit from this process (``ulimit -v``), in MiB."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit / 2**20


def _cgroup_limit_mb() -> float | None:
    """Return the tightest memory limit of this process's cgroups, in MiB; children share it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, file = Path("/sys/fs/cgroup"), "memory.max"
        elif "memory" in controllers.split(","):
            mount, file = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        folder = Path(f"{mount}{path}")
        above = [parent for parent in folder.parents if parent.is_relative_to(mount)]
        found += [_number(place / file) for place in (folder, *above)]
    # Version 1 writes "no limit" as a number near 2**63.
    limits = [limit for limit in found if limit is not None and limit < 2**60]
    return min(limits) / 2**20 if limits else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not there, or "max"


def memory_evidence(
    before: dict[str, int | None],
    peak_rss_mb: float | None,
    available_mb: float | None,
    last_rss_mb: float | None = None,
) -> dict[str, Any]:
    """Return the evidence for or against a death by memory, as plain data.

    Args:
        before: :func:`oom_counters` from before the child was started.
        peak_rss_mb: The child's peak resident memory in MiB.
        available_mb: Memory that was free for it when it was started, in MiB.
        last_rss_mb: Resident memory when the living child was looked at last, in MiB.
    """
    after = oom_counters()
    return {
        "address_space_limit_mb": _address_space_limit_mb(),
        "cgroup_limit_mb": _cgroup_limit_mb(),
        "peak_rss_mb": peak_rss_mb,
        "last_rss_mb": last_rss_mb,
        "available_mb_at_start": available_mb,
        "cgroup_oom_kills_before": before["cgroup"],
        "cgroup_oom_kills_after": after["cgroup"],
        "system_oom_kills_before": before["system"],
        "system_oom_kills_after": after["system"],
    }
