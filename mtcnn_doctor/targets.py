"""From ``--python`` or ``--kernel`` to the interpreter that is to be examined."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from mtcnn_doctor import kernels as kernelspecs
from mtcnn_doctor import shell
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.kernels import Kernel, Launcher


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
    if python == "":
        # An unset variable of the shell; the doctor's own Python is not what was meant.
        raise UsageError("--python is empty; name an interpreter, or leave the option out")
    return Target(_interpreter(python) if python else sys.executable)


def _interpreter(given: str) -> str:
    path = Path(os.path.expanduser(given))
    if path.is_dir():
        # People name the folder of their environment.
        for inside in ("bin/python", "Scripts/python.exe", "python.exe"):
            if (path / inside).is_file():
                return _plain(path / inside)
            if (path / inside).is_symlink():
                raise _gone(path / inside)
        raise UsageError(f"{given} is a folder without a Python in it; name bin/python of it")
    if path.is_file():
        if not os.access(path, os.X_OK):
            raise UsageError(f"{given} is not executable; name a Python interpreter")
        _refuse_link_to_environment(path)
        # Not resolved: a virtual environment's python is a link, and means the environment.
        return _plain(path)
    if path.is_symlink():
        raise _gone(path)
    found = shutil.which(given)
    if found is None:
        raise UsageError(f"no interpreter {given}; give a path or a command such as python3.11")
    return found


def _plain(path: Path) -> str:
    """Return an absolute path; without ``..`` where that names the same file."""
    whole = path.absolute()
    short = Path(os.path.normpath(whole))
    return str(short if short.exists() and short.samefile(whole) else whole)


def _gone(link: Path) -> UsageError:
    return UsageError(
        f"{link} is a link to {os.readlink(link)}, which is gone: the Python that the environment "
        "was made with was removed or moved; make the environment anew"
    )


def _refuse_link_to_environment(path: Path) -> None:
    """Refuse a link from outside into a virtual environment.

    Python started by it finds no pyvenv.cfg beside itself, and takes the packages of the base.

    Raises:
        UsageError: it is one.
    """
    if not path.is_symlink() or _has_environment(path.absolute()):
        return
    step = path.absolute()
    while step.is_symlink():
        step = Path(os.path.normpath(step.parent / os.readlink(step)))
        if _has_environment(step):
            raise UsageError(
                f"{path} is a link into the environment {step.parent.parent}, which Python started "
                f"by that link does not see; name {step}"
            )


def _has_environment(python: Path) -> bool:
    return any((folder / "pyvenv.cfg").is_file() for folder in list(python.parents)[:2])


def launchers() -> list[Launcher]:
    """Return the Jupyters that ``--kernel`` may mean: the shell's, then the doctor's own."""
    found = []
    command = shell.command_path("jupyter")
    python = None if command is None else shell.interpreter_of(command)
    if python is not None and not shell.same_environment(python, sys.executable):
        found.append(Launcher(python, kernelspecs.prefix_of(python), "shell"))
    return [*found, Launcher(sys.executable, sys.prefix, "doctor")]


def kernels() -> dict[str, Kernel]:
    """Return the kernels by name, as the Jupyter of this shell resolves them."""
    found: dict[str, Kernel] = {}
    for launcher in launchers():
        for kernel in kernelspecs.all_kernels([launcher]):
            found.setdefault(kernel.name, kernel)
    own = launchers()[-1]
    if find_spec("ipykernel") is not None:
        found.setdefault(kernelspecs.NATIVE, kernelspecs.native(own))
    return found


def _from_kernel(name: str) -> Target:
    known = kernels()
    kernel = known.get(name.lower())
    if kernel is None:
        names = ", ".join(sorted(known)) or "none"
        raise UsageError(f"no Jupyter kernel {name}; found: {names}")
    where, command = f"(see {kernel.path})", kernel.command
    if kernel.problem is not None:
        raise UsageError(
            f"{kernel.path} is not a kernelspec ({kernel.problem}); reinstall the kernel with "
            "python -m ipykernel install"
        )
    if kernel.remote:
        raise UsageError(
            f"kernel {name} does not run on this machine; run mtcnn-doctor where it does {where}"
        )
    assert command is not None
    if command.missing:
        raise UsageError(
            f"kernel {name} starts {command.python or 'an interpreter'}, which does not exist "
            f"({command.why}); its environment was moved or deleted {where}"
        )
    if command.python is None:
        raise UsageError(
            f"kernel {name} does not start a Python interpreter that can be told from its "
            f"kernelspec: {command.why}; name the interpreter with --python {where}"
        )
    variables = {**kernel.environment, **command.set, **dict.fromkeys(command.unset, "")}
    return Target(command.python, variables, kernel=name)
