"""Networks as weight files of the packages, and which files those are."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from ..weights import LAYOUT
from . import lz4frame, pickle_writer
from .canonical import CONVENTIONS, Convention, flattened
from .protobuf import bytes_field, varint_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Networks = Mapping[str, Sequence[NDArray[np.float32]]]

__all__ = ["ALL_IN_ONE", "FORMATS", "encode"]

_DET = {"pnet": "det1", "rnet": "det2", "onet": "det3"}
#: Format to the name of a network's file; formats with one file for all name that.
FORMATS = {
    "safetensors": "mtcnn.safetensors",
    "mtcnn-0.1": "mtcnn_weights.npy",
    "mtcnn-1.0": "{net}.lz4",
    "facenet": "{det}.npy",
    "facenet-pytorch": "{net}.pt",
    "caffe": "{det}.caffemodel",
    "onnx": "{net}.onnx",
}
#: Those of one file; mtcnn 0.1 cannot do with less than all three networks.
ALL_IN_ONE = ("safetensors", "mtcnn-0.1")


def encode(format: str, networks: Networks) -> dict[str, bytes]:
    """File names to contents. ``networks``: canonical lists."""
    if format == "safetensors":
        return {FORMATS[format]: _safetensors(networks)}
    if format == "mtcnn-0.1":
        tree = {net: _list(net, arrays, CONVENTIONS[format]) for net, arrays in networks.items()}
        return {FORMATS[format]: pickle_writer.numpy_object(tree)}
    names = {net: FORMATS[format].format(net=net, det=_DET[net]) for net in networks}
    if format == "onnx":
        from ..networks.onnx_model import build_model

        return {names[net]: build_model(net, list(arrays)) for net, arrays in networks.items()}
    writer = {
        "mtcnn-1.0": _lz4, "facenet": _facenet, "facenet-pytorch": _torch, "caffe": _caffe,
    }[format]  # fmt: skip
    return {names[net]: writer(net, arrays) for net, arrays in networks.items()}


def _kernel(array: NDArray[np.float32], convention: Convention, last: str) -> Any:
    """A canonical weight in a package's order; ``last``: axis that comes last, "O" or "I"."""
    if array.ndim == 2:
        return array.T if last == "O" else array
    if convention.transposed:
        array = array.transpose(0, 1, 3, 2)
    return array.transpose(2, 3, 1, 0) if last == "O" else array


def _layers(
    net: str, arrays: Sequence[NDArray[np.float32]], convention: Convention, last: str
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Layer to its arrays (weight, bias, slope), in a package's order."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for (name, _), array in zip(LAYOUT[net], arrays):
        layer, role = name.rsplit(".", 1)
        value: Any = array
        if role == "weight" and layer.startswith("fc"):
            matrix = flattened(array, convention.flatten)
            value = matrix.T if last == "O" else matrix
        elif role == "weight":
            value = _kernel(array, convention, last)
            if net == "pnet" and array.ndim == 2:
                # P-Net's heads are convolutions of 1x1.
                value = value[None, None] if last == "O" else value[:, :, None, None]
        found.setdefault(layer, {})[role] = np.ascontiguousarray(value, dtype=np.float32)
    return found


def _list(
    net: str, arrays: Sequence[NDArray[np.float32]], convention: Convention
) -> list[NDArray[np.float32]]:
    """A flat list for Keras: W, b and the slopes as PReLU with shared axes keeps them."""
    layers = _layers(net, arrays, convention, "O")
    body = [layer for layer in layers if layer not in convention.heads]
    heads = [head for head in convention.heads if head in layers]
    found = []
    for layer in (*body, *heads):
        parts = layers[layer]
        found += [parts["weight"], parts["bias"]]
        if "slope" in parts:
            slope = parts["slope"]
            found.append(slope if layer.startswith("fc") else slope[None, None])
    return found


def _lz4(net: str, arrays: Sequence[NDArray[np.float32]]) -> bytes:
    listed = _list(net, arrays, CONVENTIONS["mtcnn-1.0"])
    return lz4frame.compress(pickle_writer.joblib_list(listed))


def _caffe_name(net: str, layer: str) -> str:
    last = {"pnet": "conv4-", "rnet": "conv5-", "onet": "conv6-"}[net]
    number = {"face": "1", "box": "2", "landmarks": "3"}.get(layer)
    return last + number if number else layer.replace("fc", "conv")


def _slope_name(net: str, layer: str) -> str:
    return ("PReLU" if net == "pnet" else "prelu") + layer[-1]


def _facenet(net: str, arrays: Sequence[NDArray[np.float32]]) -> bytes:
    tree: dict[str, Any] = {}
    for layer, parts in _layers(net, arrays, CONVENTIONS["facenet"], "O").items():
        tree[_caffe_name(net, layer)] = {"weights": parts["weight"], "biases": parts["bias"]}
        if "slope" in parts:
            tree[_slope_name(net, layer)] = {"alpha": parts["slope"]}
    return pickle_writer.numpy_object(tree)


def _torch_name(net: str, layer: str) -> str:
    last = {"pnet": "conv4_", "rnet": "dense5_", "onet": "dense6_"}[net]
    number = {"face": "1", "box": "2", "landmarks": "3"}.get(layer)
    return last + number if number else layer.replace("fc", "dense")


def _torch(net: str, arrays: Sequence[NDArray[np.float32]]) -> bytes:
    names, values = [], []
    for layer, parts in _layers(net, arrays, CONVENTIONS["facenet-pytorch"], "I").items():
        own = _torch_name(net, layer)
        names += [f"{own}.weight", f"{own}.bias"]
        values += [parts["weight"], parts["bias"]]
        if "slope" in parts:
            names.append(f"prelu{layer[-1]}.weight")
            values.append(parts["slope"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, content: bytes) -> None:
            # Without a time of its own, so that equal weights give equal files.
            archive.writestr(zipfile.ZipInfo(f"{net}/{name}"), content)

        add("data.pkl", pickle_writer.torch_state(names, values))
        add("byteorder", b"little")
        for index, value in enumerate(values):
            add(f"data/{index}", value.astype("<f4").tobytes())
        add("version", b"3\n")
    return out.getvalue()


def _caffe(net: str, arrays: Sequence[NDArray[np.float32]]) -> bytes:
    message = bytes_field(1, net.encode())
    for layer, parts in _layers(net, arrays, CONVENTIONS["caffe"], "I").items():
        kind = "Convolution" if parts["weight"].ndim == 4 else "InnerProduct"
        name = _caffe_name(net, layer)
        message += _caffe_layer(name, kind, [parts["weight"], parts["bias"]])
        if "slope" in parts:
            message += _caffe_layer(_slope_name(net, layer), "PReLU", [parts["slope"]])
    return message


def _caffe_layer(name: str, kind: str, blobs: Sequence[NDArray[np.float32]]) -> bytes:
    layer = bytes_field(1, name.encode()) + bytes_field(2, kind.encode())
    for blob in blobs:
        shape = b"".join(varint_field(1, size) for size in blob.shape)
        data = bytes_field(5, blob.astype("<f4").tobytes())
        layer += bytes_field(7, data + bytes_field(7, shape))
    return bytes_field(100, layer)


def _safetensors(networks: Networks) -> bytes:
    header: dict[str, Any] = {
        "__metadata__": {"layout": "canonical order, kernels (out, in, ky, kx), upright images"}
    }
    parts, offset = [], 0
    for net, arrays in networks.items():
        for (name, shape), array in zip(LAYOUT[net], arrays):
            data = array.astype("<f4").tobytes()
            header[f"{net}.{name}"] = {
                "dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(data)],
            }  # fmt: skip
            offset += len(data)
            parts.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])
