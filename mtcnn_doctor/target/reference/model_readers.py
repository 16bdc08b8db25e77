"""Reads written model files with the programs that read such files, to see what they answer.

Each reader returns a function from images (N, 3, H, W) float32 to the outputs face, box and for
O-Net landmarks, channels second where there are four axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["READERS", "Call"]

Call = Callable[["NDArray[np.float32]"], List["NDArray[Any]"]]

_OUTPUTS = ("face", "box", "landmarks")


def _onnxruntime(path: str, outputs: int) -> Call:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: list(session.run(list(_OUTPUTS[:outputs]), {"image": x}))


def _openvino(path: str, outputs: int) -> Call:
    import openvino

    core = openvino.Core() if hasattr(openvino, "Core") else _older_core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()

    def call(x: NDArray[np.float32]) -> list[NDArray[Any]]:
        request.infer({"image": x})
        return [np.array(request.get_tensor(name).data) for name in _OUTPUTS[:outputs]]

    return call


def _older_core() -> Any:
    from openvino import runtime

    return runtime.Core()


def _opencv(path: str, outputs: int) -> Call:
    import cv2

    # Read by us: cv2 cannot open a path with letters that are not ASCII everywhere.
    net = cv2.dnn.readNetFromONNX(np.fromfile(path, np.uint8))

    def call(x: NDArray[np.float32]) -> list[NDArray[Any]]:
        net.setInput(x, "image")
        return [np.array(output) for output in net.forward(list(_OUTPUTS[:outputs]))]

    return call


def _litert(path: str, outputs: int) -> Call:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    return _tflite(Interpreter(model_path=path))


def _tensorflow_lite(path: str, outputs: int) -> Call:
    import tensorflow as tf

    return _tflite(tf.lite.Interpreter(model_path=path))


def _tflite(interpreter: Any) -> Call:
    def call(x: NDArray[np.float32]) -> list[NDArray[Any]]:
        image = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(index, image)
        interpreter.invoke()
        details = interpreter.get_output_details()
        return [_channels_second(interpreter.get_tensor(one["index"])) for one in details]

    return call


def _torchscript(path: str, outputs: int) -> Call:
    import torch

    module = torch.jit.load(path, map_location="cpu")

    def call(x: NDArray[np.float32]) -> list[NDArray[Any]]:
        with torch.no_grad():
            return [output.numpy() for output in module(torch.from_numpy(x))]

    return call


def _savedmodel(path: str, outputs: int) -> Call:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]

    def call(x: NDArray[np.float32]) -> list[NDArray[Any]]:
        answers = signature(image=tf.constant(x.transpose(0, 2, 3, 1)))
        return [_channels_second(answers[name].numpy()) for name in _OUTPUTS[:outputs]]

    return call


def _channels_second(output: NDArray[Any]) -> NDArray[Any]:
    return output.transpose(0, 3, 1, 2) if output.ndim == 4 else output


#: What a file is read with, by the names that the doctor orders. A file's path, and how many
#: outputs its network has, to the function that runs it.
READERS: dict[str, Callable[[str, int], Call]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "opencv": _opencv,
    "litert": _litert,
    "tensorflow-lite": _tensorflow_lite,
    "torch": _torchscript,
    "tensorflow": _savedmodel,
}
