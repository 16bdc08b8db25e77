"""What of a report is held against another: small, plain, and the same for a healthy machine.

What moves from one minute to the next (free memory, temperatures, times) is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

State = dict[str, Any]

#: Settings of a run that change what is found.
_SETTINGS = ("level", "cascade", "device", "threads", "expect_gpu")


def state_of(report: Mapping[str, Any]) -> State:
    """Return the state in a report, or in bare facts.

    Args:
        report: A report as plain data (``facts``, ``runs``, ``findings``), or facts.

    Returns:
        Tables of plain values by the kind of thing they are about, ``requires`` and ``runs``
        beside them.
    """
    facts = report["facts"] if isinstance(report.get("facts"), Mapping) else report
    distributions = _rows((facts.get("packages") or {}).get("distributions"))
    return {
        "package": {_key(one): str(one.get("version")) for one in distributions},
        "build": {
            _key(one): " ".join(sorted(map(str, one["wheel_tags"])))
            for one in distributions
            if one.get("wheel_tags")
        },
        "requires": {
            _key(one): sorted(_required(one.get("requires") or ())) for one in distributions
        },
        "interpreter": _interpreter(facts.get("python") or {}),
        "system": _system(facts.get("python") or {}),
        "gpu": _gpu(facts.get("gpu") or {}),
        "machine": _machine(facts),
        "variable": {
            str(name): str(value)
            for name, value in ((facts.get("environment") or {}).get("variables") or {}).items()
        },
        "import path": _import_path(facts.get("python") or {}),
        "setting": _settings(facts),
        "runs": {
            str(run.get("name")): str(run.get("outcome")) for run in _rows(report.get("runs"))
        },
    }


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value or () if isinstance(row, Mapping)]


def _key(distribution: Mapping[str, Any]) -> str:
    return str(distribution.get("key") or distribution.get("name"))


def _required(lines: Iterable[Any]) -> Iterable[str]:
    """Yield the names in requirement lines that hold without an extra."""
    for line in lines:
        text, _, marker = str(line).partition(";")
        if "extra" not in marker:
            name = text.strip()
            for stop in "<>=!~[( @":
                name = name.split(stop)[0]
            if name:
                yield name.lower().replace("_", "-").replace(".", "-")


def _present(table: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in table.items() if value not in (None, "", [])}


def _interpreter(python: Mapping[str, Any]) -> dict[str, str]:
    return _present(
        {
            "Python": python.get("version"),
            "implementation": python.get("implementation"),
            "interpreter": python.get("executable"),
            "bits": python.get("bits"),
        }
    )


def _system(python: Mapping[str, Any]) -> dict[str, str]:
    markers = python.get("markers") or {}
    return _present(
        {
            "system": markers.get("platform_system") or python.get("platform"),
            "kernel": markers.get("platform_release"),
            "C library": python.get("libc"),
            "architecture": python.get("machine"),
        }
    )


def _gpu(gpu: Mapping[str, Any]) -> dict[str, str]:
    if not gpu:
        return {}
    devices = [str(one.get("name")) for one in _rows(gpu.get("devices"))]
    return _present(
        {
            "driver": gpu.get("driver_version"),
            "CUDA of the driver": gpu.get("cuda_driver_version"),
            "GPUs": ", ".join(devices) or "none",
            "container": gpu.get("container"),
        }
    )


def _machine(facts: Mapping[str, Any]) -> dict[str, str]:
    cpu, memory = facts.get("cpu") or {}, facts.get("memory") or {}
    limits = memory.get("rlimits") or {}
    return _present(
        {
            "processor": cpu.get("model"),
            "CPUs": cpu.get("affinity") or cpu.get("logical"),
            "memory": _gib(memory.get("total")),
            "limit of the control group": _gib(memory.get("cgroup_limit")),
            "limit of address space": _gib(limits.get("RLIMIT_AS")),
        }
    )


def _gib(count: Any) -> str | None:
    return f"{count / 2**30:.1f} GiB" if isinstance(count, (int, float)) else None


def _import_path(python: Mapping[str, Any]) -> dict[str, str]:
    folders = [str(one) for one in python.get("sys_path") or ()]
    return {folder: str(number) for number, folder in enumerate(folders)}


def _settings(facts: Mapping[str, Any]) -> dict[str, str]:
    given = facts.get("settings") or {}
    images = [str(one.get("path")) for one in _rows(facts.get("images"))]
    return _present(
        {
            **{name: given.get(name) for name in _SETTINGS},
            "backends": ", ".join(map(str, given.get("backends_requested") or ())),
            "images of yours": ", ".join(images),
        }
    )
