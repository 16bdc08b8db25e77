"""The networks in OpenVINO, from models made in memory (see :mod:`.onnx_model`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openvino  # noqa: TID253 - this module is imported only when it is asked for

from .base import BuiltNetworks
from .onnx_model import build_models
from .per_thread import PerThread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["OpenVINONetworks", "create"]

# OpenVINO keeps what it compiled for every input size it met, 5000 pieces by default: some 700 MB
# after 300 images of different sizes. Few pieces are as fast, because compiling costs little.
_CACHED_PIECES = 64


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> OpenVINONetworks:
    """See :func:`..create`. ``device``: "cpu", or a name as OpenVINO has it ("GPU", "GPU.1")."""
    core = _api().Core()
    place = device.upper() if device.lower() == "cpu" else device
    available = list(core.available_devices)
    # "GPU" is the first of several, whose names are "GPU.0" and so on.
    if place not in available and not any(name.startswith(place + ".") for name in available):
        raise ValueError(f"openvino has no device {device!r}, only {', '.join(available)}")
    return OpenVINONetworks(weights, core, place, threads, lanes)


def _api() -> Any:
    """Return the module with OpenVINO's classes; before 2023.1 it was a package below."""
    if hasattr(openvino, "Core"):
        return openvino
    from openvino import runtime

    return runtime


class OpenVINONetworks(BuiltNetworks):
    """P-Net, R-Net and O-Net as three compiled models in float32, free in size and batch."""

    _pnet, _rnet, _onet = 0, 1, 2

    def __init__(
        self, weights: Weights, core: Any, device: str, threads: int | None, lanes: int = 1
    ) -> None:
        self.lanes = lanes
        self._tensor = _api().Tensor
        # Without the first line processors with bfloat16 units would use them, and say nothing.
        options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(lanes)}
        if device == "CPU":
            options["CPU_RUNTIME_CACHE_CAPACITY"] = str(_CACHED_PIECES)
            if threads is not None:
                options["INFERENCE_NUM_THREADS"] = str(threads)
        models = build_models(weights)
        self._compiled = [
            core.compile_model(core.read_model(models[name], b""), device, options)
            for name in ("pnet", "rnet", "onet")
        ]
        # A request holds the input and the results of its one caller.
        self._requests = PerThread(
            lambda: [compiled.create_infer_request() for compiled in self._compiled]
        )
        # The binding fills tables at its first inference, and gives up Python's lock meanwhile:
        # two threads that begin together wait for each other for ever (seen with 2026.4.1).
        self.rnet(np.zeros((1, 3, 24, 24), np.float32))

    def enter_lane(self) -> None:
        """Make the calling thread's own requests."""
        self._requests.get()

    def _run(self, network: int, x: NDArray[Any]) -> list[NDArray[Any]]:
        request = self._requests.get()[network]
        # The input is read where it is; the results are copies, as the next call overwrites theirs.
        image = self._tensor(np.ascontiguousarray(x, np.float32), shared_memory=True)
        request.set_input_tensor(0, image)
        return [np.asarray(output) for output in request.infer().values()]
