"""Accelerators as files, the bus and the driver show them (a host probe: no framework).

What can be read from files comes first. Then the driver is asked, which may hang or crash: see
:mod:`._nvml`. No CUDA context is made.
"""

from __future__ import annotations

import ctypes
import glob
import os
import re
import sys
from typing import Any, Iterator

from . import _cgroup, _nvidia_smi, _nvml

_PCI_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
# PCI classes 0x0300xx VGA, 0x0302xx 3D controller, 0x0380xx other display, 0x1200xx accelerator.
_DISPLAY_CLASSES = ("0x03", "0x12")
_NODES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm", "kfd", "dxg", "nvhost-gpu", "nvmap")
_CONTAINERS = ("docker", "kubepods", "containerd", "libpod", "lxc")
_DRIVER_LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1")


def pci_vendors(root: str = "/") -> list[str]:
    """Return the vendors of display controllers on the PCI bus, without repeats."""
    found = set()
    for device in glob.glob(os.path.join(root, "sys/bus/pci/devices/*")):
        kind = _cgroup.read(os.path.join(device, "class")) or ""
        vendor = _cgroup.read(os.path.join(device, "vendor")) or ""
        if kind.startswith(_DISPLAY_CLASSES) and vendor in _PCI_VENDORS:
            found.add(_PCI_VENDORS[vendor])
    return sorted(found)


def files(root: str = "/") -> dict[str, Any]:
    """Return what is to be known without asking a driver."""
    nodes = [node for name in _NODES for node in glob.glob(os.path.join(root, "dev", name))]
    found: dict[str, Any] = {
        "device_nodes": sorted("/" + os.path.relpath(node, root) for node in nodes),
        "pci_vendors": pci_vendors(root),
        "wsl": os.path.exists(os.path.join(root, "dev/dxg")),
        "container": _container(root),
    }
    if found["wsl"]:
        libraries = glob.glob(os.path.join(root, "usr/lib/wsl/lib/lib*"))
        found["wsl_libraries"] = sorted(os.path.basename(path) for path in libraries)[:50]
    module = _kernel_module(root)
    if module:
        found["kernel_module"] = module
    jetson = _jetson(root)
    if jetson:
        found["jetson"] = jetson
    rocm = _cgroup.read(os.path.join(root, "opt/rocm/.info/version"))
    if rocm:
        found["rocm"] = rocm[:40]
    return found


def _container(root: str) -> str | None:
    if os.path.exists(os.path.join(root, ".dockerenv")):
        return "docker"
    if os.path.exists(os.path.join(root, "run/.containerenv")):
        return "podman"
    groups = _cgroup.read(os.path.join(root, "proc/1/cgroup")) or ""
    return next((name for name in _CONTAINERS if name in groups), None)


def _kernel_module(root: str) -> str | None:
    """Return the release of the loaded kernel module of the NVIDIA driver."""
    told = _cgroup.read(os.path.join(root, "proc/driver/nvidia/version")) or ""
    match = re.search(r"Kernel Module\D*?\s(?:for \S+\s+)?(\d+\.\d+(?:\.\d+)?)", told)
    return match.group(1) if match else None


def _jetson(root: str) -> dict[str, str] | None:
    """Return release and model of a Jetson, None on other machines."""
    release = _cgroup.read(os.path.join(root, "etc/nv_tegra_release"))
    model = (_cgroup.read(os.path.join(root, "proc/device-tree/model")) or "").strip("\0")
    if release is None and "jetson" not in model.lower():
        return None
    found = {"model": model[:80]} if model else {}
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release or "")
    if match:
        found["l4t"] = f"{match.group(1)}.{match.group(2)}"
    return found


def _driver_libraries(enter: _nvml.Enter) -> dict[str, Any]:
    """Return where the loader finds the driver's libraries, "" where it does not."""
    found: dict[str, str] = {}
    problems = {}
    for name in _DRIVER_LIBRARIES:
        enter(f"load {name}")
        try:
            ctypes.CDLL(name)
        except OSError as problem:
            found[name], problems[name] = "", str(problem)[:300]
        else:
            found[name] = _mapped(name)
    return {"driver_libraries": found, "loader_says": problems}


def _mapped(name: str) -> str:
    """Return the path from which a library was mapped, its name where the system hides that."""
    stem = name.split(".so")[0] + ".so"
    try:
        with open("/proc/self/maps") as maps:
            fields = (line.split(None, 5) for line in maps)
            paths = [parts[5].strip() for parts in fields if len(parts) == 6]
    except OSError:
        return name
    return next((path for path in paths if os.path.basename(path).startswith(stem)), name)


def _driver(facts: dict[str, Any], enter: _nvml.Enter) -> Iterator[dict[str, Any]]:
    if sys.platform == "linux" and "pynvml" not in sys.modules:
        # Most machines have no NVIDIA driver; finding that out is much faster than the binding.
        yield {"nvml": "asked", "devices": []}
        libraries = _driver_libraries(enter)
        problem = libraries["loader_says"].get("libnvidia-ml.so.1")
        if problem and not any(libraries["driver_libraries"].values()):
            yield {"nvml": "no-library", "nvml_error": problem}
            return
        facts.update(libraries)
    for step in _nvml.facts(enter):
        if step["nvml"] == "no-binding":
            enter("nvidia-smi")
            told = _nvidia_smi.facts()
            if told is not None:
                step = {**step, "nvml": "nvidia-smi", **told}
        yield step


def steps(orders: dict[str, Any], enter: _nvml.Enter) -> Iterator[dict[str, Any]]:
    """Yield the facts of `gpu`, more of them each time; ``enter`` hears what is asked next."""
    facts = files()
    facts.update({"nvml": "asked", "devices": []})
    yield facts
    for told in _driver(facts, enter):
        facts.update(told)
        yield facts


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `gpu`."""
    last: dict[str, Any] = {}
    for facts in steps(orders, lambda step: None):
        last = facts
    return last
