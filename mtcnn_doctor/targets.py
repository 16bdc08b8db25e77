"""From ``--python`` or ``--kernel`` to the interpreter that is to be examined."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtcnn_doctor.errors import UsageError


@dataclass(frozen=True)
class Target:
    """The interpreter under examination and the environment variables it is started with."""

    python: str
    environment: Mapping[str, str] = field(default_factory=dict)
    kernel: str | None = None


def resolve(python: str | None, kernel: str | None) -> Target:
    """Return the target for the options given; by default the interpreter that runs the doctor.

    Raises:
        UsageError: both options, an interpreter that does not exist, an unknown kernel.
    """
    if python and kernel:
        raise UsageError("--python and --kernel name two targets; give one of them")
    if kernel:
        return _from_kernel(kernel)
    return Target(_interpreter(python) if python else sys.executable)


def _interpreter(given: str) -> str:
    path = Path(given).expanduser()
    if path.is_dir():
        # People name the folder of their environment.
        for inside in ("bin/python", "Scripts/python.exe", "python.exe"):
            if (path / inside).is_file():
                return str((path / inside).absolute())
        raise UsageError(f"{given} is a folder without a Python in it; name bin/python of it")
    if path.is_file():
        if not os.access(path, os.X_OK):
            raise UsageError(f"{given} is not executable; name a Python interpreter")
        # Not resolved: a virtual environment's python is a link, and means the environment.
        return str(path.absolute())
    found = shutil.which(given)
    if found is None:
        raise UsageError(f"no interpreter {given}; give a path or a command such as python3.11")
    return found


def _kernel_folders() -> Iterator[Path]:
    """Yield the folders that Jupyter looks for kernelspecs in, in its order of preference."""
    for entry in os.environ.get("JUPYTER_PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry) / "kernels"
    home = Path.home()
    if "JUPYTER_DATA_DIR" in os.environ:
        yield Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels"
    elif sys.platform == "darwin":
        yield home / "Library" / "Jupyter" / "kernels"
    elif sys.platform == "win32":
        yield Path(os.environ.get("APPDATA", home)) / "jupyter" / "kernels"
    else:
        data = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
        yield Path(data) / "jupyter" / "kernels"
    yield Path(sys.prefix) / "share" / "jupyter" / "kernels"
    if sys.platform == "win32":
        yield Path(os.environ.get("PROGRAMDATA", "C:\\ProgramData")) / "jupyter" / "kernels"
    else:
        yield Path("/usr/local/share/jupyter/kernels")
        yield Path("/usr/share/jupyter/kernels")


def kernels() -> dict[str, Path]:
    """Return the kernelspecs that Jupyter would find: name to ``kernel.json``."""
    found: dict[str, Path] = {}
    for folder in _kernel_folders():
        for spec in sorted(folder.glob("*/kernel.json")):
            # Jupyter compares kernel names in lower case; the first folder wins.
            found.setdefault(spec.parent.name.lower(), spec)
    return found


def _from_kernel(name: str) -> Target:
    known = kernels()
    spec = known.get(name.lower())
    if spec is None:
        names = ", ".join(sorted(known)) or "none"
        raise UsageError(f"no Jupyter kernel {name}; found: {names}")
    try:
        document = json.loads(spec.read_text(encoding="utf-8"))
        argv = [str(part) for part in document["argv"]]
        environment = {str(k): str(v) for k, v in (document.get("env") or {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{spec} is not a kernelspec ({error}); reinstall the kernel with "
            "python -m ipykernel install"
        ) from error
    for part in argv:
        # Some kernels start through a wrapper (env, conda run): the first Python counts.
        if Path(part).name.lower().startswith(("python", "pypy")):
            python = shutil.which(part) if not os.path.isabs(part) else part
            if python is None or not Path(python).is_file():
                raise UsageError(
                    f"kernel {name} starts {part}, which does not exist; its environment was "
                    f"moved or deleted (see {spec})"
                )
            return Target(python, environment, kernel=name)
    raise UsageError(f"kernel {name} does not start a Python interpreter (see {spec})")
