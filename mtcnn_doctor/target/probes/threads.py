"""Thread settings of the environment, for every runtime that reads one."""

from __future__ import annotations

import os
from typing import Any

_NAMES = (
    "BLIS_NUM_THREADS",
    "GOMP_CPU_AFFINITY",
    "GOTO_NUM_THREADS",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "MKL_DYNAMIC",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_THREAD_LIMIT",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `threads`."""
    return {"environment": {name: os.environ[name] for name in _NAMES if name in os.environ}}
