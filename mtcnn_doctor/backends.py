"""The backends the doctor knows: what each imports, and which distributions bring it.

Beside the built-in ones there are those that distributions of the target bring as entry points of
the group ``mtcnn_doctor.backends`` (see docs/write-a-backend.md). Their metadata tell of them; they
are imported in children of the target only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Backend:
    """Something that executes the reference networks.

    ``module`` is its import name, ``others`` are modules that will do in its place. ``fact`` is
    its level-2 fact, None for a plug-in. ``distributions`` are the packages that bring it, by
    normalised name; ``oldest`` is their first release that can run the networks.
    """

    name: str
    module: str
    fact: str | None
    distributions: tuple[str, ...]
    others: tuple[str, ...] = ()
    oldest: str | None = None

    @property
    def is_plugin(self) -> bool:
        """Whether a distribution of the target brings it as an entry point."""
        return self.fact is None

    def importable(self, present: Callable[[str], bool]) -> str | None:
        """Return the first of its modules that is present, None where none is."""
        return next((name for name in (self.module, *self.others) if present(name)), None)


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
        Backend(
            "opencv",
            "cv2",
            "opencv",
            (
                "opencv-python",
                "opencv-python-headless",
                "opencv-contrib-python",
                "opencv-contrib-python-headless",
            ),
            # Its dnn module rounded pooling down before, whatever the model said.
            oldest="4.5.5",
        ),
        Backend("openvino", "openvino", "openvino", ("openvino", "openvino-nightly")),
        Backend(
            "litert",
            "ai_edge_litert",
            "litert",
            ("ai-edge-litert", "ai-edge-litert-nightly", "tflite-runtime"),
            others=("tflite_runtime",),
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
    "openvino",
    "ai_edge_litert",
    "tflite_runtime",
    "keras",
    "mtcnn",
    "facenet_pytorch",
)


def known(packages: Mapping[str, Any]) -> dict[str, Backend]:
    """Return the built-in backends and the target's plug-ins, by name; built-in ones win."""
    found = dict(BACKENDS)
    for distribution in packages.get("distributions") or ():
        for name, place in (distribution.get("backends") or {}).items():
            module = str(place).partition(":")[0].strip()
            plugin = Backend(name, module, None, (str(distribution.get("key")),))
            found.setdefault(name, plugin)
    return found
