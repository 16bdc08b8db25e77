"""The backends the doctor knows: what each imports, and which distributions bring it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """Something that executes the reference networks; ``fact`` names its level-2 fact."""

    name: str
    module: str
    fact: str
    install: str


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("numpy", "numpy", "numpy", "numpy"),
        Backend("torch", "torch", "torch", "torch"),
        Backend("tensorflow", "tensorflow", "tensorflow", "tensorflow"),
        Backend("onnxruntime", "onnxruntime", "onnxruntime", "onnxruntime"),
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
