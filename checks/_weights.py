"""Words about weight files that several checks share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtcnn_doctor.facts import WeightFile, WeightNetwork

NAMES = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
#: How Keras and torch call the networks in their messages.
KERAS = {"pnet": "p_net", "rnet": "r_net", "onet": "o_net"}
TORCH = {"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}

#: Layout to the program that reads files of this kind.
PROGRAMS = {
    "mtcnn-doctor": "mtcnn-doctor",
    "mtcnn-0.1": "mtcnn 0.1",
    "mtcnn-1.0": "mtcnn 1.0",
    "facenet": "facenet",
    "facenet-pytorch": "facenet-pytorch",
    "caffe": "Caffe",
    "caffe-relu": "Caffe",
    "keras": "Keras",
    "torch": "torch",
    "onnx": "an ONNX runtime",
    "list": "Keras",
}


def name_of(file: WeightFile) -> str:
    """The file's name."""
    return file.get("name") or file.get("path", "the file")


def networks(files: list[WeightFile]) -> Iterator[tuple[WeightFile, str, WeightNetwork]]:
    """Each network of each file that was read."""
    for file in files:
        for network, facts in (file.get("networks") or {}).items():
            yield file, network, facts


def about(file: WeightFile, network: str) -> str:
    """A network of a file, as findings name it: without the network where there is only one."""
    if len(file.get("networks") or {}) < 2:
        return name_of(file)
    return f"{name_of(file)} ({NAMES.get(network, network)})"


def is_torch(facts: WeightNetwork) -> bool:
    """Whether the arrays come from torch."""
    return facts.get("layout") in ("facenet-pytorch", "torch")


def shape(sizes: Any) -> str:
    """A shape as Python writes a tuple."""
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(map(str, sizes))})"
