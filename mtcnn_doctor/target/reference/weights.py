"""The published MTCNN weights, and other ones, read without any package but NumPy.

Canonical form, used by every backend: for each network a flat list of float32 arrays in the
order of the published Caffe definition, in the orientation of an upright image (rows are y).

* convolution: weight ``(out, in, ky, kx)``, bias ``(out,)``, then PReLU slope ``(out,)``;
* fully connected: weight ``(out, channel, y, x)`` of the feature map it flattens, bias, slope;
* heads: face logits ``(2, in)``, box offsets ``(4, in)`` and, for O-Net, landmarks ``(10, in)``,
  each followed by its bias.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict, List, Sequence

import numpy as np

__all__ = [
    "BUNDLED_FILE",
    "BUNDLED_SHA256",
    "LAYOUT",
    "PUBLISHED_DIGESTS",
    "Weights",
    "WeightsError",
    "canonical_digest",
    "load_weights",
]

Weights = Dict[str, List["np.ndarray[Any, np.dtype[np.float32]]"]]

BUNDLED_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights.safetensors")
BUNDLED_SHA256 = "b4e86e711067499ea076160226864361d2aca16f69ead8f03a1717f35e2c4619"

_REINSTALL = "Reinstall mtcnn-doctor (pip install --force-reinstall --no-deps mtcnn-doctor)."


def _layer(name: str, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    out = shape[:1]
    return [(name + ".weight", shape), (name + ".bias", out), (name + ".slope", out)]


def _head(name: str, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name + ".weight", shape), (name + ".bias", shape[:1])]


#: Tensor names and shapes of each network, in canonical order.
LAYOUT: dict[str, list[tuple[str, tuple[int, ...]]]] = {
    "pnet": _layer("conv1", (10, 3, 3, 3))
    + _layer("conv2", (16, 10, 3, 3))
    + _layer("conv3", (32, 16, 3, 3))
    + _head("face", (2, 32))
    + _head("box", (4, 32)),
    "rnet": _layer("conv1", (28, 3, 3, 3))
    + _layer("conv2", (48, 28, 3, 3))
    + _layer("conv3", (64, 48, 2, 2))
    + _layer("fc4", (128, 64, 3, 3))
    + _head("face", (2, 128))
    + _head("box", (4, 128)),
    "onet": _layer("conv1", (32, 3, 3, 3))
    + _layer("conv2", (64, 32, 3, 3))
    + _layer("conv3", (64, 64, 3, 3))
    + _layer("conv4", (128, 64, 2, 2))
    + _layer("fc5", (256, 128, 3, 3))
    + _head("face", (2, 256))
    + _head("box", (4, 256))
    + _head("landmarks", (10, 256)),
}

#: SHA-256 of the published weights in canonical form, see :func:`canonical_digest`.
PUBLISHED_DIGESTS: dict[str, str] = {
    "pnet": "d1622ddbe9a55f9f12dcc94b840ba7dd621d04b619310bc24e2f05c27eb5c44c",
    "rnet": "00118c87c726e05662aa443b127f14c10571d236305a9af2251c77519b7f9b2f",
    "onet": "51054d2f0be08319e910ea5da826bafc08b3854f9e9eb3cfa37bc94320e5401d",
}


class WeightsError(ValueError):
    """The weight file is missing, altered, truncated or not laid out as expected."""


def canonical_digest(arrays: Sequence[np.ndarray[Any, Any]]) -> str:
    """SHA-256 (hex) over the little-endian float32 bytes of a canonical list, one after another.

    Equal digests mean equal numbers in equal order, whatever file format they came from. Shapes
    do not enter, so a fully connected weight may be held as ``(out, C*y*x)`` as well.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def load_weights(path: str | None = None) -> Weights:
    """Read the weights of the three networks from a file.

    ``path`` of None means the bundled file, whose SHA-256 is verified first. Another file may be
    of any kind that :mod:`.files` reads (safetensors, .npy, .lz4, .pt, .caffemodel, .onnx, ...);
    nothing in it is run. Networks that are not in it are the bundled ones, so that one retrained
    network can be tried beside the published others.

    Returns a dictionary with the keys ``pnet`` (13 arrays), ``rnet`` (16) and ``onet`` (21), each
    a list of writable float32 arrays in canonical order and orientation.

    Raises :class:`WeightsError` naming the file and the remedy.
    """
    if path is not None:
        return _foreign(path)
    try:
        with open(BUNDLED_FILE, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise WeightsError(
            f"{BUNDLED_FILE}: cannot be read: {error.strerror}. {_REINSTALL}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != BUNDLED_SHA256:
        raise WeightsError(
            f"{BUNDLED_FILE}: altered or truncated: {len(data)} bytes with SHA-256 "
            f"{found[:16]}..., expected {BUNDLED_SHA256[:16]}.... {_REINSTALL}"
        )
    tensors = _parse_safetensors(data)
    return {
        network: [tensors[f"{network}.{name}"] for name, _ in layout]
        for network, layout in LAYOUT.items()
    }


def _foreign(path: str) -> Weights:
    # Imported here: it needs this module, and who uses the bundled weights does not need it.
    from .files.describe import read

    fix = "Get the file again, or leave it out to use the bundled one."
    found = read(path)
    if found.facts["state"] != "read":
        raise WeightsError(f"{path}: {found.facts['reason']}. {fix}")
    for network, facts in found.facts["networks"].items():
        if facts["wrong"]:
            wrong = facts["wrong"][0]
            raise WeightsError(
                f"{path}: {network}.{wrong['layer']} has shape {tuple(wrong['found'])}, expected "
                f"{tuple(wrong['expected'])}. {fix}"
            )
        if facts["missing"]:
            raise WeightsError(f"{path}: {network}.{facts['missing'][0]} is missing. {fix}")
    return {**load_weights(), **found.networks}


def _parse_safetensors(data: bytes) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """All tensors of the bundled file, whose digest was verified.

    Format: 8 bytes little-endian header length, a JSON header that gives dtype, shape and byte
    range of each tensor, then the data. https://huggingface.co/docs/safetensors
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length].decode("utf-8"))
    body = memoryview(data)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            # frombuffer gives a read-only view; torch warns about those, so copy (2 MB in all).
            flat = np.frombuffer(body[start:stop], dtype="<f4").astype(np.float32, copy=True)
            tensors[name] = flat.reshape(tuple(entry["shape"]))
    return tensors
