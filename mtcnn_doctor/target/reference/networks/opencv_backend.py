"""The networks in OpenCV's own engine (cv2.dnn), from models made in memory (:mod:`.onnx_model`).

OpenCV 4.5.5 to 5.0 give the right answer for every input size and batch, in whatever order they
come; a change of size costs a new allocation, no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2  # noqa: TID253 - this module is imported only when it is asked for
import numpy as np

from .base import BuiltNetworks, share_of_threads
from .onnx_model import build_models
from .per_thread import PerThread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["OpenCVNetworks", "create"]

# Device beside the CPU: its backend and target as cv2.dnn calls them. Half-precision targets are
# left out: their answers are others.
_DEVICES = {
    "opencl": ("OPENCV", "OPENCL"),
    "cuda": ("CUDA", "CUDA"),
    "vulkan": ("VKCOM", "VULKAN"),
}


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> OpenCVNetworks:
    """See :func:`..create`. ``device``: "cpu", or one of "opencl", "cuda", "vulkan" if it is there.

    OpenCV has one number of threads for the whole process, which ``threads`` and ``lanes`` change.
    Raises ImportError for a build of OpenCV without its dnn module.
    """
    if not hasattr(cv2, "dnn"):
        raise ImportError(f"this OpenCV ({cv2.__version__}) was built without its module dnn")
    place = None if device == "cpu" else _place(device)
    if lanes > 1:
        cv2.setNumThreads(share_of_threads(threads, lanes))
    elif threads is not None:
        cv2.setNumThreads(threads)
    return OpenCVNetworks(weights, place, lanes)


def _place(device: str) -> tuple[int, int]:
    """Return the numbers of backend and target; ValueError if this OpenCV or machine lacks it."""
    found: dict[str, tuple[int, int]] = {}
    for name, (backend, target) in _DEVICES.items():
        numbers = (
            getattr(cv2.dnn, "DNN_BACKEND_" + backend, -1),
            getattr(cv2.dnn, "DNN_TARGET_" + target, -1),
        )
        if min(numbers) >= 0 and numbers[1] in cv2.dnn.getAvailableTargets(numbers[0]):
            found[name] = numbers
    if device not in found:
        raise ValueError(
            f"cv2.dnn has no device {device!r} here, only {', '.join(['cpu', *found])}"
        )
    return found[device]


class OpenCVNetworks(BuiltNetworks):
    """P-Net, R-Net and O-Net as three nets of cv2.dnn in float32, a set for every lane.

    ``place``: numbers of the backend and the target in cv2.dnn, None for the CPU.
    """

    _pnet, _rnet, _onet = "pnet", "rnet", "onet"

    def __init__(self, weights: Weights, place: tuple[int, int] | None, lanes: int = 1) -> None:
        self.lanes = lanes
        self._place = place
        self._models = build_models(weights)
        # A net holds the input and the results of its one caller.
        self._nets = PerThread(self._load)
        self._nets.get()  # what is wrong with it is said now

    def enter_lane(self) -> None:
        """Load the calling thread's own nets."""
        self._nets.get()

    def _load(self) -> dict[str, tuple[Any, list[str]]]:
        loaded = {}
        for name, model in self._models.items():
            net = self._read(np.frombuffer(model, np.uint8))
            outputs = ["face", "box"] + (["landmarks"] if name == "onet" else [])
            loaded[name] = (net, outputs)
        return loaded

    def _read(self, model: NDArray[np.uint8]) -> Any:
        if self._place is None:
            return cv2.dnn.readNetFromONNX(model)
        # The engine that is new in OpenCV 5 runs on the CPU whatever it is told.
        classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
        engine = {} if classic is None else {"engine": classic}
        net = cv2.dnn.readNetFromONNX(model, **engine)
        net.setPreferableBackend(self._place[0])
        net.setPreferableTarget(self._place[1])
        return net

    def _run(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        net, outputs = self._nets.get()[network]
        net.setInput(np.ascontiguousarray(x, np.float32), "image")
        # The arrays that come back may be views of memory that the next call writes to.
        return [np.array(output) for output in net.forward(outputs)]
