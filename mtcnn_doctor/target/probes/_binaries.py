"""For which NumPy C-API a compiled extension was built, told by the names it imports.

The header of NumPy 2 makes an extension import ``numpy._core._multiarray_umath`` first and the
old name second; the headers of NumPy 1 know only ``numpy.core``. Both names stand as plain text
in the read-only data of the library.
"""

from __future__ import annotations

import glob
import mmap
import os
import struct
from typing import Any

_NEW = b"numpy._core._multiarray_umath"
_OLD = (b"numpy.core._multiarray_umath", b"numpy.core.multiarray")

# One binary a distribution that talks to NumPy, in the order in which to look. File names carry
# interpreter and platform, hence the patterns.
_KEY_BINARIES = (
    ("torch", ("torch/lib/libtorch_python.so", "torch/lib/libtorch_python.dylib")),
    ("torch", ("torch/lib/torch_python.dll",)),
    ("opencv-", ("cv2/cv2*.so", "cv2/cv2*.pyd", "cv2/python-*/cv2*.so", "cv2/python-*/cv2*.pyd")),
    ("onnxruntime", ("onnxruntime/capi/onnxruntime_pybind11_state*",)),
    (
        "tensorflow",
        (
            # Old releases link everything into one library of a gigabyte: the small one first.
            "tensorflow/python/client/_pywrap_tf_session.*",
            "tensorflow/python/lib_pywrap_tensorflow_common.*",
            "tensorflow/python/_pywrap_tensorflow_common.*",
            "tensorflow/python/_pywrap_tensorflow_internal.*",
        ),
    ),
    ("ml-dtypes", ("ml_dtypes/_ml_dtypes_ext*", "ml_dtypes/_custom_floats*")),
    ("h5py", ("h5py/_conv*", "h5py/h5t*")),
)
_TENSORFLOWS = frozenset(
    (
        "tensorflow",
        "tensorflow-cpu",
        "tensorflow-gpu",
        "tensorflow-intel",
        "tensorflow-macos",
        "tensorflow-rocm",
        "tensorflow-cpu-aws",
        "tensorflow-aarch64",
        "intel-tensorflow",
        "intel-tensorflow-avx512",
        "tf-nightly",
        "tf-nightly-cpu",
    )
)
_LIBRARIES = (".so", ".pyd", ".dll", ".dylib")


def _data_sections(stream: Any) -> list[tuple[int, int]] | None:
    """Return offset and size of the read-only data of an ELF file, None when it is another kind.

    Looking there alone spares reading tens of megabytes of code from a cold disk.
    """
    head = stream.read(64)
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        return None
    (table,) = struct.unpack_from("<Q", head, 0x28)
    entry, count, names_index = struct.unpack_from("<HHH", head, 0x3A)
    if not table or not count or entry < 64:
        return None
    stream.seek(table)
    raw = stream.read(entry * count)
    if len(raw) < entry * count:
        return None
    rows = [struct.unpack_from("<IIQQQQ", raw, entry * i) for i in range(count)]
    stream.seek(rows[names_index][4])
    names = stream.read(rows[names_index][5])
    found = []
    for row in rows:
        name = names[row[0] : names.find(b"\0", row[0])]
        if name.startswith(b".rodata"):
            found.append((row[4], row[5]))
    return found or None


def supports_numpy2(path: str) -> bool | None:
    """Whether the library was built with headers of NumPy 2; None where it names no NumPy."""
    with open(path, "rb") as stream:
        sections = _data_sections(stream)
        if sections is not None:
            chunks = []
            for offset, size in sections:
                stream.seek(offset)
                chunks.append(stream.read(size))
            return _judge_bytes(b"\0".join(chunks))
        if os.fstat(stream.fileno()).st_size == 0:
            return None
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _judge_bytes(view)


def _judge_bytes(data: Any) -> bool | None:
    if data.find(_NEW) >= 0:
        return True
    if any(data.find(name) >= 0 for name in _OLD):
        return False
    return None


def _belongs(key: str, owner: str) -> bool:
    if owner == "torch":
        return key == "torch"
    if owner == "tensorflow":
        # tensorflow-estimator, tensorflow-hub and kin lie beside it and are other programs.
        return key in _TENSORFLOWS
    if owner == "onnxruntime":
        return key == owner or key.startswith(owner + "-")
    return key.startswith(owner) if owner.endswith("-") else key == owner


def numpy_builds(distributions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the facts `packages.numpy_abi`: one row a distribution whose binary could be read."""
    rows = []
    done = set()
    for distribution in distributions:
        key, location = distribution["key"], distribution["location"]
        for owner, patterns in _KEY_BINARIES:
            if key in done or not _belongs(key, owner):
                continue
            for path in _matches(location, patterns):
                try:
                    answer = supports_numpy2(path)
                except (OSError, ValueError, struct.error, IndexError):
                    continue
                if answer is None:
                    continue
                done.add(key)
                rows.append(
                    {
                        "distribution": distribution["name"],
                        "version": distribution["version"],
                        "file": path,
                        "supports_numpy2": answer,
                    }
                )
                break
    return rows


def _matches(location: str, patterns: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        paths = glob.glob(os.path.join(glob.escape(location), *pattern.split("/")))
        found.extend(path for path in sorted(paths) if path.endswith(_LIBRARIES))
    return found
