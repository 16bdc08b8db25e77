"""The networks in LiteRT (once TensorFlow Lite), from models made in memory (:mod:`.tflite_model`).

The package is ai-edge-litert; where it is missing, its predecessor tflite-runtime. The interpreter
inside TensorFlow is not used: the tensorflow backend examines that package.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import BuiltNetworks, share_of_threads
from .per_thread import PerThread
from .tflite_model import build_models
from .tiles import pnet_on_tiles

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError as problem:
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        raise problem from None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..weights import Weights

__all__ = ["LiteRTNetworks", "create"]

# Preparing an interpreter for another height or width takes twice as long as running it, and its
# memory is that of its largest input ever; another batch costs nothing. Tiles of this side and
# batch are run faster than whole levels, since what they compute fits into the cache.
_SIDE, _BATCH = 64, 16
# Four shapes of tiles and those of the small levels of a pyramid.
_SHAPES = 16


def create(
    weights: Weights, device: str = "cpu", threads: int | None = None, lanes: int = 1
) -> LiteRTNetworks:
    """See :func:`..create`. ``device``: "cpu" only.

    LiteRT's own default is one thread; ``threads`` of None means all processors here, as in the
    other frameworks.
    """
    if device != "cpu":
        raise ValueError(f"the litert backend runs on the device 'cpu' only, not on {device!r}")
    return LiteRTNetworks(weights, share_of_threads(threads, lanes), lanes)


class LiteRTNetworks(BuiltNetworks):
    """P-Net, R-Net and O-Net as interpreters in float32, a set for every lane.

    ``threads``: of one interpreter.
    """

    channels_last = True
    _pnet, _rnet, _onet = "pnet", "rnet", "onet"

    def __init__(self, weights: Weights, threads: int, lanes: int = 1) -> None:
        self.lanes = lanes
        self.threads = threads
        self._models = build_models(weights)
        self._sets = PerThread(self._load)
        self._sets.get()  # what is wrong with it is said now

    def enter_lane(self) -> None:
        """Make the calling thread's own interpreters."""
        self._sets.get()

    def _load(self) -> dict[str, _Interpreters]:
        return {name: _Interpreters(model, self.threads) for name, model in self._models.items()}

    def pnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See :class:`..Networks`."""
        logits, offsets = pnet_on_tiles(
            self._sets.get()["pnet"].run, _channels_last(x), _SIDE, _BATCH
        )
        return logits.transpose(0, 3, 1, 2), offsets.transpose(0, 3, 1, 2)

    def _run(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        return self._sets.get()[network].run(_channels_last(x))


def _channels_last(x: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1), np.float32)


class _Interpreters:
    """One model, with an interpreter for each of the sizes met last."""

    def __init__(self, model: bytes, threads: int) -> None:
        self._model, self._threads = model, threads
        self._kept: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        first = self._new()
        # Asking for them takes longer than a small network.
        self._input = first.get_input_details()[0]["index"]
        self._outputs = [one["index"] for one in first.get_output_details()]

    def _new(self) -> Any:
        return Interpreter(model_content=self._model, num_threads=self._threads)

    def run(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Run (N, H, W, 3); returns the outputs, channels last."""
        interpreter = self._sized(x.shape)
        interpreter.set_tensor(self._input, x)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._outputs]

    def _sized(self, shape: tuple[int, ...]) -> Any:
        key = shape[1:]
        interpreter = self._kept.pop(key, None)
        if interpreter is None:
            full = len(self._kept) >= _SHAPES
            interpreter = self._kept.popitem(last=False)[1] if full else self._new()
        self._kept[key] = interpreter
        interpreter.resize_tensor_input(self._input, shape)
        interpreter.allocate_tensors()
        return interpreter
