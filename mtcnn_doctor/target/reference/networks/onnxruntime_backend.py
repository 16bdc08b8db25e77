"""The networks in ONNX Runtime, from models made in memory (see :mod:`.onnx_model`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime  # noqa: TID253 - this module is imported only when it is asked for

from .base import BuiltNetworks, share_of_threads
from .onnx_model import build_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["OnnxRuntimeNetworks", "create"]


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> OnnxRuntimeNetworks:
    """See :func:`..create`. ``device``: "cpu" or the name of an execution provider."""
    provider = "CPUExecutionProvider" if device == "cpu" else device
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ValueError(f"onnxruntime has no provider {provider!r}, only {', '.join(available)}")
    if lanes > 1:
        threads = share_of_threads(threads, lanes)
    networks = OnnxRuntimeNetworks(weights, provider, threads)
    networks.lanes = lanes
    return networks


class OnnxRuntimeNetworks(BuiltNetworks):
    """P-Net, R-Net and O-Net as three inference sessions in float32."""

    #: Measured: no slower than 64, and a fifth less memory on large crowds.
    max_crops = 32

    def __init__(self, weights: Weights, provider: str, threads: int | None = None) -> None:
        self.provider = provider
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        models = build_models(weights)
        self._pnet, self._rnet, self._onet = (
            self._session(models[name], options) for name in ("pnet", "rnet", "onet")
        )

    def _session(self, model: bytes, options: Any) -> Any:
        session = onnxruntime.InferenceSession(model, options, providers=[self.provider])
        if self.provider not in session.get_providers():
            # It falls back to the CPU with no more than a line in the log.
            raise ValueError(f"onnxruntime could not start {self.provider}; see its messages")
        return session

    def _run(self, session: Any, x: NDArray[Any]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = session.run(None, {"image": x.astype(np.float32, copy=False)})
        return outputs
