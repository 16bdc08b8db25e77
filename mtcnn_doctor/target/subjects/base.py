"""What an adapter is, and making the one of a package.

An adapter calls a package as its documentation does, with the package's own defaults, and puts the
answer into our words: boxes x, y, width, height, and five keypoints, all in pixels of the image.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, Dict, Iterator

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KEYPOINTS", "NETWORKS", "Adapter", "Face", "Networks", "create", "face", "quiet"]

#: As in ``reference/result.py``, which needs NumPy.
KEYPOINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

#: The three networks in the order in which packages keep them.
NETWORKS = ("pnet", "rnet", "onet")

Face = Dict[str, Any]

#: The module of each adapter, by the name of the subject.
_ADAPTERS = {"mtcnn": "mtcnn_package", "facenet-pytorch": "facenet_package"}


class Networks:
    """A package's own networks, in the words of the reference.

    Each takes (N, 3, h, w) float32, RGB, normalised, upright, and returns the probability of a face
    (N, ...), offsets (N, 4, ...) and for O-Net landmarks (N, 10), as the reference orders them.
    """

    def answers(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Run "pnet", "rnet" or "onet" and return its outputs in the order of all known packages.

        That is offsets, landmarks where there are some, both probabilities; channels second.
        """
        raise NotImplementedError

    def _judged(self, network: str, x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        *found, faces = self.answers(network, x)
        return (faces[:, 1], *found)

    def pnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Proposal network: probability (N, h, w) and offsets (N, 4, h, w)."""
        return self._judged("pnet", x)

    def rnet(self, x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Refinement network: probability (N,) and offsets (N, 4)."""
        return self._judged("rnet", x)

    def onet(self, x: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Output network: probability (N,), offsets (N, 4) and landmarks (N, 10)."""
        return self._judged("onet", x)

    def layers(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs of a network's layers in order, as far as they can be heard."""
        return []


class Adapter:
    """A package's detector, built with the package's defaults."""

    def detect(self, image: NDArray[Any]) -> list[Face]:
        """Return the faces on an H×W×3 uint8 RGB image as the package finds them."""
        raise NotImplementedError

    def networks(self) -> Networks | None:
        """Return the package's own networks, None where they cannot be reached."""
        return None

    def fed(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """Detect once more and return what P-Net was fed, (N, 3, h, w) and upright.

        Empty where P-Net cannot be listened to. What the package raises does not matter here.
        """
        return []


def create(name: str) -> Adapter:
    """Build the detector of a subject, which has been imported already."""
    if name not in _ADAPTERS:
        from . import plugin

        with quiet():
            return plugin.create(name)
    module = importlib.import_module("." + _ADAPTERS[name], __package__)
    with quiet():
        adapter: Adapter = module.create()
    return adapter


def face(box: Any, confidence: Any, keypoints: dict[str, Any]) -> Face:
    """Return a face as plain numbers; ``keypoints`` that a package lacks are left out."""
    return {
        "box": [float(value) for value in box],
        "confidence": float(confidence),
        "keypoints": {
            name: [float(value) for value in keypoints[name]]
            for name in KEYPOINTS
            if name in keypoints
        },
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a package's progress bars from the screen; errors are written elsewhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield
