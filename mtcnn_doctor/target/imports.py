"""Importing a framework under observation, and collecting what it says of itself."""

from __future__ import annotations

import importlib
import time
from typing import Any

from .channel import Channel
from .failures import describe, is_memory_failure
from .process import mapped_libraries

#: The probe (and fact) that belongs to a module's import name.
PROBES = {
    "numpy": "numpy",
    "cv2": "opencv",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ai_edge_litert": "litert",
    "tflite_runtime": "litert",
}
#: Packages that load nothing by themselves: the module in which their libraries are.
_ENTRANCES = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
}


def import_framework(channel: Channel, module: str, facts: bool) -> bool:
    """Import a module and send how it went; return whether it loaded.

    With ``facts`` a ``loaded`` message with the framework's own facts follows a success. A
    module that cannot be imported is an answer (``not-loadable``), not a failure of the task.
    """
    channel.enter("import", module)
    channel.send("phase", name="import " + module)
    started = time.perf_counter()
    try:
        importlib.import_module(_ENTRANCES.get(module, module))
    except BaseException as error:  # SystemExit and KeyboardInterrupt end programs, too
        channel.send(
            "not-loadable",
            module=module,
            out_of_memory=is_memory_failure(error),
            error=describe(error),
        )
        # What it met in the process may be why.
        channel.send("libraries", paths=mapped_libraries())
        return False
    elapsed = (time.perf_counter() - started) * 1000
    channel.send("imported", module=module, import_ms=round(elapsed, 1))
    if facts:
        _send_facts(channel, module, elapsed)
    return True


def _send_facts(channel: Channel, module: str, import_ms: float) -> None:
    probe = PROBES.get(module)
    if probe is None:
        return  # a plug-in, of which nobody knows what it could say
    channel.enter("import", "facts of " + module)
    value: dict[str, Any] = {"state": "ok", "import_ms": round(import_ms, 1)}
    try:
        value.update(importlib.import_module(".probes." + probe, __package__).collect({}))
    except Exception as error:
        channel.send("probe-failed", name=probe, error=describe(error))
    channel.send("loaded", name=probe, value=value)
