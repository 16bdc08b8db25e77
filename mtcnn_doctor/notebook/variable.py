"""``%mtcnn_inspect``: a variable of the notebook, looked at where a detector would meet it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtcnn_doctor import registry
from mtcnn_doctor.notebook.memory import Memory
from mtcnn_doctor.report.json_report import to_data
from mtcnn_doctor.report.load import report_of


class NoImage(Exception):
    """What was named is nothing that an image could be made of; says what it is."""


def array_of(value: Any, name: str) -> Any:
    """Return a variable as a NumPy array, without importing anything.

    Raises:
        NoImage: it is none, with the reason that is most likely.
    """
    numpy = sys.modules.get("numpy")
    if value is None:
        raise NoImage(f"{name} is None: cv2.imread returns that for a file it cannot read")
    if isinstance(value, (str, os.PathLike)):
        raise NoImage(f"{name} is a path; inspect the file: %mtcnn_doctor inspect {value}")
    if numpy is None:
        raise NoImage(
            f"{name} is a {type(value).__name__}, and NumPy is not imported in this kernel; "
            "import it, and give an array"
        )
    if isinstance(value, numpy.ndarray):
        return value
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "detach"):  # torch
        return value.detach().cpu().numpy()
    if hasattr(value, "numpy"):  # TensorFlow
        return value.numpy()
    if kind.startswith("PIL.") or hasattr(value, "__array_interface__"):
        return numpy.asarray(value)
    if isinstance(value, (list, tuple)) and value:
        raise NoImage(
            f"{name} is a {type(value).__name__} of {len(value)}; inspect one of them: "
            f"image = {name}[0], then %mtcnn_inspect image"
        )
    raise NoImage(f"{name} is a {kind}, expected an array or an image")


def put(array: Any, name: str, folder: Path) -> tuple[Memory, Path]:
    """Put an array into memory as the file ``NAME.npy``, which children can open and map."""
    numpy = sys.modules["numpy"]
    if array.dtype.hasobject:
        raise NoImage(f"{name} is an array of Python objects: make it numbers, np.stack({name})")
    memory = Memory(str(folder))
    try:
        # A header takes at most a few hundred bytes; the rest of the reserve stays unused.
        memory.reserve(array.nbytes + 4096)
        with open(os.dup(memory.descriptor), "r+b") as stream:
            numpy.lib.format.write_array(stream, numpy.ascontiguousarray(array), allow_pickle=False)
            stream.truncate()
    except BaseException:
        memory.close()
        raise
    path = folder / f"{name}.npy"
    path.symlink_to(memory.path)
    return memory, path


def layout_of(array: Any) -> str:
    """Return how an array lies in memory, in the words of ``target/probes/array.py``."""
    if array.size and any(stride < 0 for stride in array.strides):
        return "negative"
    if array.flags.c_contiguous:
        return "contiguous"
    inner = array[0] if array.ndim > 1 and array.shape[0] else array
    return "rows" if inner.flags.c_contiguous else "scattered"


def as_variable(data: dict[str, Any], name: str, layout: str) -> dict[str, Any]:
    """Return a report about ``NAME.npy`` as one about the variable.

    The file holds its values one after the other; how they lie in the kernel is judged here.
    """
    data = _renamed(data, f"{name}.npy", name)
    if layout == "contiguous":
        return data
    for row in data["facts"].get("arrays") or ():
        row["layout"] = layout
    report = report_of(data)
    checks = [check for check in registry.load(()).checks if check.id == "image-layout"]
    kept = [finding for finding in report.findings if finding.id != "image-layout"]
    found = registry.judge(checks, report.facts)
    order = sorted([*kept, *found], key=lambda finding: finding.severity.rank)
    return to_data(replace(report, findings=tuple(order)))


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {key: _renamed(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    return value
