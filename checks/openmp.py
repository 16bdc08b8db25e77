"""Two OpenMP runtimes in one process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._deaths import Runs, certificate, libraries_of, named, omp_error, where

#: Descended from one code base, and each refuses a second copy of either.
_KMP = {"Intel OpenMP", "LLVM OpenMP"}
_ENDED = ("crash", "timeout")
_PACKAGE = re.compile(r"(?:site|dist)-packages/([^/]+)/")


@check("openmp-duplicates", family="runs", title="one OpenMP runtime in a process", level=2)
def openmp_duplicates(runs: Runs) -> Findings:
    """Whether a process that ran MTCNN had more than one OpenMP runtime loaded.

    ## What it checks
    The shared libraries of each run's process, by file name: GNU's OpenMP (libgomp), Intel's
    (libiomp5), LLVM's (libomp) and Microsoft's (vcomp). Two different ones count, and two copies
    of Intel's or LLVM's. Two copies of GNU's do not: they do not know of each other. It is a
    warning where the run was fine, and an error where it crashed or hung.

    ## Why it matters
    Each runtime has threads of its own and believes to be alone. Intel's and LLVM's look for each
    other and end the process (`OMP: Error #15`, SIGABRT, exit code 134). Other pairs may work for
    years, or crash, hang or compute with twice the threads that there are processors. A pair that
    was loaded when a run crashed is a suspect; only `OMP: Error #15` is a proof.

    ## How to fix it
    Install all packages that bring native code from one source: all from pip, or all from
    conda-forge. The paths name the packages. Where one comes from LD_PRELOAD or LD_LIBRARY_PATH,
    clear that. KMP_DUPLICATE_LIB_OK=TRUE silences the message and leaves the fault: Intel says
    that results may then be wrong.

    ## Sources
    - https://github.com/joblib/threadpoolctl/blob/master/multiple_openmp.md
    - https://github.com/pytorch/pytorch/issues/13806
    """
    fine: dict[tuple[str, ...], list[str]] = {}
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for run in runs:
        loaded = _clash(libraries_of(run, "openmp"))
        if not loaded:
            continue
        if run["outcome"] in _ENDED:
            yield _suspect(run, loaded)
        else:
            key = tuple(path for paths in loaded.values() for path in paths)
            groups[key] = loaded
            fine.setdefault(key, []).append(run["name"])
    for key, names in fine.items():
        yield warning(
            f"{_words(groups[key])} are loaded together, in the process of {', '.join(names)}",
            about=", ".join(names),
            evidence=groups[key],
            effect="no harm was seen here; such pairs are known to crash, to hang, or to compute "
            "with twice the threads",
            fix=_fix(groups[key]),
        )


def _suspect(run: Mapping[str, Any], loaded: Mapping[str, list[str]]) -> Finding:
    said = omp_error(run)
    evidence = {**loaded, **certificate(run)}
    # They stand there one by one.
    evidence.pop("openmp libraries", None)
    if said:
        evidence.pop("last words", None)  # a hint, which says to tolerate it
        return error(
            f"{_words(loaded)} are loaded together, which ended {named(run)} {where(run)}: {said}",
            about=run["name"],
            evidence={**evidence, "signal": run.get("signal"), "exit code": run.get("exit_code")},
            effect="your program or notebook kernel dies here too, and no except clause sees it",
            cause="the second runtime found the first and ended the process",
            fix=_fix(loaded),
        )
    end = "hung" if run["outcome"] == "timeout" else f"died of {run.get('signal') or 'an exit'}"
    return error(
        f"{_words(loaded)} were loaded together when {named(run)} {end}",
        about=run["name"],
        evidence=dict(loaded),
        effect="a suspect, not a proven cause: such pairs are known to crash and to hang",
        fix=_fix(loaded),
    )


def _clash(libraries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return runtimes that do not go together, each with its paths; empty where they do."""
    found: dict[str, list[str]] = {}
    for library in libraries:
        found.setdefault(str(library.get("runtime") or library["name"]), []).append(library["path"])
    twice = any(len(paths) > 1 for runtime, paths in found.items() if runtime in _KMP)
    return {key: sorted(found[key]) for key in sorted(found)} if len(found) > 1 or twice else {}


def _words(loaded: Mapping[str, list[str]]) -> str:
    named_ = [
        f"{len(paths)} copies of {runtime}" if len(paths) > 1 else runtime
        for runtime, paths in loaded.items()
    ]
    return " and ".join(named_)


def _fix(loaded: Mapping[str, list[str]]) -> str:
    brought = []
    for runtime, paths in loaded.items():
        for path in paths:
            package = _PACKAGE.search(path.replace("\\\\", "/"))
            brought.append(f"{runtime} comes from {package[1] if package else path}")
    return (
        "keep one: install the packages that bring them from one source (all from pip, or all from "
        f"conda-forge), and preload none. Here {'; '.join(brought)}"
    )
