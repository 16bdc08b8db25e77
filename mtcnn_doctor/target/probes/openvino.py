"""What OpenVINO says of itself, in a child that has imported it."""

from __future__ import annotations

import importlib
from typing import Any


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, the devices, and the arithmetic the CPU plug-in knows."""
    module = importlib.import_module("openvino")
    if not hasattr(module, "Core"):
        module = importlib.import_module("openvino.runtime")
    facts: dict[str, Any] = {"version": None, "file": getattr(module, "__file__", None)}
    build = facts["build"] = {}
    try:
        # "2026.4.1-22982-e213a147257-releases/2026/4"
        facts["version"] = str(module.get_version()).partition("-")[0] or None
        core = module.Core()
        build["devices"] = [str(name) for name in core.available_devices]
        build["cpu"] = sorted(map(str, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")))
    except Exception:  # a fact that cannot be had stays out
        pass
    return facts
