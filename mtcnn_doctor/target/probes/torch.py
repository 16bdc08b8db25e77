"""What PyTorch says of itself, in a child that has imported it."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from ._mapped import cuda_libraries


def _bridge(torch: Any) -> str:
    """Return "ok" when an array goes to a tensor and back, else the error it met."""
    try:
        numpy = importlib.import_module("numpy")
        array = numpy.arange(4, dtype="float32")
        back = torch.from_numpy(array).mul(2).numpy()
        return "ok" if float(back.sum()) == 12.0 else "wrong values came back"
    except Exception as problem:
        return f"{type(problem).__name__}: {str(problem)[:300]}"


def _devices(torch: Any) -> list[dict[str, Any]]:
    found = []
    for index in range(torch.cuda.device_count()):
        name = str(torch.cuda.get_device_name(index))
        capability = "{}.{}".format(*torch.cuda.get_device_capability(index))
        found.append({"index": index, "name": name, "capability": capability})
    return found


def _mps(torch: Any) -> dict[str, bool]:
    backend = torch.backends.mps
    return {"built": bool(backend.is_built()), "available": bool(backend.is_available())}


def _cudnn(torch: Any) -> Any:
    try:
        return torch.backends.cudnn.version()
    except RuntimeError as problem:
        return str(problem)[:400]


def _number(version: Any) -> int:
    """Return (8, 9, 2) and (9, 1, 0) as cuDNN numbers them: 8902 and 90100."""
    major, minor, patch = version
    return int(major * (10000 if major >= 9 else 1000) + minor * 100 + patch)


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return version, file, the bridge to NumPy, and the accelerators of the build."""
    torch = importlib.import_module("torch")
    facts: dict[str, Any] = {
        "version": str(getattr(torch, "__version__", "")) or None,
        "file": getattr(torch, "__file__", None),
        "build": {},
        "numpy_bridge": _bridge(torch),
    }
    build = facts["build"]
    with warnings.catch_warnings(record=True) as heard:
        # torch explains in a warning why it sees no device; that explanation is a fact.
        warnings.simplefilter("always")
        for key, ask in (
            ("cuda", lambda: torch.version.cuda),
            ("hip", lambda: getattr(torch.version, "hip", None)),
            ("cuda_available", lambda: bool(torch.cuda.is_available())),
            ("arch_list", lambda: [str(name) for name in torch.cuda.get_arch_list()]),
            ("cudnn", lambda: _cudnn(torch)),
            ("cudnn_compiled", lambda: _number(torch._C._cudnn.getCompileVersion())),
            ("mps", lambda: _mps(torch)),
            ("threads", lambda: int(torch.get_num_threads())),
            ("interop_threads", lambda: int(torch.get_num_interop_threads())),
        ):
            try:
                build[key] = ask()
            except Exception:  # a fact that cannot be had stays out
                pass
        if build.get("cuda_available"):
            try:
                build["devices"] = _devices(torch)
            except Exception as problem:
                build["devices_error"] = str(problem)[:300]
    # torch refuses a cuDNN that does not go with the one it was compiled with, in an exception.
    if isinstance(build.get("cudnn"), str):
        build["cudnn_error"] = build.pop("cudnn")
    build["cuda_libraries"] = cuda_libraries()
    if heard:
        build["warnings"] = [str(warning.message)[:400] for warning in heard[:5]]
    return facts
