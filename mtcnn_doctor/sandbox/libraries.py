"""Which native libraries a child had loaded, what kind each is, and which runtime it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath

#: Kind of a library by its file name. First match wins.
_KINDS = (
    ("openmp", re.compile(r"^(lib)?(gomp|iomp5(md)?|omp|vcomp)[-.\d]", re.IGNORECASE)),
    (
        "blas",
        re.compile(
            r"openblas|mkl_|lib(c|flexi)?blas|blis|lib[st]?atlas|accelerate|armpl|nvpl_blas",
            re.IGNORECASE,
        ),
    ),
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

#: Runtime by file name, for the kinds of which a process should hold one copy. First match wins;
#: CUDA's libraries are each a runtime of their own.
_RUNTIMES = (
    ("GNU OpenMP", re.compile(r"^(lib)?gomp", re.IGNORECASE)),
    ("Intel OpenMP", re.compile(r"^(lib)?iomp5", re.IGNORECASE)),
    ("LLVM OpenMP", re.compile(r"^(lib)?omp", re.IGNORECASE)),
    ("Microsoft OpenMP", re.compile(r"^vcomp", re.IGNORECASE)),
    ("OpenBLAS", re.compile(r"openblas", re.IGNORECASE)),
    ("MKL", re.compile(r"mkl_", re.IGNORECASE)),
    ("FlexiBLAS", re.compile(r"flexiblas", re.IGNORECASE)),
    ("BLIS", re.compile(r"blis", re.IGNORECASE)),
    ("ATLAS", re.compile(r"atlas", re.IGNORECASE)),
    ("Accelerate", re.compile(r"accelerate", re.IGNORECASE)),
    ("Arm Performance Libraries", re.compile(r"armpl", re.IGNORECASE)),
    ("NVPL BLAS", re.compile(r"nvpl_blas", re.IGNORECASE)),
    # The library that stands for whichever is installed.
    ("BLAS", re.compile(r"libc?blas", re.IGNORECASE)),
)
_SINGLE = ("openmp", "blas", "cuda")
_STEM = re.compile(r"^(?:lib)?([A-Za-z_]+)")


def kind(path: str) -> str | None:
    """Return the kind of a library (``"openmp"``, ``"blas"``, ``"cuda"``, ...) or None."""
    name = PurePath(path).name
    for label, pattern in _KINDS:
        if pattern.search(name):
            return label
    return None


def describe(paths: Iterable[str]) -> list[dict[str, str]]:
    """Return name, path and kind of the libraries of a known kind, in the order of the kinds.

    Those of OpenMP, BLAS and CUDA have their ``runtime``, too.
    """
    order = [label for label, _ in _KINDS]
    found = [
        {"name": PurePath(path).name, "path": path, "kind": label, **_runtime(path, label)}
        for path in sorted(set(paths))
        if (label := kind(path)) is not None
    ]
    return sorted(found, key=lambda library: order.index(library["kind"]))


def _runtime(path: str, label: str) -> dict[str, str]:
    if label not in _SINGLE:
        return {}
    name = PurePath(path).name
    for runtime, pattern in _RUNTIMES:
        if label != "cuda" and pattern.search(name):
            return {"runtime": runtime}
    stem = _STEM.match(name)
    return {"runtime": stem[1].rstrip("_") if stem else name}


def process_map(pid: int) -> str:
    """Return the memory map of a living process as the system tells it, "" where it does not."""
    try:
        return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def mapped_in(text: str) -> list[str]:
    """Return the shared libraries of a memory map."""
    paths = {parts[5] for line in text.splitlines() if len(parts := line.split(None, 5)) == 6}
    return sorted(path for path in paths if ".so" in PurePath(path).name)
