"""What a Jupyter kernel's interpreter has: versions by the names of metadata folders alone.

A machine may have many kernels, and each is asked: nothing is opened, and nothing imported.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from typing import Any

from .packages import normalised, of_interest

_JUPYTER = frozenset(("ipykernel", "ipython", "jupyter-client", "jupyter-core", "jupyterlab"))
#: "numpy-2.4.6.dist-info", "mtcnn-0.1.1-py3.9.egg-info".
_FOLDER = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info$")


def _versions() -> dict[str, str]:
    """Return the versions of what matters to MTCNN and to a kernel, the first on the path first."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = sorted(os.listdir(folder or os.curdir)) if isinstance(folder, str) else []
        except OSError:
            continue
        for name in names:
            match = _FOLDER.match(name)
            key = normalised(match["name"]) if match else ""
            if match and key not in found and (key in _JUPYTER or of_interest(key)):
                found[key] = match["version"]
    return found


def _finds(module: str) -> bool:
    """Whether an import of a module's top package would find it."""
    try:
        return find_spec(module.partition(".")[0]) is not None
    except Exception:  # foreign finders
        return False


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return interpreter, prefix, versions, and for each of ``modules`` whether it is there."""
    return {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "version": "{}.{}.{}".format(*sys.version_info[:3]),
        "versions": _versions(),
        "modules": {name: _finds(name) for name in orders.get("modules") or ()},
    }
