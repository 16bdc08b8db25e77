"""Memory of the machine and what of it may be used (a host probe: any interpreter can run it)."""

from __future__ import annotations

import os
from typing import Any

from . import _cgroup

# Version 1 writes "no limit" as the largest page-aligned long; anything near it is no limit.
_NO_LIMIT = 1 << 60
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


def control_group(total: int | None, root: str = "/") -> dict[str, Any]:
    """Return the tightest memory limit up the tree of control groups, and what is used of it."""
    place = _cgroup.find("memory", root)
    if place is None:
        return {"cgroup_version": None, "cgroup_limit": None, "cgroup_path": None}
    limit_file = "memory.max" if place.version == 2 else "memory.limit_in_bytes"
    usage_file = "memory.current" if place.version == 2 else "memory.usage_in_bytes"
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
        if tightest is None or limit < tightest:
            tightest = limit
            facts["cgroup_limit"], facts["cgroup_path"] = limit, folder
    usage = _cgroup.read(os.path.join(str(facts["cgroup_path"]), usage_file))
    if usage and usage.isdigit():
        facts["cgroup_usage"] = int(usage)
    events = "memory.events" if place.version == 2 else "memory.oom_control"
    for line in (_cgroup.read(os.path.join(str(facts["cgroup_path"]), events)) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            facts["oom_kills"] = int(value)
    return facts


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
    }


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
    ):
        try:
            facts.update(ask())
        except Exception:  # no resource module on Windows, no /dev/shm on macOS
            pass
    return facts
