"""What NumPy says of itself, in a child that has imported it."""

from __future__ import annotations

import importlib
from typing import Any


def _build(module: Any) -> dict[str, Any]:
    # mode="dicts" came with NumPy 1.25; older releases can only print.
    config = module.show_config(mode="dicts")
    facts: dict[str, Any] = {}
    for name, row in (config.get("Build Dependencies") or {}).items():
        if isinstance(row, dict):
            facts[str(name)] = {
                key: str(row[key]) for key in ("name", "version", "found") if row.get(key)
            }
    simd = config.get("SIMD Extensions") or {}
    for key in ("baseline", "found", "not found"):
        if isinstance(simd.get(key), (list, tuple)):
            facts.setdefault("simd", {})[key] = [str(name) for name in simd[key]]
    return facts


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, and the linear algebra library NumPy was built with."""
    module = importlib.import_module("numpy")
    facts: dict[str, Any] = {
        "version": str(getattr(module, "__version__", "")) or None,
        "file": getattr(module, "__file__", None),
        "build": {},
    }
    try:
        facts["build"] = _build(module)
    except Exception:  # a fact that cannot be had stays out
        pass
    return facts
