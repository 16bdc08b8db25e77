"""The program ``nvidia-smi``, for machines where the binding of NVML is missing.

Its table of queries is meant for programs. The highest CUDA release of the driver is in its
banner only, whose words changed with driver 610.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

_QUERY = ("index", "name", "uuid", "driver_version", "compute_cap", "memory.total", "memory.free")
_LIMIT_S = 15.0
# "CUDA Version: 12.8" up to driver 595, "CUDA UMD Version: 13.3" from 610 on; likewise
# "Driver Version" and "KMD Version".
_BANNER_CUDA = re.compile(r"CUDA (?:UMD )?Version\s*: *(\d+\.\d+)")
_BANNER_DRIVER = re.compile(r"(?:Driver|KMD) Version\s*: *(\d+(?:\.\d+)+)")


def facts() -> dict[str, Any] | None:
    """Return driver and devices as ``nvidia-smi`` shows them, None where it does not answer."""
    program = shutil.which("nvidia-smi") or shutil.which("/usr/lib/wsl/lib/nvidia-smi")
    if program is None:
        return None
    table = _run([program, "--query-gpu=" + ",".join(_QUERY), "--format=csv,noheader,nounits"])
    banner = _run([program])
    if table is None or banner is None:
        return None
    found: dict[str, Any] = {**read_banner(banner), "devices": _devices(table)}
    return found if found.get("driver_version") else None


def read_banner(text: str) -> dict[str, Any]:
    """Return the releases of driver and CUDA in a banner of nvidia-smi, whichever its words."""
    cuda, driver = _BANNER_CUDA.search(text), _BANNER_DRIVER.search(text)
    found = {}
    if cuda:
        found["cuda_driver_version"] = cuda.group(1)
    if driver:
        found["driver_version"] = driver.group(1)
    return found


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def _devices(table: str) -> list[dict[str, Any]]:
    found = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(_QUERY):
            continue
        row = dict(zip(_QUERY, cells))
        device: dict[str, Any] = {"name": row["name"], "uuid": row["uuid"]}
        if row["index"].isdigit():
            device["index"] = int(row["index"])
        if re.fullmatch(r"\d+\.\d+", row["compute_cap"]):
            device["compute_capability"] = row["compute_cap"]
        for key in ("total", "free"):
            if row[f"memory.{key}"].isdigit():
                device[f"memory_{key}"] = int(row[f"memory.{key}"]) * 2**20
        found.append(device)
    return found
