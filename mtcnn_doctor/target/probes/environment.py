"""Environment variables that change how frameworks import, compute or see devices.

An allow-list: the environment as a whole holds secrets and is nobody's business.
"""

from __future__ import annotations

import os
from typing import Any

_NAMES = frozenset(
    (
        "ANACONDA_HOME",
        "BLIS_NUM_THREADS",
        "CONDA_DEFAULT_ENV",
        "CONDA_PREFIX",
        "DISPLAY",
        "DYLD_INSERT_LIBRARIES",
        "DYLD_LIBRARY_PATH",
        "GOTO_NUM_THREADS",
        "GPU_DEVICE_ORDINAL",
        "HIP_VISIBLE_DEVICES",
        "JAX_PLATFORMS",
        "KERAS_BACKEND",
        "KERAS_HOME",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "LRU_CACHE_CAPACITY",
        "MALLOC_ARENA_MAX",
        "MPLBACKEND",
        "NPY_DISABLE_CPU_FEATURES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_VISIBLE_DEVICES",
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
        "PYTHONHOME",
        "PYTHONMALLOC",
        "PYTHONNOUSERSITE",
        "PYTHONOPTIMIZE",
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONSTARTUP",
        "PYTHONUSERBASE",
        "PYTHONWARNINGS",
        "QT_PLUGIN_PATH",
        "QT_QPA_PLATFORM",
        "QT_QPA_PLATFORM_PLUGIN_PATH",
        "ROCR_VISIBLE_DEVICES",
        "VECLIB_MAXIMUM_THREADS",
        "VIRTUAL_ENV",
        "WAYLAND_DISPLAY",
        "XLA_FLAGS",
    )
)
_PREFIXES = (
    "CUDA_",
    "CUDNN_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "NUMBA_NUM_",
    "NUMEXPR_",
    "NUMPY_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "OPENCV_",
    "ORT_",
    "PYTORCH_",
    # Not "TF_" alone: Terraform keeps its variables, secrets among them, under the same prefix.
    "TF_CPP_",
    "TF_CUDNN_",
    "TF_DETERMINISTIC_",
    "TF_DISABLE_",
    "TF_ENABLE_",
    "TF_FORCE_",
    "TF_GPU_",
    "TF_NUM_",
    "TF_USE_",
    "TF_XLA_",
    "TORCH_",
)
# Variables under these prefixes that may hold credentials all the same.
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "ACCESS_KEY")


def wanted(name: str) -> bool:
    """Whether the variable of this name belongs to the facts."""
    if any(word in name.upper() for word in _SECRET_WORDS):
        return False
    return name in _NAMES or name.startswith(_PREFIXES)


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `environment`."""
    facts: dict[str, Any] = {
        "variables": {name: os.environ[name] for name in sorted(os.environ) if wanted(name)},
        "ld_preload": os.environ.get("LD_PRELOAD"),
    }
    try:
        facts["working_directory"] = orders.get("working_directory") or os.getcwd()
    except OSError:  # the folder was deleted under us
        pass
    return facts
