"""Jupyter: the kernels that are registered, and the interpreters that they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor.facts import Jupyter, Kernel, Told
from mtcnn_doctor.model import Finding, Findings, check, error, info, warning

from ._installed import CORE, PROVIDERS

#: Packages of which a notebook needs one, for there is nothing else to detect faces with.
_DETECTORS = ("mtcnn", "facenet-pytorch")
_BROKEN = {
    "not-python": "is no Python, or is not executable",
    "crash": "dies while it starts",
    "timeout": "does not start in time",
}
_MANY = 8
_NAMED = 3


def _kernels(jupyter: Jupyter, *states: str) -> Iterator[Kernel]:
    """Yield the kernels in one of the states, each name and interpreter once."""
    seen = set()
    for kernel in jupyter.get("kernels") or ():
        key = (kernel.get("name"), kernel.get("python"))
        if kernel.get("state") in states and key not in seen:
            seen.add(key)
            yield kernel


def _about(kernel: Kernel, others: Sequence[Kernel]) -> str:
    """Return the kernel's name, with its file where another has that name."""
    name = kernel.get("name", "?")
    same = [other for other in others if other.get("name") == name]
    return name if len(same) < 2 else f"{name} ({kernel.get('spec')})"


def _evidence(kernel: Kernel, **more: Any) -> dict[str, Any]:
    found = {
        "kernelspec": kernel.get("spec"),
        "shown as": kernel.get("display_name"),
        "starts": kernel.get("python"),
        **more,
    }
    return {key: value for key, value in found.items() if value}


def _register(kernel: Kernel) -> list[str]:
    """Return the command that lets a kernel start the interpreter it is run with."""
    shown = kernel.get("display_name") or kernel.get("name", "")
    return [
        f'python -m ipykernel install --user --name {kernel.get("name")} --display-name "{shown}"'
    ]


@check(
    "kernel-missing-interpreter",
    family="jupyter",
    title="every Jupyter kernel has an interpreter that starts",
)
def kernel_missing_interpreter(jupyter: Jupyter) -> Findings:
    """Judge whether the interpreters of the Jupyter kernels are there and start.

    ## What it checks
    Each kernelspec that Jupyter finds (in JUPYTER_PATH, the folders of the user, of the
    environment and of the system): whether the Python that it starts exists, is one, and comes up
    within its time limit. Kernels whose interpreter a tool chooses when it runs (``uv run``), and
    those of another machine, are left out.

    ## Why it matters
    A kernelspec outlives its environment: it stays in the list of kernels after the environment
    was deleted, moved or rebuilt. A notebook that is saved with it ends with "kernel died" or "no
    such file or directory" before its first cell.

    ## How to fix it
    Make the environment again, or register the one that is meant under the same name: run
    ``python -m ipykernel install --user --name NAME`` with its Python. A kernel that nobody needs
    can be taken off the list with ``jupyter kernelspec remove NAME``.

    ## Sources
    - https://jupyter-client.readthedocs.io/en/stable/kernels.html
    - https://ipython.readthedocs.io/en/stable/install/kernel_install.html
    """
    gone = list(_kernels(jupyter, "missing"))
    for kernel in gone:
        yield error(
            f"kernel {kernel.get('name')} starts a Python that is gone",
            about=_about(kernel, gone),
            evidence=_evidence(kernel, reason=kernel.get("reason")),
            effect="a notebook with this kernel does not start",
            cause="its environment was deleted, moved or rebuilt, and the kernelspec stayed",
            fix="register the environment that is meant, with its own Python (or take the kernel "
            f"off the list: jupyter kernelspec remove {kernel.get('name')})",
            commands=_register(kernel),
        )
    broken = list(_kernels(jupyter, *_BROKEN))
    for kernel in broken:
        yield error(
            f"kernel {kernel.get('name')} starts a Python that {_BROKEN[kernel['state']]}",
            about=_about(kernel, broken),
            evidence=_evidence(kernel, reason=kernel.get("reason")),
            effect="a notebook with this kernel does not start",
            fix="examine it with mtcnn-doctor check --python "
            f"{kernel.get('python')}, or register another environment under this name",
            commands=_register(kernel),
        )
    unreadable = list(_kernels(jupyter, "unreadable"))
    for kernel in unreadable:
        yield warning(
            f"the kernelspec {kernel.get('name')} cannot be read",
            about=_about(kernel, unreadable),
            evidence=_evidence(kernel, reason=kernel.get("reason")),
            effect="Jupyter leaves this kernel out of its list",
            fix="write it again with the Python of the environment that is meant",
            commands=_register(kernel),
        )


@check(
    "kernel-no-ipykernel",
    family="jupyter",
    title="every Jupyter kernel's interpreter has what it is to run",
)
def kernel_no_ipykernel(jupyter: Jupyter) -> Findings:
    """Judge whether the interpreters of the Jupyter kernels have ipykernel.

    ## What it checks
    Whether the module that a kernelspec starts (``ipykernel_launcher``, as a rule) would be found
    by the interpreter that it starts.

    ## Why it matters
    An environment that was rebuilt without ipykernel keeps its kernelspec. The kernel then ends
    with "No module named ipykernel_launcher" in Jupyter's log, and the notebook only says that
    the kernel died.

    ## How to fix it
    Install ipykernel with the kernel's own Python.

    ## Sources
    - https://ipython.readthedocs.io/en/stable/install/kernel_install.html
    """
    found = list(_kernels(jupyter, "ok"))
    for kernel in found:
        module = kernel.get("module")
        told = kernel.get("told") or {}
        if not module or (told.get("modules") or {}).get(module) is not False:
            continue
        package = "ipykernel" if module.startswith("ipykernel") else module
        yield error(
            f"kernel {kernel.get('name')} starts a Python without {package}",
            about=_about(kernel, found),
            evidence=_evidence(kernel, runs=f"-m {module}", python=told.get("version")),
            effect=f"a notebook with this kernel does not start: No module named {module}",
            fix=f"install {package} there",
            commands=[f"{kernel.get('python')} -m pip install {package}"],
        )


def _held(told: Told | None) -> dict[str, str]:
    """Return the versions that count, by what is imported: any OpenCV is cv2."""
    found: dict[str, str] = {}
    for key, version in ((told or {}).get("versions") or {}).items():
        name = next((module for module, keys in PROVIDERS.items() if key in keys), key)
        if key in CORE or name in ("cv2", "tensorflow", "onnxruntime", "openvino"):
            found.setdefault(name, version)
    return found


def _lacking(there: Told | None, here: Told | None) -> list[str]:
    return sorted(set(_held(here)) - set(_held(there)))


def _differences(there: Told | None, here: Told | None) -> list[str]:
    """Return in words what one interpreter has otherwise than another."""
    lines = []
    if (there or {}).get("version") != (here or {}).get("version"):
        lines.append(f"Python {(there or {}).get('version')} (here {(here or {}).get('version')})")
    theirs, ours = _held(there), _held(here)
    lines += [
        f"{name} {theirs[name]} (here {version})"
        for name, version in sorted(ours.items())
        if name in theirs and theirs[name] != version
    ]
    lines += [f"no {name}" for name in _lacking(there, here)]
    return lines


def _told_of_target(jupyter: Jupyter, packages: Mapping[str, Any], python: Any) -> Told:
    versions: dict[str, str] = {}
    for row in packages.get("distributions") or ():
        versions.setdefault(row.get("key") or "", row.get("version") or "")
    return {
        "version": python.get("version", "?"),
        "prefix": python.get("prefix", ""),
        "versions": versions,
    }


@check(
    "kernel-interpreter-mismatch",
    family="jupyter",
    title="notebooks and the shell use the same interpreter",
)
def kernel_interpreter_mismatch(
    jupyter: Jupyter, packages: Mapping[str, Any], python: Mapping[str, Any]
) -> Findings:
    """Compare the interpreters of Jupyter kernels with the target, the shell's and pip's.

    ## What it checks
    Which interpreter a new notebook gets (the kernel ``python3`` of the Jupyter in this
    environment, and of the ``jupyter`` command of this shell), and whether it is the one that is
    examined; with ``--kernel``, whether the ``pip`` of this shell installs into that kernel. A
    kernel that is meant to be another environment is only mentioned, with what is different
    there.

    ## Why it matters
    "ModuleNotFoundError in the notebook, and pip list shows the package": the notebook runs in
    another environment than the shell. Or both have the package, and the notebook's is an older
    release with other faults.

    ## How to fix it
    Register the environment as a kernel (``python -m ipykernel install --user --name NAME``) and
    choose it in the notebook; install from inside a notebook with ``%pip``, which uses the
    kernel's own interpreter, and not with ``!pip``.

    ## Sources
    - https://ipython.readthedocs.io/en/stable/install/kernel_install.html
    - https://ipython.readthedocs.io/en/stable/interactive/magics.html#magic-pip
    """
    here = _told_of_target(jupyter, packages, python)
    name = jupyter.get("examined")
    if name:
        yield from _against_shell(jupyter, name, here)
        return
    others = [k for k in _kernels(jupyter, "ok") if not k.get("is_target")]
    judged = []
    for kernel in others:
        finding = _default_kernel(jupyter, kernel, here)
        if finding is not None:
            judged.append(kernel)
            yield finding
    rest = {}
    for kernel in others:
        lines = _differences(kernel.get("told"), here)
        if kernel not in judged and lines:
            rest[_about(kernel, others)] = ", ".join(lines)
    if rest:
        number = "1 kernel runs" if len(rest) == 1 else f"{len(rest)} kernels run"
        # A note shows its title alone: what differs has to stand there.
        shown = "; ".join(f"{name}: {said}" for name, said in list(rest.items())[:_NAMED])
        more = f"; and {len(rest) - _NAMED} more" if len(rest) > _NAMED else ""
        yield info(
            f"{number} another interpreter than this one ({shown}{more})",
            evidence=dict(list(rest.items())[:_MANY]),
            effect="what is found here does not hold for notebooks with such a kernel",
            fix="examine one with mtcnn-doctor check --kernel NAME",
        )


def _default_kernel(jupyter: Jupyter, kernel: Kernel, here: Told) -> Finding | None:
    """Return what is wrong with the kernel that a new notebook gets, None if nothing is."""
    if kernel.get("name") != "python3":
        return None
    told, launchers = kernel.get("told"), kernel.get("launchers") or []
    lacking, lines = _lacking(told, here), _differences(told, here)
    evidence = _evidence(kernel, differences=lines[:_MANY])
    cause = "its kernelspec names another environment, and is found before this one's own"
    commands = ["python -m ipykernel install --sys-prefix"]
    if "target" in launchers and _has_jupyter(here) and lines:
        made = error if lacking else warning
        what = f"lacks {', '.join(lacking)}" if lacking else "has other versions"
        return made(
            f"notebooks of this environment run another interpreter, which {what}",
            about=kernel.get("name", ""),
            evidence=evidence,
            effect="what works in the shell fails, or differs, in a notebook",
            cause=cause,
            fix="let this environment's own kernel come first",
            commands=["export JUPYTER_PREFER_ENV_PATH=1", *commands],
        )
    shell = jupyter.get("shell") or {}
    is_ours = any((shell.get(command) or {}).get("is_target") for command in ("python", "pip"))
    missed = [package for package in lacking if package in _DETECTORS]
    if "shell" in launchers and is_ours and missed:
        return warning(
            f"the jupyter of this shell runs another interpreter, without {', '.join(missed)}",
            about=kernel.get("name", ""),
            evidence={**evidence, "jupyter": (shell.get("jupyter") or {}).get("path")},
            effect=f"import {missed[0].replace('-', '_')} fails in a notebook, although pip has it",
            cause="jupyter is installed in another environment than python and pip",
            fix="register this environment as a kernel, and choose it in the notebook",
            commands=[
                "python -m pip install ipykernel",
                "python -m ipykernel install --user --name mtcnn",
            ],
        )
    return None


def _has_jupyter(told: Told) -> bool:
    """Whether notebooks can be started from an environment itself."""
    servers = ("jupyter-server", "notebook", "jupyterlab", "jupyter-client")
    return any(key in (told.get("versions") or {}) for key in servers)


def _against_shell(jupyter: Jupyter, name: str, here: Told) -> Iterator[Finding]:
    """Compare the kernel that is examined with the pip and the python of the shell."""
    shell = jupyter.get("shell") or {}
    commands = [c for c in ("pip", "python") if (shell.get(c) or {}).get("state") == "ok"]
    command = next((c for c in commands if not shell[c].get("is_target")), None)
    if command is None:
        return
    row = shell[command]
    told = row.get("told") or {}
    missed = [
        package
        for package in _DETECTORS
        if package in _held(told) and not set(_DETECTORS) & set(_held(here))
    ]
    # Seen from the kernel: what it has, and what pip's interpreter has instead.
    lines = [f"{line}" for line in _differences(told, here)]
    evidence = {command: row.get("path", ""), "its interpreter": told.get("executable", "")}
    if missed:
        yield warning(
            f"the {command} of this shell belongs to another interpreter than kernel {name}, "
            f"which has no {' and no '.join(missed)}",
            about=name,
            evidence=evidence,
            effect=f"pip list shows {missed[0]}, and the notebook does not find it",
            cause="it was installed with the pip of another environment",
            fix="install it from inside the notebook, with %pip",
            commands=[f"%pip install {missed[0]}"],
        )
    elif lines:
        yield info(
            f"the {command} of this shell belongs to another interpreter than kernel {name}",
            about=name,
            evidence={**evidence, "there": ", ".join(lines[:_MANY])},
            effect="what it installs is not found by a notebook with this kernel",
            fix="install from inside the notebook, with %pip",
        )
