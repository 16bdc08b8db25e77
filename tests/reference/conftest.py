from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_doctor.target.reference import picture, weights
from mtcnn_doctor.target.reference.networks.numpy_backend import NumpyNetworks

IMAGES = Path(__file__).resolve().parents[2] / "reference_images"


@pytest.fixture(scope="session")
def published() -> weights.Weights:
    return weights.load_weights()


@pytest.fixture(scope="session")
def exact(published: weights.Weights) -> NumpyNetworks:
    """The yardstick: the numpy backend in float64."""
    return NumpyNetworks(published, np.float64)


@pytest.fixture(scope="session")
def expected() -> Any:
    return json.loads((IMAGES / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def images(expected: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {e["file"]: picture.read_rgb(str(IMAGES / e["file"])) for e in expected["images"]}


@pytest.fixture(params=["numpy", "compiled"])
def kernels(request):
    """Both implementations of what is computed between the networks."""
    if request.param == "numpy":
        from mtcnn_doctor.target.reference.kernels import Kernels

        return Kernels
    pytest.importorskip("numba", exc_type=ImportError)
    from mtcnn_doctor.target.reference.compiled import CompiledKernels

    return CompiledKernels
