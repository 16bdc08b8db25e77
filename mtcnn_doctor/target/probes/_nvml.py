"""NVIDIA devices as the driver's management library shows them, through ``nvidia-ml-py``.

A driver may hang or crash in any call. So each call is announced before it is made, and what is
known is handed out after each device: whoever outlives this process has both.
"""

from __future__ import annotations

import os
import warnings
from typing import Any, Callable, Iterator

Enter = Callable[[str], None]

#: NVML's answer to a question that does not apply to a card; that is no news.
_NOT_SUPPORTED = "NVMLError_NotSupported"
#: Why the clocks are held back, by bit (``nvmlClocksEventReasons`` of nvml.h).
_REASONS = (
    (0x001, "idle"),
    (0x002, "applications-clocks"),
    (0x004, "power-cap"),
    (0x008, "hardware-slowdown"),
    (0x010, "sync-boost"),
    (0x020, "software-thermal"),
    (0x040, "hardware-thermal"),
    (0x080, "hardware-power-brake"),
    (0x100, "display-clocks"),
)
_COMPUTE_MODES = {0: "default", 1: "exclusive-thread", 2: "prohibited", 3: "exclusive-process"}
_GPU_CORE = 0  # NVML_TEMPERATURE_GPU
_SLOWDOWN = 1  # NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
#: A driver lists at most so many; one that lists more has lost its mind, or we have.
_MOST_DEVICES = 256
_MOST_PROCESSES = 64


def text(value: Any) -> str:
    """Return an NVML string: bytes in old releases of the binding, text in new ones."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def facts(enter: Enter) -> Iterator[dict[str, Any]]:
    """Yield what NVML says, more of it each time; the last is all.

    ``nvml`` is "asked" in all but the last: where that is the last that was heard, the driver
    never came back from the call that was announced last.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pynvml as nvml
    except Exception as problem:
        yield {"nvml": "no-binding", "nvml_error": str(problem)[:300]}
        return
    driver = _Driver(nvml, enter)
    try:
        driver.call("nvmlInit")
    except Exception as problem:
        kind = {
            "NVMLError_LibraryNotFound": "no-library",
            "NVMLError_DriverNotLoaded": "no-driver",
        }.get(type(problem).__name__, "error")
        yield {"nvml": kind, "nvml_error": str(problem)[:300]}
        return
    found: dict[str, Any] = {"nvml": "asked", "devices": []}
    try:
        yield from _answers(driver, found)
        found["nvml"] = "ok"
    except Exception as problem:
        found["nvml"], found["nvml_error"] = "error", str(problem)[:300]
    yield found
    try:
        driver.call("nvmlShutdown")
    except Exception:  # nothing is left to be done about it
        pass


def _answers(driver: _Driver, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    driver.fill(found, "driver_version", lambda: text(driver.call("nvmlSystemGetDriverVersion")))
    driver.fill(
        found,
        "cuda_driver_version",
        lambda: _cuda(int(driver.call("nvmlSystemGetCudaDriverVersion_v2"))),
    )
    yield found
    for index in range(min(int(driver.call("nvmlDeviceGetCount")), _MOST_DEVICES)):
        device: dict[str, Any] = {"index": index}
        found["devices"].append(device)
        try:
            handle = driver.call("nvmlDeviceGetHandleByIndex", index)
            _describe(driver, handle, device)
            yield found
            _examine(driver, handle, device)
        except Exception as problem:
            # One lost card ("GPU is lost") must not hide the others.
            device["error"] = str(problem)[:300]
        yield found


class _Driver:
    """Calls NVML by name, each call announced before it is made."""

    def __init__(self, nvml: Any, enter: Enter) -> None:
        self._nvml = nvml
        self._enter = enter

    def call(self, name: str, *arguments: Any) -> Any:
        self._enter(name)
        return getattr(self._nvml, name)(*arguments)

    def first(self, names: list[str], *arguments: Any) -> Any:
        """Return what the first function says that binding and driver both have."""
        missing: Exception | None = None
        for name in names:
            try:
                return self.call(name, *arguments)
            except AttributeError as problem:
                missing = problem
            except Exception as problem:
                if type(problem).__name__ != "NVMLError_FunctionNotFound":
                    raise
                missing = problem
        assert missing is not None
        raise missing

    def fill(self, facts: dict[str, Any], key: str, ask: Callable[[], Any]) -> None:
        """Set ``facts[key]``, or note why the driver does not answer."""
        try:
            value = ask()
        except Exception as problem:
            if type(problem).__name__ != _NOT_SUPPORTED:
                facts.setdefault("unanswered", {})[key] = str(problem)[:200]
            return
        if value is not None:
            facts[key] = value


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _fill_all(
    driver: _Driver, facts: dict[str, Any], questions: dict[str, Callable[[], Any]]
) -> None:
    for key, question in questions.items():
        driver.fill(facts, key, question)


def _describe(driver: _Driver, handle: Any, facts: dict[str, Any]) -> None:
    """Fill in what a device is, and its memory."""

    def ask(name: str) -> Any:
        return driver.call(name, handle)

    _fill_all(
        driver,
        facts,
        {
            "name": lambda: text(ask("nvmlDeviceGetName")),
            "uuid": lambda: text(ask("nvmlDeviceGetUUID")),
            "compute_capability": lambda: "{}.{}".format(
                *ask("nvmlDeviceGetCudaComputeCapability")
            ),
            "memory": lambda: _memory(ask("nvmlDeviceGetMemoryInfo")),
            "mig": lambda: bool(ask("nvmlDeviceGetMigMode")[0]),
        },
    )
    facts.update(facts.pop("memory", {}))


def _examine(driver: _Driver, handle: Any, facts: dict[str, Any]) -> None:
    """Fill in how a device is, and who uses it."""

    def ask(name: str, *more: Any) -> Any:
        return driver.call(name, handle, *more)

    _fill_all(
        driver,
        facts,
        {
            "persistence": lambda: bool(ask("nvmlDeviceGetPersistenceMode")),
            "compute_mode": lambda: _COMPUTE_MODES.get(int(ask("nvmlDeviceGetComputeMode"))),
            "temperature": lambda: int(ask("nvmlDeviceGetTemperature", _GPU_CORE)),
            "temperature_slowdown": lambda: int(
                ask("nvmlDeviceGetTemperatureThreshold", _SLOWDOWN)
            ),
            "throttle_reasons": lambda: _reasons(driver, handle),
            "ecc": lambda: bool(ask("nvmlDeviceGetEccMode")[0]),
            "retired_pages": lambda: _retired(ask),
            "remapped_rows": lambda: _remapped(ask),
            "processes": lambda: _processes(driver, handle),
        },
    )
    if facts.get("ecc"):
        driver.fill(facts, "ecc_errors", lambda: _ecc_errors(ask))
    if facts.get("mig"):
        driver.fill(facts, "mig_devices", lambda: _mig(driver, handle))
        facts["mig_uuids"] = [part["uuid"] for part in facts.get("mig_devices", ())]


def _memory(told: Any) -> dict[str, int]:
    return {f"memory_{key}": int(getattr(told, key)) for key in ("total", "free", "used")}


def _reasons(driver: _Driver, handle: Any) -> list[str]:
    # Renamed in driver 535; the old name goes with CUDA 14.
    names = ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]
    bits = int(driver.first(names, handle))
    return [name for bit, name in _REASONS if bits & bit]


def _ecc_errors(ask: Callable[..., Any]) -> dict[str, int]:
    """Return the counts of memory errors, since the driver was loaded and since the card was made.

    NVML_MEMORY_ERROR_TYPE_*: 0 corrected, 1 uncorrected. Counters: 0 volatile, 1 aggregate.
    """
    found = {}
    for kind, kind_name in ((0, "corrected"), (1, "uncorrected")):
        for counter, counter_name in ((0, "volatile"), (1, "aggregate")):
            count = ask("nvmlDeviceGetTotalEccErrors", kind, counter)
            found[f"{kind_name}_{counter_name}"] = int(count)
    return found


def _retired(ask: Callable[..., Any]) -> dict[str, Any]:
    """Return how many pages of memory were taken out of use (cards before Ampere)."""
    return {
        "single_bit": len(ask("nvmlDeviceGetRetiredPages", 0)),
        "double_bit": len(ask("nvmlDeviceGetRetiredPages", 1)),
        "pending": bool(ask("nvmlDeviceGetRetiredPagesPendingStatus")),
    }


def _remapped(ask: Callable[..., Any]) -> dict[str, Any]:
    """Return how many rows of memory were replaced by spare ones (Ampere and newer)."""
    corrected, uncorrected, pending, failed = ask("nvmlDeviceGetRemappedRows")
    return {
        "corrected": int(corrected),
        "uncorrected": int(uncorrected),
        "pending": bool(pending),
        "failed": bool(failed),
    }


def _processes(driver: _Driver, handle: Any) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for kind in ("Compute", "Graphics"):
        plain = f"nvmlDeviceGet{kind}RunningProcesses"
        for process in driver.first([plain, plain + "_v2"], handle)[:_MOST_PROCESSES]:
            row: dict[str, Any] = {"pid": int(process.pid), "kind": kind.lower()}
            if process.usedGpuMemory is not None:
                row["memory"] = int(process.usedGpuMemory)
            try:
                path = text(driver.call("nvmlSystemGetProcessName", row["pid"]))
                row["name"] = os.path.basename(path.split("\0")[0].replace("\\", "/"))[:60]
            except Exception:  # in a container the numbers are the host's, and nobody knows them
                pass
            found.setdefault(row["pid"], row)
    return sorted(found.values(), key=lambda row: -row.get("memory", 0))


def _mig(driver: _Driver, handle: Any) -> list[dict[str, Any]]:
    found = []
    for index in range(min(int(driver.call("nvmlDeviceGetMaxMigDeviceCount", handle)), 64)):
        try:
            part = driver.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        except Exception:  # slots without an instance are answered with "not found"
            continue
        row: dict[str, Any] = {"uuid": text(driver.call("nvmlDeviceGetUUID", part))}
        _fill_part(driver, part, row)
        found.append(row)
    return found


def _fill_part(driver: _Driver, part: Any, row: dict[str, Any]) -> None:
    driver.fill(row, "name", lambda: text(driver.call("nvmlDeviceGetName", part)))
    driver.fill(row, "memory", lambda: _memory(driver.call("nvmlDeviceGetMemoryInfo", part)))
    row.update(row.pop("memory", {}))
