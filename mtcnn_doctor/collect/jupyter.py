"""The Jupyter kernels of this machine: each one's interpreter is asked, beside everything else.

The kernels that start the target itself need no asking: what is known of the target holds for
them. So a machine with only its own kernel costs the reading of a few small files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mtcnn_doctor import kernels, shell
from mtcnn_doctor.collect.request import Collected, Request
from mtcnn_doctor.kernels import Kernel, Launcher
from mtcnn_doctor.sandbox import Child, Launch, NotPython, TargetTooOld

#: Telling its versions takes an interpreter a fraction of a second, on a network disk a few.
_LIMIT_S = 10.0
#: Children at once: they wait for the disk more than they compute.
_AT_ONCE = 4
_MODULE = "ipykernel"
#: Compared with a kernel's interpreter, where there is anything to compare.
_COMPARED = ("python", "pip")

_Key = tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]


def ask_kernels(request: Request, collected: Collected) -> None:
    """Find all kernels and ask those interpreters that are not the target's own."""
    # To ask a version manager what a command stands for takes a tenth of a second.
    commands = shell.interpreters("jupyter")
    launchers = _launchers(request.target.python, commands)
    fact = _ask(request, launchers, commands)
    with collected.lock:
        collected.facts["jupyter"] = fact


def complete(request: Request, collected: Collected) -> None:
    """Fill in what is known of the target for the kernels, and commands, that start it."""
    fact = collected.facts.get("jupyter")
    python = collected.facts.get("python") or {}
    if fact is None or not python:
        collected.facts.pop("jupyter", None)
        return
    prefix = str(python.get("prefix") or "")
    guessed = kernels.prefix_of(request.target.python)
    if prefix and os.path.realpath(prefix) != os.path.realpath(guessed):
        commands = shell.interpreters("jupyter")
        launchers = [Launcher(request.target.python, prefix, "target")]
        launchers += _launchers(request.target.python, commands)[1:]
        fact = _ask(request, launchers, commands)
    own = _of_target(collected.facts)
    for row in (*fact["kernels"], *fact["shell"].values()):
        told = row.get("told") or {}
        if told and _is_same(told, own):
            row["is_target"] = True
        if row.get("is_target"):
            # Its versions are those of the fact `packages`.
            same = {key: value for key, value in own.items() if key != "versions"}
            row.update(state="ok", told={**same, "modules": told.get("modules", own["modules"])})
    _add_native(fact, request, own)
    collected.facts["jupyter"] = fact


def _launchers(target: str, commands: Mapping[str, tuple[str, str | None]]) -> list[Launcher]:
    """Return the Jupyters whose kernels count: the target's, the shell's, the doctor's."""
    found = [Launcher(target, kernels.prefix_of(target), "target")]
    others = [("shell", (commands.get("jupyter") or ("", None))[1]), ("doctor", sys.executable)]
    for role, python in others:
        if python and not any(shell.same_environment(python, one.python) for one in found):
            prefix = sys.prefix if role == "doctor" else kernels.prefix_of(python)
            found.append(Launcher(python, prefix, role))
    return found


def _ask(
    request: Request,
    launchers: Sequence[Launcher],
    commands: Mapping[str, tuple[str, str | None]],
) -> dict[str, Any]:
    target = request.target.python
    found = [kernel for kernel in kernels.all_kernels(launchers) if _concerns_us(kernel)]
    rows = [_row(kernel, target) for kernel in found]
    compare = request.target.kernel is not None or any(not row["is_target"] for row in rows)
    if compare:
        commands = {**shell.interpreters(*_COMPARED), **commands}
    shown: dict[str, dict[str, Any]] = {
        name: {"path": path, "python": python, "is_target": _is(python, target)}
        for name, (path, python) in commands.items()
    }
    wanted: dict[_Key, list[dict[str, Any]]] = {}
    for kernel, row in zip(found, rows, strict=True):
        if row["state"] == "unasked":
            wanted.setdefault(_key_of(kernel), []).append(row)
    if compare:
        for row in shown.values():
            if isinstance(row["python"], str) and not row["is_target"]:
                wanted.setdefault((row["python"], (), ()), []).append(row)
    modules = sorted({_MODULE, *(row["module"] for row in rows if row["module"])})
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        answers = list(pool.map(lambda key: _told(request, modules, key), wanted))
    for answer, asked in zip(answers, wanted.values(), strict=True):
        for row in asked:
            row.update(answer)
    return {
        "kernels": rows,
        "shell": shown,
        "examined": request.target.kernel,
        "launchers": [vars(launcher) for launcher in launchers],
    }


def _concerns_us(kernel: Kernel) -> bool:
    return kernel.is_python or (kernel.problem is not None)


def _is(python: str | None, target: str) -> bool:
    return python is not None and shell.same_environment(python, target)


def _row(kernel: Kernel, target: str) -> dict[str, Any]:
    command = kernel.command
    row: dict[str, Any] = {
        "name": kernel.name,
        "display_name": kernel.display_name,
        "spec": None if kernel.path is None else str(kernel.path),
        "launchers": list(kernel.launchers),
        "python": None if command is None else command.python,
        "module": None if command is None else command.module,
        "is_target": False,
        "state": "unasked",
    }
    if kernel.problem is not None:
        row.update(state="unreadable", reason=kernel.problem)
    elif kernel.remote:
        row.update(state="unknown", reason="another machine or a container runs it")
    elif command is None or (command.python is None and not command.missing):
        row.update(state="unknown", reason="" if command is None else command.why)
    elif command.missing:
        row.update(state="missing", reason=command.why)
    elif _is(command.python, target) and not {*kernel.environment, *command.set, *command.unset}:
        row.update(is_target=True)
        row["state"] = "target"
    return row


def _key_of(kernel: Kernel) -> _Key:
    assert kernel.command is not None
    assert kernel.command.python is not None
    variables = {**kernel.environment, **kernel.command.set}
    return kernel.command.python, tuple(sorted(variables.items())), kernel.command.unset


def _told(request: Request, modules: Sequence[str], key: _Key) -> dict[str, Any]:
    """Ask one interpreter in a child; return its state, and what it told."""
    python, variables, unset = key
    launch = Launch(
        python,
        {"task": "facts", "probes": ["kernel"], "modules": modules},
        f"kernel {os.path.basename(os.path.dirname(os.path.dirname(python)))}",
        timeout_s=min(request.timeout_s, _LIMIT_S),
        environment=dict(variables),
        without=unset,
    )
    try:
        ending = Child(launch, request.listener).run()
    except TargetTooOld as problem:
        return {"state": "too-old", "reason": str(problem)}
    except NotPython as problem:
        return {"state": "not-python", "reason": str(problem)}
    fact = [message["value"] for message in ending.of("fact")]
    if fact:
        return {"state": "ok", "told": fact[0]}
    failed = ending.last("probe-failed")
    if failed is not None:
        return {"state": "unknown", "reason": failed["error"]["last_line"]}
    if ending.timed_out is not None:
        return {"state": "timeout", "reason": f"it had not started after {ending.limit_s:g} s"}
    words = [line for line in ending.stderr.splitlines() if line.strip()]
    how = ending.signal or f"exit code {ending.exit_code}"
    return {
        "state": "crash",
        "reason": f"it ended with {how}" + (f": {words[-1]}" if words else ""),
    }


def _of_target(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return of the target what a kernel's interpreter is asked for."""
    python, packages = facts.get("python") or {}, facts.get("packages") or {}
    versions: dict[str, str] = {}
    for row in packages.get("distributions") or ():
        versions.setdefault(row["key"], row["version"])
    return {
        "executable": python.get("executable"),
        "prefix": python.get("prefix"),
        "base_prefix": python.get("base_prefix"),
        "version": python.get("version"),
        "versions": versions,
        "modules": dict.fromkeys((_MODULE, "ipykernel_launcher"), "ipykernel" in versions),
    }


def _is_same(told: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether an interpreter turned out to be that of the target, by another name."""
    if not told.get("prefix") or not own.get("prefix"):
        return False
    same = os.path.realpath(told["prefix"]) == os.path.realpath(own["prefix"])
    return same and told.get("version") == own.get("version")


def _add_native(fact: dict[str, Any], request: Request, own: Mapping[str, Any]) -> None:
    """Add the kernel that the target's Jupyter offers although no file describes it."""
    there = {row["name"] for row in fact["kernels"] if "target" in row["launchers"]}
    if kernels.NATIVE in there or not own["modules"][_MODULE]:
        return
    launcher = Launcher(request.target.python, str(own["prefix"]), "target")
    row = _row(kernels.native(launcher), request.target.python)
    told = {key: value for key, value in own.items() if key != "versions"}
    fact["kernels"].append({**row, "state": "ok", "told": told})
