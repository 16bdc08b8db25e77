"""What ONNX Runtime says of itself, in a child that has imported it."""

from __future__ import annotations

import importlib
from typing import Any


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
    return facts
