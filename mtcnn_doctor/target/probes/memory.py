"""Memory of the machine and what of it may be used (a host probe: any interpreter can run it)."""

from __future__ import annotations

import os
from typing import Any

from . import _cgroup

# Version 1 writes "no limit" as the largest page-aligned long; anything near it is no limit.
_NO_LIMIT = 1 << 60
_MOST_PROCESSES = 5
#: Smaller ones explain nothing.
_LARGE = 64 * 1024 * 1024
_RLIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_STACK")


def _machine() -> dict[str, Any]:
    """Return total and free memory and swap, from /proc/meminfo or psutil."""
    names = {
        "MemTotal": "total",
        "MemAvailable": "available",
        "SwapTotal": "swap_total",
        "SwapFree": "swap_free",
    }
    facts: dict[str, Any] = {}
    try:
        with open("/proc/meminfo", encoding="ascii", errors="replace") as stream:
            for line in stream:
                name, _, value = line.partition(":")
                if name in names:
                    facts[names[name]] = int(value.split()[0]) * 1024
    except (OSError, ValueError):
        pass
    if "available" in facts:
        return facts
    # Other systems, kernels before 3.14, and a restricted /proc.
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "total": int(memory.total),
        "available": int(memory.available),
        "swap_total": int(swap.total),
        "swap_free": int(swap.free),
    }


def _limit(text: str) -> int | None:
    if text == "max":
        return None
    value = int(text)
    return value if 0 <= value < _NO_LIMIT else None


#: Per version: limit, usage, limit and usage of swap, what the statistics call pages that the
#: kernel drops before it kills. Version 1 counts memory and swap together, version 2 apart.
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def control_group(total: int | None, root: str = "/") -> dict[str, Any]:
    """Return the tightest memory limit up the tree of control groups, and what is used of it.

    ``cgroup_headroom`` is the least that any group up the tree still allows, with the page cache
    that the kernel gives back first; a parent with a higher limit may be fuller than its child.
    """
    place = _cgroup.find("memory", root)
    if place is None:
        return {"cgroup_version": None, "cgroup_limit": None, "cgroup_path": None}
    limit_file, usage_file, cache = _FILES[place.version]
    facts: dict[str, Any] = {
        "cgroup_version": place.version,
        "cgroup_limit": None,
        "cgroup_path": place.folders[0],
    }
    tightest: int | None = None
    for folder in place.folders:
        text = _cgroup.read(os.path.join(folder, limit_file))
        limit = _limit(text) if text else None
        # A limit at or above what the machine has limits nothing.
        if limit is None or (total and limit >= total):
            continue
        used = _number(folder, usage_file)
        if used is not None:
            kept = max(0, used - (_statistic(folder, cache) or 0))
            left = max(0, limit - kept)
            if left < facts.get("cgroup_headroom", left + 1):
                facts["cgroup_headroom"], facts["cgroup_headroom_path"] = left, folder
                facts["cgroup_swap"] = _swap_left(place.version, folder, used)
        if tightest is None or limit < tightest:
            tightest = limit
            facts["cgroup_limit"], facts["cgroup_path"] = limit, folder
    usage = _number(str(facts["cgroup_path"]), usage_file)
    if usage is not None:
        facts["cgroup_usage"] = usage
    events = "memory.events" if place.version == 2 else "memory.oom_control"
    kills = _statistic(str(facts["cgroup_path"]), "oom_kill", events)
    if kills is not None:
        facts["oom_kills"] = kills
    return facts


def _swap_left(version: int, folder: str, used: int) -> int | None:
    """Return how much of the swap a group may still take, None where it may take all."""
    if version == 2:
        limit = _limit(_cgroup.read(os.path.join(folder, "memory.swap.max")) or "max")
        return (
            None if limit is None else max(0, limit - (_number(folder, "memory.swap.current") or 0))
        )
    both = _limit(_cgroup.read(os.path.join(folder, "memory.memsw.limit_in_bytes")) or "max")
    memory = _limit(_cgroup.read(os.path.join(folder, "memory.limit_in_bytes")) or "max")
    if both is None or memory is None:
        return None
    swapped = max(0, (_number(folder, "memory.memsw.usage_in_bytes") or 0) - used)
    return max(0, both - memory - swapped)


def _number(folder: str, file: str) -> int | None:
    text = _cgroup.read(os.path.join(folder, file))
    return int(text) if text and text.isdigit() else None


def _statistic(folder: str, name: str, file: str = "memory.stat") -> int | None:
    """Return a value out of a file with a name and a number on each line."""
    for line in (_cgroup.read(os.path.join(folder, file)) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return None


def _rlimits() -> dict[str, int | None]:
    import resource

    limits: dict[str, int | None] = {}
    for name in _RLIMITS:
        number = getattr(resource, name, None)
        if number is None:
            continue
        soft = resource.getrlimit(number)[0]
        limits[name] = None if soft == resource.RLIM_INFINITY or soft < 0 else int(soft)
    return limits


def _shared() -> dict[str, Any]:
    state = os.statvfs("/dev/shm")
    return {
        "shm_total": state.f_frsize * state.f_blocks,
        "shm_free": state.f_frsize * state.f_bavail,
        "shm_writable": os.access("/dev/shm", os.W_OK | os.X_OK),
    }


def _commitment() -> dict[str, Any]:
    """Return what Linux still promises where it promises no more than it has (mode 2)."""
    if _cgroup.read("/proc/sys/vm/overcommit_memory") != "2":
        return {}
    found: dict[str, int] = {}
    for line in (_cgroup.read("/proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name in ("CommitLimit", "Committed_AS"):
            found[name] = int(value.split()[0]) * 1024
    return {"commit_left": max(0, found["CommitLimit"] - found["Committed_AS"])}


def _processes() -> dict[str, Any]:
    """Return the processes that hold the most memory, by program name alone; Linux.

    A command line would show what is nobody's business.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    sizes = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = (_cgroup.read("/proc/%s/statm" % name) or "").split()  # noqa: UP031
            if len(fields) > 1:
                sizes.append((int(fields[1]) * page, name))
    # Their sum counts shared pages once for each process.
    largest = [row for row in sorted(sizes, reverse=True)[:_MOST_PROCESSES] if row[0] >= _LARGE]
    return {
        "processes": [
            {"name": _cgroup.read("/proc/%s/comm" % name) or "?", "pid": int(name), "rss": size}  # noqa: UP031
            for size, name in largest
        ]
    }


def _folders() -> dict[str, Any]:
    """Return the free space where Python and the packages put temporary and cached files."""
    import tempfile

    home = os.path.expanduser("~")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    asked = [("temporary files", _existing(_temporary(tempfile))), ("cache", _existing(cache))]
    for role, variable in (("torch models", "TORCH_HOME"), ("Keras models", "KERAS_HOME")):
        if os.environ.get(variable):
            asked.append((role, _existing(os.environ[variable])))
    found = []
    for role, folder in asked:
        try:
            state = os.statvfs(folder)
            rows = {
                "total": state.f_frsize * state.f_blocks,
                "free": state.f_frsize * state.f_bavail,
            }
            if state.f_files:  # some file systems count none
                rows["files_free"] = state.f_favail
            device = os.stat(folder).st_dev
        except (OSError, AttributeError):
            rows, device = _usage(folder), 0
        if rows:
            writable = os.access(folder, os.W_OK | os.X_OK)
            found.append(
                {"role": role, "path": folder, "device": device, "writable": writable, **rows}
            )
    return {"folders": found}


def _temporary(tempfile: Any) -> str:
    try:
        return str(tempfile.gettempdir())
    except FileNotFoundError:  # none can be written to: a disk that is full, too
        return os.environ.get("TMPDIR") or "/tmp"


def _usage(folder: str) -> dict[str, int]:
    import shutil

    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {}
    return {"total": int(usage.total), "free": int(usage.free)}


def _existing(folder: str) -> str:
    """Return a folder, or the nearest one above it that exists: where it would be made."""
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `memory`."""
    facts: dict[str, Any] = {}
    try:
        facts.update(_machine())
    except Exception:  # a fact that cannot be had stays out
        pass
    for ask in (
        lambda: control_group(facts.get("total")),
        lambda: {"rlimits": _rlimits()},
        _shared,
        _commitment,
        _processes,
        _folders,
    ):
        try:
            facts.update(ask())
        except Exception:  # no resource module on Windows, no /dev/shm on macOS
            pass
    return facts
