"""Which copies of CUDA's libraries the loader really took, from this process's own map."""

from __future__ import annotations

import os
import re

_CUDA = re.compile(
    r"lib(cuda|cudart|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|nccl|nvrtc|nvJitLink)"
    r"(-[0-9a-f]+)?\.so"
)


def cuda_libraries() -> list[str]:
    """Return the paths of CUDA's libraries in this process; none where the system hides its map."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            fields = (line.rstrip("\n").split(None, 5) for line in maps)
            paths = {parts[5] for parts in fields if len(parts) == 6}
    except OSError:
        return []
    return sorted(path for path in paths if _CUDA.match(os.path.basename(path)))
