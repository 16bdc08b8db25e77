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
    distributions = _rows(_table(facts, "packages").get("distributions"))
    state = {
        "package": {_key(one): str(one.get("version")) for one in distributions},
        "build": {
            _key(one): " ".join(sorted(map(str, _list(one.get("wheel_tags")))))
            for one in distributions
            if _list(one.get("wheel_tags"))
        },
        "requires": {
            _key(one): sorted(set(_required(_list(one.get("requires"))))) for one in distributions
        },
        "interpreter": _interpreter(_table(facts, "python")),
        "system": _system(_table(facts, "python")),
        "gpu": _gpu(_table(facts, "gpu")),
        "machine": _machine(facts),
        "variable": {
            str(name): str(value)
            for name, value in _table(_table(facts, "environment"), "variables").items()
        },
        "import path": _import_path(_table(facts, "python")),
        "setting": _settings(facts),
        "runs": {
            str(run.get("name")): str(run.get("outcome")) for run in _rows(report.get("runs"))
        },
    }
    if not isinstance(_table(facts, "environment").get("variables"), Mapping):
        # Not asked for, which is another thing than none being set.
        del state["variable"]
    return state


def _table(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a table of the facts; {} where a file has something else in its place."""
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in _list(value) if isinstance(row, Mapping)]


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
    markers = _table(python, "markers")
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
            "access to the driver": gpu.get("nvml"),
            "CUDA of the driver": gpu.get("cuda_driver_version"),
            "GPUs": ", ".join(devices) or "none",
            "container": gpu.get("container"),
        }
    )


def _machine(facts: Mapping[str, Any]) -> dict[str, str]:
    cpu, memory = _table(facts, "cpu"), _table(facts, "memory")
    limits = _table(memory, "rlimits")
    return _present(
        {
            "processor": cpu.get("model"),
            "CPUs": cpu.get("affinity") or cpu.get("logical"),
            "share of the CPUs": cpu.get("quota"),
            "memory": _gib(memory.get("total")),
            "limit of the control group": _gib(memory.get("cgroup_limit")),
            "limit of address space": _gib(limits.get("RLIMIT_AS")),
        }
    )


def _gib(count: Any) -> str | None:
    return f"{count / 2**30:.1f} GiB" if isinstance(count, (int, float)) else None


def _import_path(python: Mapping[str, Any]) -> dict[str, str]:
    folders = [str(one) for one in _list(python.get("sys_path"))]
    return {folder: str(number) for number, folder in enumerate(folders)}


def _settings(facts: Mapping[str, Any]) -> dict[str, str]:
    given = _table(facts, "settings")
    images = [_image(one) for one in _rows(facts.get("images"))]
    weights = [str(one.get("path")) for one in _rows(facts.get("weights"))]
    return _present(
        {
            **{name: given.get(name) for name in _SETTINGS},
            "backends": ", ".join(map(str, _list(given.get("backends_requested")))),
            "images of yours": ", ".join(images),
            "weights of yours": ", ".join(weights),
        }
    )


def _image(image: Mapping[str, Any]) -> str:
    """Name an image, with its size: another picture may have come under the same name."""
    size = f"{image.get('width')}x{image.get('height')}, {image.get('size_bytes')} bytes"
    return f"{image.get('path')} ({size})"
