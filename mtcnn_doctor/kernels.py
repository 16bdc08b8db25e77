"""Jupyter's kernelspecs: where they lie, and which interpreter each of them starts.

Follows ``jupyter_core.paths.jupyter_path`` (5.9), ``KernelSpecManager`` and
``KernelManager.format_kernel_cmd`` of jupyter_client (8.10), without importing either: files are
read, nothing is started. The Jupyter that would start a kernel (:class:`Launcher`) matters twice:
its environment is one of the places searched, and a bare ``python`` in a kernelspec is its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any

from mtcnn_doctor import surroundings
from mtcnn_doctor.kernel_commands import Command, command_of

#: What Jupyter calls the kernel that a new notebook gets; there without a file, too.
NATIVE = "python3"

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")
#: A kernelspec of a few kilobytes is usual; what is far larger is none.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Launcher:
    """A Jupyter by the interpreter it runs in; ``role`` is "target", "shell" or "doctor"."""

    python: str
    prefix: str
    role: str


@dataclass(frozen=True)
class Kernel:
    """One kernelspec as one launcher would start it.

    ``problem`` says why the file is none; ``remote`` that something else than a process of this
    machine would be started. ``command`` is None for both.
    """

    name: str
    path: Path | None
    display_name: str = ""
    language: str = ""
    launchers: tuple[str, ...] = ()
    command: Command | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    remote: bool = False

    @property
    def is_python(self) -> bool:
        """Whether it is a kernel for Python, as far as can be told."""
        if self.language:
            return self.language.lower() == "python"
        return self.command is not None and self.command.python is not None


def prefix_of(python: str) -> str:
    """Return the folder of the environment that an interpreter most likely belongs to."""
    folder = Path(os.path.abspath(python)).parent
    return str(folder if sys.platform == "win32" and folder.name != "Scripts" else folder.parent)


def folders(launcher: Launcher) -> list[Path]:
    """Return the folders that a launcher looks for kernelspecs in, the most preferred first."""
    given = [Path(p.rstrip(os.sep)) for p in _entries("JUPYTER_PATH")]
    own = Path(launcher.prefix) / "share" / "jupyter"
    user = list(dict.fromkeys([_data_folder(), *_user_base(launcher)]))
    system = _system_folders(own)
    # jupyter_core 5.8 and newer: whoever works in an environment of his own prefers its kernels.
    between = [own, *user] if _prefers_own(launcher) else [*user, own]
    if own in system:
        between.remove(own)
    places = [folder / "kernels" for folder in [*given, *between, *system]]
    ipython = os.environ.get("IPYTHONDIR") or surroundings.home() / ".ipython"
    return list(dict.fromkeys([*places, Path(ipython) / "kernels"]))


def _entries(variable: str) -> list[str]:
    return [entry for entry in os.environ.get(variable, "").split(os.pathsep) if entry]


def _is_on(variable: str, default: bool = False) -> bool:
    """Whether a variable says yes, in the words that jupyter_core knows."""
    value = os.environ.get(variable)
    if value is None:
        return default
    return value.lower() not in ("no", "n", "false", "off", "0", "0.0")


def _data_folder() -> Path:
    if os.environ.get("JUPYTER_DATA_DIR"):
        return Path(os.environ["JUPYTER_DATA_DIR"])
    home = surroundings.home()
    if sys.platform == "darwin":
        if _is_on("JUPYTER_PLATFORM_DIRS"):
            return home / "Library" / "Application Support" / "Jupyter"
        return home / "Library" / "Jupyter"
    if sys.platform == "win32":
        if _is_on("JUPYTER_PLATFORM_DIRS"):
            return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "Jupyter"
        appdata = os.environ.get("APPDATA")
        return Path(appdata, "jupyter") if appdata else home / ".jupyter" / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter"


def _user_base(launcher: Launcher) -> list[Path]:
    """Return where ``pip install --user`` puts kernelspecs, for who looks there at all."""
    if os.environ.get("PYTHONNOUSERSITE") or _is_closed(launcher.prefix):
        return []
    base = os.environ.get("PYTHONUSERBASE")
    if base:
        return [Path(base) / "share" / "jupyter"]
    if sys.platform == "darwin":
        return sorted(surroundings.home().glob("Library/Python/3.*/share/jupyter"), reverse=True)
    if sys.platform == "win32":
        return []
    return [surroundings.home() / ".local" / "share" / "jupyter"]


def _is_closed(prefix: str) -> bool:
    """Whether a virtual environment has nothing of the user's and the system's packages."""
    try:
        text = (Path(prefix) / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^include-system-site-packages\s*=\s*true", text, re.M | re.I) is None


def _system_folders(own: Path) -> list[Path]:
    if sys.platform == "win32":
        programdata = os.environ.get("PROGRAMDATA")
        if programdata and _is_on("JUPYTER_USE_PROGRAMDATA"):
            return [Path(programdata) / "jupyter"]
        return [own]
    if _is_on("JUPYTER_PLATFORM_DIRS") and _entries("XDG_DATA_DIRS"):
        return [Path(entry) / "jupyter" for entry in _entries("XDG_DATA_DIRS")]
    return [Path("/usr/local/share/jupyter"), Path("/usr/share/jupyter")]


def _prefers_own(launcher: Launcher) -> bool:
    if "JUPYTER_PREFER_ENV_PATH" in os.environ:
        return _is_on("JUPYTER_PREFER_ENV_PATH")
    if (Path(launcher.prefix) / "pyvenv.cfg").is_file():
        return _is_mine(launcher.prefix)
    conda = os.environ.get("CONDA_PREFIX")
    return (
        bool(conda)
        and launcher.prefix.startswith(str(conda))
        and os.environ.get("CONDA_DEFAULT_ENV", "base") != "base"
        and _is_mine(launcher.prefix)
    )


def _is_mine(path: str) -> bool:
    try:
        return not hasattr(os, "geteuid") or os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def spec_files(launcher: Launcher) -> dict[str, Path]:
    """Return the kernelspecs that a launcher finds: name to ``kernel.json``."""
    found: dict[str, Path] = {}
    for folder in folders(launcher):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue  # most of the places do not exist
        for name in names:
            spec = folder / name / "kernel.json"
            # Jupyter compares kernel names in lower case; the first folder wins.
            if name.lower() not in found and spec.is_file():
                found[name.lower()] = spec
    return found


def all_kernels(launchers: Sequence[Launcher]) -> list[Kernel]:
    """Return every kernel that one of the launchers could start, each once.

    Two launchers may mean different things by one name: then there are two of it.
    """
    found: dict[tuple[object, ...], Kernel] = {}
    for launcher in launchers:
        for name, path in spec_files(launcher).items():
            kernel = read(name, path, launcher)
            key = (name, os.path.realpath(path), kernel.command)
            earlier = found.get(key)
            before = earlier.launchers if earlier is not None else ()
            roles = tuple(dict.fromkeys((*before, launcher.role)))
            found[key] = replace(kernel, launchers=roles)
    return list(found.values())


def native(launcher: Launcher) -> Kernel:
    """Return the kernel that Jupyter offers without a file, where ipykernel is installed."""
    return Kernel(
        NATIVE,
        None,
        "Python 3 (ipykernel)",
        "python",
        (launcher.role,),
        Command(launcher.python, "ipykernel_launcher"),
    )


def read(name: str, path: Path, launcher: Launcher) -> Kernel:
    """Read a kernelspec; a file that is none has a ``problem``."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        document = json.loads(path.read_text(encoding="utf-8"))
        argv = document["argv"]
        if not isinstance(argv, list) or not argv:
            raise ValueError("argv is no list of words")
        metadata = document.get("metadata") or {}
        environment = {str(k): _filled(str(v)) for k, v in (document.get("env") or {}).items()}
        display_name, language = str(document.get("display_name", "")), document.get("language")
        remote = _is_remote(metadata)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        return Kernel(name, path, launchers=(launcher.role,), problem=text)
    words = list(_substituted([str(word) for word in argv], path, launcher))
    return Kernel(
        name,
        path,
        display_name,
        str(language or ""),
        (launcher.role,),
        None if remote else command_of(words, launcher.python, environment),
        environment,
        remote=remote,
    )


def _filled(value: str) -> str:
    """Return a variable's value with ``${NAME}`` put in, as jupyter_client does."""
    return Template(value).safe_substitute(os.environ)


def _is_remote(metadata: Any) -> bool:
    """Whether a provisioner other than the ordinary one starts the kernel, wherever that is."""
    provisioner = metadata.get("kernel_provisioner") if isinstance(metadata, dict) else None
    name = provisioner.get("provisioner_name") if isinstance(provisioner, dict) else None
    return name not in (None, "local-provisioner")


def _substituted(argv: Sequence[str], path: Path, launcher: Launcher) -> Iterator[str]:
    values = {"prefix": launcher.prefix, "resource_dir": str(path.parent)}
    for word in argv:
        yield _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), word)
