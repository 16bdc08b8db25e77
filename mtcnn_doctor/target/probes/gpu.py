"""Accelerators as driver and bus show them (a host probe: no framework, no CUDA context).

NVML answers through the binding ``nvidia-ml-py``; without it, or without a driver, device nodes
and the PCI bus still tell whether a card is there.
"""

from __future__ import annotations

import ctypes
import glob
import os
import sys
import warnings
from typing import Any, Callable

from . import _cgroup

_PCI_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
# PCI classes 0x0300xx VGA, 0x0302xx 3D controller, 0x0380xx other display, 0x1200xx accelerator.
_DISPLAY_CLASSES = ("0x03", "0x12")


def _text(value: Any) -> str:
    """Return an NVML string: bytes in old releases of the binding, text in new ones."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _fill(facts: dict[str, Any], key: str, ask: Callable[[], Any]) -> None:
    """Set ``facts[key]`` unless the driver does not answer this question."""
    try:
        value = ask()
    except Exception:  # NVML answers "not supported" for much on some cards
        return
    if value is not None:
        facts[key] = value


def _mig_uuids(nvml: Any, handle: Any) -> list[str]:
    found = []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            found.append(_text(nvml.nvmlDeviceGetUUID(part)))
        except Exception:  # slots without an instance are answered with "not found"
            continue
    return found


def _device(nvml: Any, index: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"index": index}
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    _fill(facts, "name", lambda: _text(nvml.nvmlDeviceGetName(handle)))
    _fill(facts, "uuid", lambda: _text(nvml.nvmlDeviceGetUUID(handle)))
    _fill(facts, "memory_total", lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).total))
    _fill(facts, "memory_free", lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).free))
    _fill(
        facts,
        "compute_capability",
        lambda: "{}.{}".format(*nvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )
    _fill(facts, "mig", lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]))
    if facts.get("mig"):
        _fill(facts, "mig_uuids", lambda: _mig_uuids(nvml, handle))
    return facts


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _nvml() -> dict[str, Any]:
    """Return what NVML says, and how it failed where it says nothing."""
    if sys.platform == "linux" and "pynvml" not in sys.modules:
        # Most machines have no NVIDIA driver; finding that out is much faster than the binding.
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError as problem:
            return {"nvml": "no-library", "nvml_error": str(problem)[:300]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pynvml as nvml
    except Exception as problem:
        return {"nvml": "no-binding", "nvml_error": str(problem)[:300]}
    try:
        nvml.nvmlInit()
    except Exception as problem:
        kind = {
            "NVMLError_LibraryNotFound": "no-library",
            "NVMLError_DriverNotLoaded": "no-driver",
        }.get(type(problem).__name__, "error")
        return {"nvml": kind, "nvml_error": str(problem)[:300]}
    facts: dict[str, Any] = {"nvml": "ok"}
    try:
        _fill(facts, "driver_version", lambda: _text(nvml.nvmlSystemGetDriverVersion()))
        _fill(
            facts,
            "cuda_driver_version",
            lambda: _cuda(int(nvml.nvmlSystemGetCudaDriverVersion_v2())),
        )
        facts["devices"] = []
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                facts["devices"].append(_device(nvml, index))
            except Exception as problem:
                # One lost card ("GPU is lost") must not hide the others.
                facts["devices"].append({"index": index, "error": str(problem)[:300]})
    except Exception as problem:
        facts["nvml"], facts["nvml_error"] = "error", str(problem)[:300]
    finally:
        try:
            nvml.nvmlShutdown()
        except Exception:  # nothing is left to be done about it
            pass
    return facts


def pci_vendors(root: str = "/") -> list[str]:
    """Return the vendors of display controllers on the PCI bus, without repeats."""
    found = set()
    for device in glob.glob(os.path.join(root, "sys/bus/pci/devices/*")):
        kind = _cgroup.read(os.path.join(device, "class")) or ""
        vendor = _cgroup.read(os.path.join(device, "vendor")) or ""
        if kind.startswith(_DISPLAY_CLASSES) and vendor in _PCI_VENDORS:
            found.add(_PCI_VENDORS[vendor])
    return sorted(found)


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `gpu`."""
    facts: dict[str, Any] = {}
    facts.update(_nvml())
    facts.setdefault("devices", [])
    nodes = glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/nvidiactl") + glob.glob("/dev/kfd")
    facts["device_nodes"] = sorted(nodes)
    facts["pci_vendors"] = pci_vendors()
    facts["wsl"] = os.path.exists("/dev/dxg")
    return facts
