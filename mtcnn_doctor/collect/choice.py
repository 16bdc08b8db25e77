"""Which backends are to be run, and which of them can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtcnn_doctor.backends import BACKENDS, Backend, known
from mtcnn_doctor.errors import UsageError

#: Stands for every backend that is known of the target.
ALL = "all"


def choose(names: Sequence[str], packages: Mapping[str, Any]) -> list[Backend]:
    """Return the backends named, once each; every known one by default and for ``all``.

    Args:
        names: What the user asked for.
        packages: The fact of that name, which tells of the target's plug-ins.

    Raises:
        UsageError: a name that is no backend.
    """
    backends = known(packages)
    chosen: list[str] = []
    for name in names or (ALL,):
        if name != ALL and name not in backends:
            raise UsageError(f"no backend '{name}'; there are {', '.join(backends)}")
        chosen += list(backends) if name == ALL else [name]
    return [backends[name] for name in dict.fromkeys(chosen)]


def ready(backend: Backend, packages: Mapping[str, Any]) -> tuple[Backend | None, str | None]:
    """Return the backend with the module that it will import, or None and the reason if known."""
    modules = packages.get("modules") or {}
    module = backend.importable(lambda name: is_present(modules, name))
    if module is None:
        return None, None
    version = installed_version(backend, packages)
    if version and backend.oldest and _older(version, backend.oldest):
        return None, f"{version} is too old, {backend.oldest} is needed"
    return replace(backend, module=module), None


def too_old(module: str, packages: Mapping[str, Any]) -> str | None:
    """Return why the installed release of a module cannot run the networks, None if it can."""
    reasons = [ready(b, packages)[1] for b in BACKENDS.values() if b.module == module]
    return reasons[0] if reasons else None


def is_present(modules: Mapping[str, Any], module: str) -> bool:
    """Whether metadata say that a module is there; without metadata everything is tried."""
    return module not in modules or bool(modules[module].get("found"))


def installed_version(backend: Backend, packages: Mapping[str, Any]) -> str | None:
    """Return the version of a backend's distribution by its metadata."""
    for distribution in packages.get("distributions") or ():
        if distribution.get("key") in backend.distributions:
            return str(distribution.get("version"))
    return None


def _older(version: str, than: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(version) < Version(than)
    except InvalidVersion:
        return False
