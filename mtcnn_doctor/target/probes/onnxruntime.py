"""What ONNX Runtime says of itself, in a child that has imported it."""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import Any

from ._mapped import cuda_libraries


def _cuda_provider(module: Any) -> str:
    """Return "ok" where the library of the CUDA provider loads, else what the loader says.

    ONNX Runtime loads it with the first session, and computes on the CPU where that fails.
    """
    folder = os.path.join(os.path.dirname(module.__file__), "capi")
    try:
        shared = os.path.join(folder, "libonnxruntime_providers_shared.so")
        ctypes.CDLL(shared, mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(os.path.join(folder, "libonnxruntime_providers_cuda.so"))
    except OSError as problem:
        return str(problem)[:300]
    return "ok"


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, and the execution providers of the build."""
    module = importlib.import_module("onnxruntime")
    facts: dict[str, Any] = {
        "version": str(getattr(module, "__version__", "")) or None,
        "file": getattr(module, "__file__", None),
        "build": {},
    }
    for key, ask in (
        ("providers", lambda: [str(name) for name in module.get_available_providers()]),
        ("device", lambda: str(module.get_device())),
    ):
        try:
            facts["build"][key] = ask()
        except Exception:  # a fact that cannot be had stays out
            pass
    if "CUDAExecutionProvider" in facts["build"].get("providers", ()) and os.name == "posix":
        facts["build"]["cuda_provider"] = _cuda_provider(module)
    facts["build"]["cuda_libraries"] = cuda_libraries()
    return facts
