"""Keras weights in HDF5, read by h5py where it is installed; no model is built.

Links to other files are not followed, and a dataset is not read before its size is known.
"""

from __future__ import annotations

import io
import json
import re
from typing import Any

from .raw import MAX_ARRAYS, SIZES, Budget, Document, FileError, RawArray, count_of
from .zips import Archive

__all__ = ["read_h5", "read_keras"]

_LAMBDA = re.compile(rb'"class_name"\s*:\s*"(Lambda|TFOpLambda)"')
_MAX_DEPTH = 12


def read_keras(archive: Archive, budget: Budget) -> Document:
    """A .keras file: a zip with the model's description and its weights."""
    config = archive.read("config.json") if "config.json" in archive.entries else b""
    document = read_h5(archive.read("model.weights.h5"), budget, "keras")
    _note_code(document, config)
    return document


def _note_code(document: Document, config: bytes) -> None:
    if _LAMBDA.search(config):
        document.refused.append("a Lambda layer")
        document.calls.append("a Lambda layer")
    try:
        document.notes["layers"] = [
            str(layer["class_name"]) for layer in json.loads(config)["config"]["layers"][:200]
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # weights without a model


def read_h5(data: bytes, budget: Budget, format: str = "hdf5") -> Document:
    """All datasets of numbers, by their paths."""
    try:
        import h5py
    except ImportError as error:
        raise FileError(
            "needs-package",
            "an HDF5 file, which needs h5py to be read; install it in the target: pip install h5py",
            package="h5py",
        ) from error
    document = Document(format, {})
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            # The order of the layers is an attribute in Keras 2, and that of names in Keras 3.
            config = _attribute(file, "model_config")
            if isinstance(config, (bytes, str)):
                text = config if isinstance(config, bytes) else config.encode("utf-8", "replace")
                _note_code(document, text)
            document.tree = _group(h5py, file, budget, [0], 0)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # of damaged files h5py raises nearly everything
        raise FileError("damaged", f"its HDF5 structure cannot be read: {error}"[:300]) from error
    return document


def _group(h5py: Any, group: Any, budget: Budget, count: list[int], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if depth > _MAX_DEPTH:
        raise FileError("bomb", "its HDF5 groups contain each other without end")
    order = _attribute(group, "layer_names")
    if order is None:
        order = _attribute(group, "weight_names")
    listed = [] if order is None else list(order)[:500]
    names = [
        one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in listed
    ]
    names = [name for name in dict.fromkeys(name.split("/")[0] for name in names) if name in group]
    for name in dict.fromkeys([*names, *group]):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FileError("unsafe", "its HDF5 structure links to somewhere else")
        count[0] += 1
        if count[0] > MAX_ARRAYS:
            raise FileError("bomb", f"its HDF5 structure has more than {MAX_ARRAYS} parts")
        item = group[name]
        if isinstance(item, h5py.Group):
            # What an optimiser remembers has the same shapes as the weights.
            if not name.startswith("optimizer"):
                found[name] = _group(h5py, item, budget, count, depth + 1)
        elif isinstance(item, h5py.Dataset):
            value = _dataset(item, budget)
            if value is not None:
                found[name] = value
    return found


def _attribute(group: Any, name: str) -> Any:
    """An attribute, if it is of a size that makes sense: h5py would read any, for hours.

    Keras keeps lists of names in texts of one length. Others lie on a heap, in which HDF5's library
    may go round in circles where it is damaged; then this process meets its time limit.
    """
    if name not in group.attrs:
        return None
    found = group.attrs.get_id(name)
    if found.dtype.kind == "O" and name != "model_config":
        return None
    if count_of([int(size) for size in found.shape or ()]) > MAX_ARRAYS:
        raise FileError("bomb", f"its HDF5 attribute {name} is far larger than weights need")
    return group.attrs[name]


def _dataset(item: Any, budget: Budget) -> RawArray | None:
    kind = item.dtype
    code = f"<{kind.kind}{kind.itemsize}"
    if code[1:] not in SIZES or item.shape is None:
        return None  # texts and other things that are no weights
    if item.external or item.is_virtual:
        raise FileError("unsafe", "its HDF5 data are in another file")
    budget.take(item.size * kind.itemsize, f"its dataset {item.name[:80]}")
    data = item[()].astype(code)
    return RawArray(code, tuple(int(n) for n in item.shape), data.tobytes())
