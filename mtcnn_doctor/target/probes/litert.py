"""What LiteRT, or its predecessor tflite-runtime, says of itself."""

from __future__ import annotations

import importlib
from typing import Any


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, and which of the two packages it is."""
    try:
        module = importlib.import_module("ai_edge_litert")
    except ImportError:
        module = importlib.import_module("tflite_runtime")
    return {
        "version": str(getattr(module, "__version__", "")) or None,
        "file": getattr(module, "__file__", None),
        "build": {"package": module.__name__},
    }
