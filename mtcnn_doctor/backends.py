"""The backends the doctor knows: what each imports, and which distributions bring it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """Something that executes the reference networks.

    ``module`` is its import name, ``fact`` its level-2 fact, ``distributions`` the packages that
    bring it, by normalised name.
    """

    name: str
    module: str
    fact: str
    distributions: tuple[str, ...]


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("numpy", "numpy", "numpy", ("numpy",)),
        Backend("torch", "torch", "torch", ("torch",)),
        Backend(
            "tensorflow",
            "tensorflow",
            "tensorflow",
            ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"),
        ),
        Backend(
            "onnxruntime",
            "onnxruntime",
            "onnxruntime",
            ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
        ),
    )
}

#: Modules whose presence makes an interpreter worth examining.
MODULES_OF_INTEREST = (
    "numpy",
    "cv2",
    "torch",
    "tensorflow",
    "onnxruntime",
    "keras",
    "mtcnn",
    "facenet_pytorch",
)
