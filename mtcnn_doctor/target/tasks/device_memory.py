"""How much memory of an accelerator a backend took; asked after the measurement, never guessed."""

from __future__ import annotations

import os
import sys
from typing import Any


def peak(backend: str, device: str) -> dict[str, Any] | None:
    """Return ``{"mb", "source"}`` for a device other than the CPU, None where nobody knows."""
    found = _torch(device) if backend == "torch" else None
    return found or _driver()


def _torch(device: str) -> dict[str, Any] | None:
    """Return the peak of what torch's own allocator gave out."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return None
    try:
        return {
            "mb": round(torch.cuda.max_memory_allocated(device) / 2**20, 1),
            "source": "torch.cuda.max_memory_allocated",
        }
    except Exception:  # the CUDA context is lost, or the build has no CUDA
        return None


def _driver() -> dict[str, Any] | None:
    """Return what the NVIDIA driver says that this process holds now (context included)."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        held = 0
        seen = False
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                # In a container the driver may name processes by numbers of the host.
                if process.pid == os.getpid() and process.usedGpuMemory:
                    held += int(process.usedGpuMemory)
                    seen = True
        nvml.nvmlShutdown()
    except Exception:  # no binding, no driver, or a question that this card does not answer
        return None
    return {"mb": round(held / 2**20, 1), "source": "NVML, after the last run"} if seen else None
