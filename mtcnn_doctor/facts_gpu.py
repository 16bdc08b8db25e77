"""The facts about accelerators (see :mod:`mtcnn_doctor.facts`, which checks import)."""

from __future__ import annotations

from typing import Any, TypedDict


class GpuDevice(TypedDict, total=False):
    """One NVIDIA device (part of :class:`Gpu`)."""

    index: int
    name: str
    uuid: str
    memory_total: int  # bytes, as memory_free and memory_used
    memory_free: int
    memory_used: int
    compute_capability: str  # "9.0"
    mig: bool
    mig_uuids: list[str]
    mig_devices: list[dict[str, Any]]  # {"uuid", "name", "memory_total", ...}
    error: str  # why the driver could not describe the device
    unanswered: dict[str, str]  # questions that the driver refused, and why
    processes: list[dict[str, Any]]  # {"pid", "kind", "memory", "name"}; the largest first
    persistence: bool
    compute_mode: str  # "default", "prohibited", "exclusive-process"
    temperature: int  # degrees Celsius
    temperature_slowdown: int  # from which on the card slows itself down
    throttle_reasons: list[str]  # "idle", "power-cap", "hardware-thermal" ...
    ecc: bool
    ecc_errors: dict[str, int]  # {"uncorrected_volatile": ...}: since the driver was loaded
    retired_pages: dict[str, Any]  # {"single_bit", "double_bit", "pending"}: before Ampere
    remapped_rows: dict[str, Any]  # {"corrected", "uncorrected", "pending", "failed"}


class Gpu(TypedDict, total=False):
    """Accelerators as the driver shows them (host probe ``gpu``)."""

    # "ok", "no-library", "no-driver", "error", "no-binding", "nvidia-smi" (which answered instead),
    # "no-answer" (a call to the driver hung, or killed the process)
    nvml: str
    nvml_error: str
    driver_version: str | None
    cuda_driver_version: str | None  # highest CUDA the driver supports, "12.8"
    devices: list[GpuDevice]
    device_nodes: list[str]  # /dev/nvidia0 ...
    pci_vendors: list[str]  # display controllers on the bus: "nvidia", "amd", "intel"
    wsl: bool
    wsl_libraries: list[str]  # names in /usr/lib/wsl/lib
    container: str | None  # "docker", "podman", "kubepods" ...
    kernel_module: str  # release of the loaded kernel module of the NVIDIA driver
    jetson: dict[str, str]  # {"model", "l4t"}
    rocm: str  # installed release
    driver_libraries: dict[str, str]  # name to path, "" where the loader does not find it
    loader_says: dict[str, str]
