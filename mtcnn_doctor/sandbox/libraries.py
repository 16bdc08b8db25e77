"""Which native libraries a child had loaded, and what kind each is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath

#: Kind of a library by its file name. First match wins.
_KINDS = (
    ("openmp", re.compile(r"^(lib)?(gomp|iomp5|omp|vcomp)[-.\d]", re.IGNORECASE)),
    ("blas", re.compile(r"openblas|mkl_|libblas|libcblas|blis|accelerate|armpl", re.IGNORECASE)),
    (
        "cuda",
        re.compile(
            r"^(lib)?(cudart|cublas|cudnn|cuda|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvidia)",
            re.IGNORECASE,
        ),
    ),
    ("onednn", re.compile(r"dnnl|mkldnn", re.IGNORECASE)),
    ("torch", re.compile(r"^lib(torch|c10)|torch_python", re.IGNORECASE)),
    ("tensorflow", re.compile(r"tensorflow", re.IGNORECASE)),
    ("onnxruntime", re.compile(r"onnxruntime", re.IGNORECASE)),
    ("opencv", re.compile(r"opencv|^cv2", re.IGNORECASE)),
    ("numpy", re.compile(r"_multiarray_umath", re.IGNORECASE)),
)


def kind(path: str) -> str | None:
    """Return the kind of a library (``"openmp"``, ``"blas"``, ``"cuda"``, ...) or None."""
    name = PurePath(path).name
    for label, pattern in _KINDS:
        if pattern.search(name):
            return label
    return None


def describe(paths: Iterable[str]) -> list[dict[str, str]]:
    """Return name, path and kind of the libraries of a known kind, in the order of the kinds."""
    order = [label for label, _ in _KINDS]
    found = [
        {"name": PurePath(path).name, "path": path, "kind": label}
        for path in sorted(set(paths))
        if (label := kind(path)) is not None
    ]
    return sorted(found, key=lambda library: order.index(library["kind"]))


def mapped_by(pid: int) -> list[str]:
    """Return the shared libraries mapped by a living process, [] where that cannot be read."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    paths = {parts[5] for line in text.splitlines() if len(parts := line.split(None, 5)) == 6}
    return sorted(path for path in paths if ".so" in PurePath(path).name)
