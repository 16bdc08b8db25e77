"""From a package's order and orientation to the canonical one, and what speaks for another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Sequence

import numpy as np

from ..weights import LAYOUT
from .assemble import Assembly
from .raw import Budget, Document, FileError, RawArray, count_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CONVENTIONS",
    "FLATTENINGS",
    "Convention",
    "canonical_arrays",
    "layout_of",
    "numbers",
]

#: How a feature map is flattened before a fully connected layer: the slowest axis first.
FLATTENINGS = ("xyc", "yxc", "cyx", "cxy")


class Convention(NamedTuple):
    """How a package keeps its weights.

    ``transposed``: kernels are laid out as (in, x, y) instead of (in, y, x), as in the published
    Caffe models, which were trained on column-major images. ``heads``: their order in a list.
    ``certain``: the package demands it; otherwise it is a guess that the numbers may correct.
    """

    transposed: bool
    flatten: str
    heads: tuple[str, ...] = ("face", "box", "landmarks")
    certain: bool = True


CONVENTIONS = {
    "mtcnn-doctor": Convention(False, "cyx"),
    "mtcnn-0.1": Convention(True, "xyc"),
    "mtcnn-1.0": Convention(False, "xyc", ("box", "landmarks", "face")),
    "facenet": Convention(True, "xyc"),
    "facenet-pytorch": Convention(False, "xyc"),
    "caffe": Convention(True, "cxy"),
    "caffe-relu": Convention(True, "cxy"),
    "onnx": Convention(False, "cyx", certain=False),
    "keras": Convention(False, "yxc", certain=False),
    "torch": Convention(False, "cyx", certain=False),
    "list": Convention(False, "xyc", ("box", "landmarks", "face"), certain=False),
}


def layout_of(document: Document, assembly: Assembly) -> str:
    """The package in whose manner a network is kept: a key of :data:`CONVENTIONS`."""
    names = {leaf.path[-1] for leaf in assembly.arrays.values() if leaf.path}
    layers = {part for leaf in assembly.arrays.values() for part in leaf.path[:-1]}
    if document.format == "caffemodel":
        return "caffe-relu" if document.notes.get("relu") else "caffe"
    if document.format == "onnx":
        ours = document.notes.get("producer") == "mtcnn-doctor"
        return "mtcnn-doctor" if ours else "onnx"
    if document.format in ("hdf5", "keras"):
        return "keras"
    if "face" in layers and "slope" in names:
        return "mtcnn-doctor"
    if {"weights", "biases"} <= names:
        return "facenet"
    if "HWIO" in assembly.axes.values():
        if document.format.startswith("joblib"):
            return "mtcnn-1.0"
        if document.format == "npy with a pickle" and assembly.positional:
            return "mtcnn-0.1"
        return "mtcnn-0.1" if assembly.heads[:1] == ["face"] else "list"
    known = {"dense4", "dense5", "conv4_1", "prelu1"}
    return "facenet-pytorch" if known & layers else "torch"


def numbers(raw: RawArray, budget: Budget) -> NDArray[Any]:
    """A raw array as a NumPy one, native byte order, never a view of the file."""
    code = "<u2" if raw.code[1:] == "bf2" else raw.code
    kind = np.dtype("u1") if code[1:] == "b1" else np.dtype(code.replace("|", "<"))
    count = count_of(raw.shape)
    budget.take(count * max(4, kind.itemsize), "an array")
    if raw.strides is not None and count:
        flat = np.frombuffer(raw.data, kind, len(raw.data) // kind.itemsize)
        steps = tuple(stride * kind.itemsize for stride in raw.strides)
        view = np.lib.stride_tricks.as_strided(
            flat[raw.offset :], raw.shape, steps, writeable=False
        )
        array = np.array(view)
    else:
        flat = np.frombuffer(raw.data, kind, count)
        array = flat.reshape(raw.shape, order="F" if raw.fortran else "C").copy()
    if raw.code[1:] == "bf2":
        return (array.astype(np.uint32) << 16).view(np.float32).reshape(raw.shape)
    return array.astype(kind.newbyteorder("="))


def canonical_arrays(
    assembly: Assembly, convention: Convention, document: Document, budget: Budget
) -> list[NDArray[np.float32]]:
    """The canonical list of a complete network, read by a convention."""
    transposed = convention.transposed
    if document.notes.get("relu") and assembly.network == "pnet":
        transposed = False  # the file with split PReLUs has P-Net upright, and the others not
    result = []
    for name, shape in LAYOUT[assembly.network]:
        raw = assembly.arrays[name].array
        with np.errstate(over="ignore", invalid="ignore"):
            array = numbers(raw, budget).astype(np.float32)
        layer = name.rsplit(".", 1)[0]
        if name.endswith(".weight"):
            array = _kernel(array, shape, assembly.axes[layer], transposed, convention.flatten)
        if array.size != int(np.prod(shape)):
            raise FileError("damaged", f"{name} has another size than expected")
        result.append(np.ascontiguousarray(array.reshape(shape)))
    return result


def _kernel(
    array: NDArray[np.float32],
    shape: Sequence[int],
    axes: str,
    transposed: bool,
    flatten: str,
) -> NDArray[np.float32]:
    if len(shape) == 2:
        core = array.reshape([size for size in array.shape if size != 1])
        return core.T if axes == "IO" else core
    if axes in ("OI", "IO"):
        _, channels, height, width = shape
        matrix = array.T if axes == "IO" else array
        return unflatten(matrix, (channels, height, width), flatten)
    if axes == "HWIO":
        array = array.transpose(3, 2, 0, 1)
    return array.transpose(0, 1, 3, 2) if transposed else array


def unflatten(matrix: NDArray[Any], shape: Sequence[int], flatten: str) -> NDArray[Any]:
    """A fully connected weight (out, in) as (out, channel, y, x)."""
    sizes = dict(zip("cyx", shape))
    full = matrix.reshape(-1, *(sizes[axis] for axis in flatten))
    ordered: NDArray[Any] = full.transpose(0, *(1 + flatten.index(axis) for axis in "cyx"))
    return ordered


def flattened(weight: NDArray[Any], flatten: str) -> NDArray[Any]:
    """The inverse of :func:`unflatten`."""
    order = [1 + "cyx".index(axis) for axis in flatten]
    return np.ascontiguousarray(weight.transpose(0, *order)).reshape(len(weight), -1)
