"""Writes the three networks as model files for other programs.

Every file holds one network with raw logits, as everywhere in this package; in which order the
axes come is what the readers of the format expect.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from .weights import Weights

__all__ = ["FILES", "NETWORKS", "write"]

NETWORKS = ("pnet", "rnet", "onet")

#: Format: what follows the network's name in its file's name ("" for a folder).
FILES = {"onnx": ".onnx", "tflite": ".tflite", "torchscript": ".pt", "savedmodel": ""}

_OUTPUTS = ("face", "box", "landmarks")


def write(kind: str, weights: Weights, folder: str) -> dict[str, str]:
    """Write all networks into a folder that exists; returns network to file name.

    ``kind``: a key of :data:`FILES`. Raises ImportError where the format needs a framework that is
    missing, OSError where the folder cannot be written.
    """
    writer = {
        "onnx": _onnx,
        "tflite": _tflite,
        "torchscript": _torchscript,
        "savedmodel": _savedmodel,
    }[kind]
    names = {network: network + FILES[kind] for network in NETWORKS}
    writer(weights, {network: os.path.join(folder, name) for network, name in names.items()})
    return names


def _onnx(weights: Weights, paths: dict[str, str]) -> None:
    from .networks.onnx_model import build_models

    _write_bytes(build_models(weights), paths)


def _tflite(weights: Weights, paths: dict[str, str]) -> None:
    from .networks.tflite_model import build_models

    _write_bytes(build_models(weights), paths)


def _write_bytes(models: dict[str, bytes], paths: dict[str, str]) -> None:
    for network, path in paths.items():
        with open(path, "wb") as stream:
            stream.write(models[network])


def _torchscript(weights: Weights, paths: dict[str, str]) -> None:
    import torch

    from .networks import torch_backend

    for (network, path), size in zip(paths.items(), (30, 24, 48)):
        module = torch_backend.BUILDERS[network](weights[network]).eval()
        # No branch depends on the example: what is traced holds for every size and batch.
        with torch.inference_mode(False), torch.no_grad():
            torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3, size, size)), path)


def _savedmodel(weights: Weights, paths: dict[str, str]) -> None:
    import tensorflow as tf

    from .networks import tensorflow_backend

    for (network, path), size in zip(paths.items(), (None, 24, 48)):
        module = tf.Module()
        arrays = [tensorflow_backend.arrange(array) for array in weights[network]]
        module.arrays = [tf.constant(array, tf.float32) for array in arrays]
        image = tf.TensorSpec([None, size, size, 3], tf.float32, name="image")
        module.__call__ = tf.function(
            _named(tensorflow_backend.BODIES[network], module.arrays),
            input_signature=[image],
            autograph=False,
        )
        tf.saved_model.save(module, path, signatures=module.__call__)


def _named(build: Any, arrays: list[Any]) -> Callable[[Any], dict[str, Any]]:
    def call(image: Any) -> dict[str, Any]:
        return dict(zip(_OUTPUTS, build(image, arrays)))

    return call
