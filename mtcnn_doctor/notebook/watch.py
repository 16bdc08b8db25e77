"""The living kernel, told from inside: what it imported, in which order, under which settings.

Nothing is imported for it. After each cell the names of a few packages are looked up in
``sys.modules`` (microseconds), so that the version on disk and the variables of that moment are
known when they change later.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

#: Import name: the distributions that may bring it.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"),
    "keras": ("keras",),
    "tf_keras": ("tf-keras",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
    "openvino": ("openvino",),
    "ai_edge_litert": ("ai-edge-litert",),
    "mtcnn": ("mtcnn",),
    "facenet_pytorch": ("facenet-pytorch",),
    "PIL": ("pillow",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn",),
    "pandas": ("pandas",),
    "h5py": ("h5py",),
    "ml_dtypes": ("ml-dtypes",),
    "google.protobuf": ("protobuf",),
}


def _always(module: Any) -> bool:
    return True


def _cuda_is_up(torch: Any) -> bool:
    """Whether torch has opened the GPU, which is when it reads its variables."""
    try:
        return bool(torch.cuda.is_initialized())
    except Exception:  # a half-imported torch
        return False


#: Variable: the modules that read it once, and whether such a module has read it by now.
_READ_ONCE: dict[str, dict[str, Callable[[Any], bool]]] = {
    "OMP_NUM_THREADS": {"numpy": _always, "torch": _always},
    "OPENBLAS_NUM_THREADS": {"numpy": _always},
    "MKL_NUM_THREADS": {"torch": _always, "numpy": _always},
    "KMP_DUPLICATE_LIB_OK": {"torch": _always},
    "KMP_AFFINITY": {"torch": _always},
    "CUDA_VISIBLE_DEVICES": {"torch": _cuda_is_up},
    "PYTORCH_CUDA_ALLOC_CONF": {"torch": _cuda_is_up},
    "KERAS_BACKEND": {"keras": _always},
    "TF_USE_LEGACY_KERAS": {"tensorflow": _always},
    "TF_ENABLE_ONEDNN_OPTS": {"tensorflow": _always},
}
_OPENMP = re.compile(r"/(?:libgomp|libiomp5|libomp)[^/]*\.(?:so|dylib)[^/]*$")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")


@dataclass
class _Seen:
    """A module when it was first seen: its version on disk, the time, the variables."""

    position: int
    version: str | None
    distribution: str | None
    at: float
    variables: dict[str, str | None]
    read: set[str]


_seen: dict[str, _Seen] = {}


def start(shell: Any) -> None:
    """Begin to look after each cell; what is imported already is taken as it is now."""
    look()
    shell.events.register("post_run_cell", _after_cell)


def stop(shell: Any) -> None:
    """Look no more."""
    try:
        shell.events.unregister("post_run_cell", _after_cell)
    except ValueError:
        pass  # it was never registered


def _after_cell(*_: Any) -> None:
    look()


def look() -> None:
    """Take note of the modules that are new since the last time."""
    for name, distributions in _PACKAGES.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        seen = _seen.get(name)
        if seen is None:
            distribution, version = _on_disk(distributions)
            seen = _Seen(len(_seen), _imported_version(module, version), distribution, time.time(),
                         {}, set())  # fmt: skip
            _seen[name] = seen
        for variable, readers in _READ_ONCE.items():
            if variable not in seen.read and name in readers and readers[name](module):
                seen.read.add(variable)
                seen.variables[variable] = os.environ.get(variable)


def imported() -> dict[str, str | None]:
    """Return the packages that are imported, in the order of importing, with their versions."""
    look()
    return {name: _seen[name].version for name in tuple(sys.modules) if name in _seen}


def names() -> list[str]:
    """Return the packages that are imported, in the order of importing; looks nothing up."""
    return [name for name in tuple(sys.modules) if name in _PACKAGES]


def _on_disk(distributions: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return the distribution that is installed now, and its version."""
    importlib.metadata.MetadataPathFinder().invalidate_caches()
    for name in distributions:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        except Exception:  # metadata that cannot be read
            return name, None
    return None, None


def _imported_version(module: Any, on_disk: str | None) -> str | None:
    """Return the version of an imported module, in the spelling of its metadata where they agree.

    cv2 says "4.10.0" and its metadata "4.10.0.84"; OpenVINO adds the number of its build.
    """
    told = getattr(module, "__version__", None)
    if not isinstance(told, str):
        return on_disk
    mine, disk = _RELEASE.match(told), _RELEASE.match(on_disk or "")
    if mine is None or disk is None:
        return on_disk or told
    shorter, longer = sorted((mine[0].split("."), disk[0].split(".")), key=len)
    return on_disk if longer[: len(shorter)] == shorter else told


def notebook() -> dict[str, Any]:
    """Return the fact ``notebook``: see :class:`mtcnn_doctor.facts.Notebook`."""
    look()
    process = psutil.Process()
    with process.oneshot():
        started, memory, threads = (
            process.create_time(),
            process.memory_info(),
            process.num_threads(),
        )
    # The order of sys.modules is that of importing, also of what came before the extension.
    order = [name for name in sys.modules if name in _seen]
    return {
        "pid": os.getpid(),
        "executable": sys.executable,
        "prefix": sys.prefix,
        "started": started,
        "imported": [_row(name, position) for position, name in enumerate(order)],
        "changed_variables": list(_changed_variables()),
        "rss_mb": round(memory.rss / 2**20, 1),
        "peak_rss_mb": _peak_mb(),
        "threads": threads,
        "openmp": _openmp(),
        "gpu_reserved_mb": _gpu_mb(),
    }


def _row(name: str, position: int) -> dict[str, Any]:
    seen = _seen[name]
    file = getattr(sys.modules.get(name), "__file__", None)
    _, version = _on_disk(_PACKAGES[name])
    return {
        "module": name,
        "position": position,
        "distribution": seen.distribution,
        "imported_version": seen.version,
        "disk_version": version,
        "file": file,
        "changed": _is_newer(file, seen.at),
    }


def _is_newer(file: str | None, than: float) -> bool:
    try:
        return file is not None and os.stat(file).st_mtime > than
    except OSError:
        return False  # gone: that its distribution is gone, too, says it better


def _changed_variables() -> list[dict[str, Any]]:
    rows = []
    for variable in _READ_ONCE:
        now = os.environ.get(variable)
        for name, seen in _seen.items():
            if variable in seen.read and seen.variables[variable] != now:
                before = seen.variables[variable]
                rows.append({"name": variable, "before": before, "now": now, "read_by": name})
                break  # one reader is enough to know that it is too late
    return rows


def _peak_mb() -> float | None:
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    except (ImportError, OSError):
        return None
    # macOS counts bytes, Linux KiB.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _openmp() -> list[str]:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            paths = {line.split(None, 5)[-1].strip() for line in maps if "omp" in line}
    except OSError:
        return []
    return sorted(path for path in paths if _OPENMP.search(path))


def _gpu_mb() -> float | None:
    """Return how much of the GPU torch holds for this kernel, None where it holds none."""
    torch = sys.modules.get("torch")
    if torch is None or not _cuda_is_up(torch):
        return None
    try:
        return round(float(torch.cuda.memory_reserved()) / 2**20, 1)
    except Exception:  # a device that was lost
        return None
