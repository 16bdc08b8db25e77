"""The processor and how much of it may be used (a host probe: any interpreter can run it)."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from . import _cgroup


def _cpuinfo() -> dict[str, str]:
    """Return the fields of the first processor in /proc/cpuinfo."""
    fields: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if not line.strip() and fields:
                    break
                name, found, value = line.partition(":")
                if found:
                    fields[name.strip().lower()] = value.strip()
    except OSError:
        pass
    return fields


def _sysctl(name: bytes) -> str:
    """Return a string of macOS's sysctl, "" where it has none."""
    import ctypes

    libc = ctypes.CDLL(None)
    size = ctypes.c_size_t(0)
    if libc.sysctlbyname(name, None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return ""
    buffer = ctypes.create_string_buffer(size.value)
    if libc.sysctlbyname(name, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return ""
    return buffer.value.decode("ascii", "replace")


def _windows_flags() -> list[str]:
    """Return the few features that Windows tells of, under the names Linux gives them."""
    import ctypes

    asked = {"sse2": 10, "sse3": 13, "ssse3": 36, "sse4_1": 37, "sse4_2": 38, "avx": 39}
    asked.update(avx2=40, avx512f=41)
    present = ctypes.windll.kernel32.IsProcessorFeaturePresent  # type: ignore[attr-defined,unused-ignore]
    flags = [name for name, number in asked.items() if present(number)]
    # Older Windows does not know the numbers from SSSE3 on: without them nothing is known.
    return flags if "ssse3" in flags else []


def _identity() -> dict[str, Any]:
    if sys.platform == "darwin":
        features = b"machdep.cpu.features", b"machdep.cpu.leaf7_features"
        flags = " ".join(_sysctl(name) for name in features).lower().split()
        return {"model": _sysctl(b"machdep.cpu.brand_string"), "flags": flags}
    if sys.platform == "win32":
        return {"model": platform.processor(), "flags": _windows_flags()}
    fields = _cpuinfo()
    facts: dict[str, Any] = {}
    model = fields.get("model name") or fields.get("hardware") or fields.get("cpu model")
    if model:
        facts["model"] = model
    if "flags" in fields or "features" in fields:
        facts["flags"] = (fields.get("flags") or fields.get("features") or "").lower().split()
    return facts


def _physical() -> int | None:
    """Return the number of cores; /proc/cpuinfo first, which is there at once."""
    cores = set()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            package = ""
            for line in stream:
                if line.startswith("physical id"):
                    package = line.rpartition(":")[2].strip()
                elif line.startswith("core id"):
                    cores.add((package, line.rpartition(":")[2].strip()))
    except OSError:
        pass
    if cores:
        return len(cores)
    try:
        import psutil

        count: int | None = psutil.cpu_count(logical=False)
        return count
    except Exception:  # not installed, or the system does not tell
        return None


def _affinity() -> int | None:
    try:
        return len(os.sched_getaffinity(0))  # type: ignore[attr-defined,unused-ignore]
    except (AttributeError, OSError):
        return None


def _quota_v2(text: str) -> float | None:
    allowed, _, period = text.partition(" ")
    if allowed == "max":
        return None
    return int(allowed) / int(period or 100000)


def quota(root: str = "/") -> float | None:
    """Return how many CPUs' worth of time the control group allows, None when unlimited."""
    place = _cgroup.find("cpu", root)
    if place is None:
        return None
    if place.version == 2:
        found = place.values("cpu.max", _quota_v2)
    else:
        found = []
        for folder in place.folders:
            allowed = _cgroup.read(os.path.join(folder, "cpu.cfs_quota_us"))
            period = _cgroup.read(os.path.join(folder, "cpu.cfs_period_us"))
            if allowed and period and int(allowed) > 0 and int(period) > 0:
                found.append(int(allowed) / int(period))
    return round(min(found), 3) if found else None


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `cpu`."""
    facts: dict[str, Any] = {"machine": platform.machine()}
    logical = os.cpu_count()
    if logical:
        facts["logical"] = logical
    try:
        facts.update(_identity())
    except Exception:  # a fact that cannot be had stays out
        pass
    for key, ask in (("physical", _physical), ("affinity", _affinity), ("quota", quota)):
        try:
            facts[key] = ask()
        except Exception:  # as above
            pass
    return facts
