"""What else went on in the machine while a backend was measured: evidence, no opinion."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.request import usable_cpus

_THERMAL = "/sys/devices/system/cpu"
_CGROUP = "/sys/fs/cgroup"


class LoadWatch:
    """Listens to a child of task ``reference`` and looks at the machine before and after.

    :attr:`found` holds what is known when the child has told that it ended measuring: ``wall_s``,
    ``cpu_s`` (the child's own), ``cpus`` and ``usable_cpus``, and where the system tells it
    ``others_share`` (of all processors' time, used by other programs), ``throttled_s`` and
    ``throttled_periods`` (by the control group), ``thermal_events``, ``mhz_before``,
    ``mhz_after``, ``load_before`` (average of a minute), ``on_battery``.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._before: dict[str, Any] = {}

    def hear(self, label: str, message: dict[str, Any]) -> None:
        """Take one message of the child."""
        if message["t"] == "measuring":
            self._before = _look()
        elif message["t"] == "measured" and self._before:
            self.found = _difference(self._before, _look(), float(message["cpu_s"]))


def _look() -> dict[str, Any]:
    import psutil

    seen: dict[str, Any] = {"time": time.monotonic()}
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guest time is counted in user time already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    seen["busy_s"], seen["all_s"] = sum(times) - idle - guests, sum(times) - guests
    seen["cpus"] = psutil.cpu_count() or 1
    for name, ask in (("load", _load), ("mhz", _mhz), ("on_battery", _on_battery)):
        try:
            seen[name] = ask()
        except (OSError, AttributeError, NotImplementedError, RuntimeError):
            seen[name] = None  # not every system, container or virtual machine tells
    seen["thermal"] = thermal_events(_THERMAL)
    seen["throttled"] = throttling(_CGROUP)
    return seen


def _load() -> float | None:
    import psutil

    return round(psutil.getloadavg()[0], 2)


def _mhz() -> float | None:
    """Return the clock of the fastest core: the idle ones say nothing."""
    import psutil

    clocks = [core.current for core in psutil.cpu_freq(percpu=True) or ()]
    return round(max(clocks), 0) if clocks and max(clocks) > 0 else None


def _on_battery() -> bool | None:
    import psutil

    battery = psutil.sensors_battery()
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def thermal_events(root: str) -> int | None:
    """Return how often Linux slowed a processor down for its heat since the start."""
    counts = [
        int(text)
        for path in Path(root).glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
        if (text := _text(path)).isdigit()
    ]
    return sum(counts) if counts else None


def throttling(root: str) -> tuple[int, float] | None:
    """Return how many periods, and how many seconds, this control group was stopped by its quota.

    Reads the group as a container sees it (``cpu.stat`` at the mount, version 2, then 1).
    """
    for folder in _own_groups(root):
        told = dict(
            line.split(None, 1) for line in _text(folder / "cpu.stat").splitlines() if " " in line
        )
        if "nr_throttled" in told:
            micro = float(told.get("throttled_usec", 0))
            nano = float(told.get("throttled_time", 0))
            return int(told["nr_throttled"]), micro / 1e6 or nano / 1e9
    return None


def _own_groups(root: str) -> Iterable[Path]:
    """Return where the group of this process may be, its own folder before the mount."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        base = "" if not controllers else ("cpu,cpuacct" if "cpu" in controllers else None)
        if base is not None:
            yield Path(root, base, path.lstrip("/"))
    yield from (Path(root), Path(root, "cpu,cpuacct"), Path(root, "cpu"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _difference(before: dict[str, Any], after: dict[str, Any], cpu_s: float) -> dict[str, Any]:
    wall = after["time"] - before["time"]
    found: dict[str, Any] = {"wall_s": round(wall, 3), "cpu_s": cpu_s, "cpus": after["cpus"]}
    found["usable_cpus"] = usable_cpus()
    total = after["all_s"] - before["all_s"]
    busy = after["busy_s"] - before["busy_s"]
    # Counters tick in hundredths of a second; some containers show none at all.
    if wall >= 0.2 and total > 0 and busy > 0.5 * cpu_s:
        found["others_share"] = round(min(1.0, max(0.0, (busy - cpu_s) / total)), 3)
    for name in ("load", "mhz"):
        if before[name] is not None:
            found[f"{name}_before"] = before[name]
    if after["mhz"] is not None:
        found["mhz_after"] = after["mhz"]
    if after["on_battery"] is not None:
        found["on_battery"] = after["on_battery"]
    if None not in (before["thermal"], after["thermal"]):
        found["thermal_events"] = after["thermal"] - before["thermal"]
    if None not in (before["throttled"], after["throttled"]):
        found["throttled_periods"] = after["throttled"][0] - before["throttled"][0]
        found["throttled_s"] = round(after["throttled"][1] - before["throttled"][1], 3)
    return found
