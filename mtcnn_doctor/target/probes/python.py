"""The target interpreter: version, architecture, tags for wheels, the PEP 508 environment."""

from __future__ import annotations

import glob
import os
import platform
import site
import struct
import sys
import sysconfig
from typing import Any


def _libc() -> str:
    """Return "glibc 2.36", "musl", or "" where neither can be told."""
    try:
        # confstr answers at once; platform.libc_ver would read the whole executable.
        name = os.confstr("CS_GNU_LIBC_VERSION")
        if name:
            return name
    except (AttributeError, ValueError, OSError):
        pass
    return "musl" if glob.glob("/lib/ld-musl-*") else ""


def _rosetta() -> bool:
    """Whether this is an x86-64 process that macOS translates on Apple silicon."""
    if platform.system() != "Darwin":
        return False
    import ctypes

    value = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    libc = ctypes.CDLL(None)
    status = libc.sysctlbyname(
        b"sysctl.proc_translated", ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)
    )
    # The name does not exist on Intel machines: a failure means "not translated".
    return bool(status == 0 and value.value == 1)


def _free_threaded() -> bool:
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _abi_tags() -> list[str]:
    """Return the ABI tags of the wheels that this interpreter can load."""
    if platform.python_implementation() != "CPython":
        return ["none"]
    own = "cp{}{}".format(*sys.version_info[:2])
    soabi = str(sysconfig.get_config_var("SOABI") or "")
    parts = soabi.split("-")
    flags = ""
    if len(parts) > 1 and parts[0] == "cpython":
        # "cpython-313t-x86_64-linux-gnu": what follows the digits are ABI flags (t, d, m).
        flags = parts[1].lstrip("0123456789")
    if _free_threaded():
        # A free-threaded build loads no abi3 extension.
        return [own + (flags or "t"), "none"]
    return [own + flags, "abi3", "none"]


def _markers() -> dict[str, str]:
    """Return the environment of PEP 508 markers, as `packaging` would build it."""
    info = sys.implementation.version
    version = f"{info.major}.{info.minor}.{info.micro}"
    if info.releaselevel != "final":
        version += info.releaselevel[0] + str(info.serial)
    full = platform.python_version()
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        # Local builds carry a "+" that no version specifier can read.
        "python_full_version": full + "local" if full.endswith("+") else full,
        "python_version": "{}.{}".format(*sys.version_info[:2]),
        "sys_platform": sys.platform,
    }


def _user_site() -> str | None:
    return site.getusersitepackages() if site.ENABLE_USER_SITE else None


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `python`."""
    facts: dict[str, Any] = {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "version": "{}.{}.{}".format(*sys.version_info[:3]),
        "version_info": list(sys.version_info),
        "implementation": platform.python_implementation(),
        "bits": struct.calcsize("P") * 8,
        "machine": platform.machine(),
        "platform": sys.platform,
        "sys_path": [entry for entry in sys.path if isinstance(entry, str)],
    }
    for key, ask in (
        ("system", platform.platform),
        ("libc", _libc),
        ("rosetta", _rosetta),
        ("free_threaded", _free_threaded),
        ("abi_tags", _abi_tags),
        ("markers", _markers),
        ("user_site", _user_site),
    ):
        try:
            facts[key] = ask()
        except Exception:  # a fact that cannot be had stays out
            pass
    return facts
