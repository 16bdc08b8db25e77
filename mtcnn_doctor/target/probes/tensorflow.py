"""What TensorFlow says of itself, in a child that has imported it."""

from __future__ import annotations

import importlib
from typing import Any

from ._mapped import cuda_libraries


def _devices(tensorflow: Any) -> list[dict[str, Any]]:
    found = []
    for device in tensorflow.config.list_physical_devices("GPU"):
        row: dict[str, Any] = {"name": str(device.name)}
        try:
            details = tensorflow.config.experimental.get_device_details(device)
            row["name"] = str(details.get("device_name") or row["name"])
            if details.get("compute_capability"):
                row["capability"] = "{}.{}".format(*details["compute_capability"])
        except Exception:  # the details are an experimental interface
            pass
        found.append(row)
    return found


def _build_info(tensorflow: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for key, value in dict(tensorflow.sysconfig.get_build_info()).items():
        if isinstance(value, (bool, int, str)):
            facts[str(key)] = value
        elif isinstance(value, (list, tuple)):
            facts[str(key)] = [str(item) for item in value]
    return facts


def _keras(tensorflow: Any) -> dict[str, Any]:
    keras = tensorflow.keras
    version = getattr(keras, "__version__", None) or keras.version()
    return {"keras": str(version)}


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, build information, GPUs and the Keras behind ``tf.keras``."""
    tensorflow = importlib.import_module("tensorflow")
    facts: dict[str, Any] = {
        "version": str(getattr(tensorflow, "__version__", "")) or None,
        "file": getattr(tensorflow, "__file__", None),
        "build": {},
    }
    for ask in (
        lambda: _build_info(tensorflow),
        lambda: {"devices": _devices(tensorflow)},
        lambda: {"cuda_libraries": cuda_libraries()},
    ):
        try:
            facts["build"].update(ask())
        except Exception:  # a fact that cannot be had stays out
            pass
    try:
        facts["build"].update(_keras(tensorflow))
    except Exception as problem:
        # tf.keras loads on first touch: this is where a wrong Keras shows.
        facts["build"]["keras_error"] = f"{type(problem).__name__}: {str(problem)[:300]}"
    return facts
