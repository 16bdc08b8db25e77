"""Control groups, versions 1 and 2: where a process is, and the tightest value up the tree."""

from __future__ import annotations

import os
from typing import Callable, TypeVar

T = TypeVar("T")


def read(path: str) -> str | None:
    """Return the stripped text of a small file, None where it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return None


class Place:
    """The folders of one controller, from the process's own group up to the mount."""

    def __init__(self, version: int, folders: list[str]) -> None:
        self.version = version
        self.folders = folders

    def values(self, file: str, parse: Callable[[str], T | None]) -> list[T]:
        """Return what ``parse`` makes of ``file`` in each folder, own group first."""
        found = []
        for folder in self.folders:
            text = read(os.path.join(folder, file))
            value = parse(text) if text else None
            if value is not None:
                found.append(value)
        return found


def _upwards(mount: str, path: str) -> list[str]:
    """Return the folder of ``path`` below ``mount`` and its parents down to the mount itself."""
    path = os.path.normpath("/" + path.strip("/")).lstrip("/")
    # In a container /proc/self/cgroup may name the path on the host, or "/../.." outside the
    # namespace: then what is mounted here is already the process's own group.
    if not path or not os.path.isdir(os.path.join(mount, path)):
        return [mount]
    folders = []
    while path:
        folders.append(os.path.join(mount, path))
        path = os.path.dirname(path)
    return [*folders, mount]


def _mount_of(root: str, controller: str) -> str | None:
    """Return where a version 1 controller is mounted ("cpu" may live under "cpu,cpuacct")."""
    base = os.path.join(root, "sys/fs/cgroup")
    if os.path.isdir(os.path.join(base, controller)):
        return os.path.join(base, controller)
    try:
        names = sorted(os.listdir(base))
    except OSError:
        return None
    for name in names:
        if controller in name.split(","):
            return os.path.join(base, name)
    return None


def find(controller: str, root: str = "/") -> Place | None:
    """Return the place of this process under ``controller`` ("memory" or "cpu"), if any.

    ``root`` is for tests: a folder that holds ``proc/self/cgroup`` and ``sys/fs/cgroup``.
    """
    text = read(os.path.join(root, "proc/self/cgroup"))
    base = os.path.join(root, "sys/fs/cgroup")
    unified = None
    for line in (text or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        if parts[0] == "0" and not parts[1]:
            unified = parts[2]
        elif controller in parts[1].split(","):
            mount = _mount_of(root, controller)
            if mount is not None:
                return Place(1, _upwards(mount, parts[2]))
    if os.path.exists(os.path.join(base, "cgroup.controllers")):
        return Place(2, _upwards(base, unified or "/"))
    return None
