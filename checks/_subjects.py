"""Reading a package's run beside that of its framework's backend: whose fault is it?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ._deaths import Runs, named, where
from ._deaths import roots as common_roots
from ._installed import FRAMEWORKS

Subjects = Mapping[str, Any]

_NETWORKS = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
_FINE = ("ok",)
_NO_FAULT = ("ok", "not-installed")
#: Outcomes in which two runs may have failed for the same reason.
_WORDS = {
    "wrong-result": "finds the wrong faces",
    "error": "raises an exception",
    "crash": "crashes",
    "timeout": "hangs",
    "out-of-memory": "runs out of memory",
    "not-loadable": "cannot be imported",
    "not-installed": "is not installed",
}


def failed(run: Mapping[str, Any]) -> bool:
    """Whether a run failed, as opposed to succeeding or not being there."""
    return run["outcome"] not in _NO_FAULT


def backend_of(run: Mapping[str, Any], runs: Runs, subjects: Subjects) -> Mapping[str, Any] | None:
    """Return the run of the backend on whose framework a subject stands, None where there is none.

    One that is not installed is none.
    """
    name = (subjects.get("backends") or {}).get(run["name"])
    for other in runs:
        if other["kind"] == "backend" and other["name"] == name:
            return None if other["outcome"] == "not-installed" else other
    return None


def framework(run: Mapping[str, Any], runs: Runs, subjects: Subjects) -> dict[str, Any]:
    """Return as evidence how the backend of the same framework fared."""
    said = verdict(run, runs, subjects)
    return {"framework": said} if said else {}


def verdict(run: Mapping[str, Any], runs: Runs, subjects: Subjects) -> str:
    """Say whose fault a subject's failure is, "" where no backend of its framework was run."""
    backend = backend_of(run, runs, subjects)
    if backend is None:
        return ""
    if backend["outcome"] in _FINE and run["outcome"] == "not-loadable":
        return (
            f"{named(backend)} is fine: its backend finds the right faces; what else {run['name']} "
            "needs is missing or does not fit"
        )
    if backend["outcome"] in _FINE:
        return (
            f"your environment is fine, your package is not: the {backend['name']} backend finds "
            f"the right faces with {named(backend)}, {named(run)} {_WORDS[run['outcome']]}"
        )
    place = where(backend) if backend["outcome"] in ("crash", "timeout", "error") else ""
    same = "too" if backend["outcome"] == run["outcome"] else f"as well ({backend['outcome']})"
    return (
        f"your environment is at fault, not {run['name']} alone: the {backend['name']} backend, "
        f"which has nothing of the package, {_WORDS[backend['outcome']]} {same}"
        + (f", {place}" if place else "")
    )


def roots(run: Mapping[str, Any], runs: Runs, subjects: Subjects) -> tuple[str, ...]:
    """Return the findings that would explain a subject's failure."""
    name = run["name"]
    backend = (subjects.get("backends") or {}).get(name)
    found = [*common_roots(run)]
    found += [f"{cause}:{name}" for cause in ("mtcnn-missing-backend", "mtcnn-pkg-resources")]
    found += [f"module-shadowed:{name.replace('-', '_')}", f"import-failure:{backend}"]
    found += [f"{cause}:{name}" for cause in ("keras-version", "path-pollution", "facenet-pins")]
    for key in sorted(FRAMEWORKS.get(str(backend), ())):
        found += [f"keras-version:{key}", f"protobuf-mismatch:{key}", f"numpy-abi:{key}"]
    if run["outcome"] == "not-loadable":
        missing = re.search(r"No module named '([\w.]+)'", str(run.get("reason")))
        if missing:
            # A requirement that is absent is told where requirements are judged.
            found.append(f"requirement-conflict:{name}")
        found += [f"torchvision-mismatch:{name}", "torchvision-mismatch:torchvision"]
    beside = backend_of(run, runs, subjects)
    if beside is not None and beside["outcome"] == run["outcome"]:
        found.append(f"backend-{run['outcome']}:{backend}")
    return tuple(dict.fromkeys(found))


def trace(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return as evidence where the package's networks first depart from the reference."""
    found = run.get("divergence") or {}
    if not found:
        return {}
    if not found.get("stage"):
        return {"networks": str(found.get("note") or "agree with the reference's")}
    against = {"compared with": found["against"]} if found.get("against") else {}
    return {"first difference": str(found.get("text")), **against}


def first_in(run: Mapping[str, Any]) -> str:
    """Return where a package first departs from the reference, for a title."""
    stage = (run.get("divergence") or {}).get("stage")
    if stage == "input":
        return ", because of what it is fed"
    return f", first in {_NETWORKS.get(stage, stage)}" if stage else ""


def cause_of(run: Mapping[str, Any]) -> str:
    """Return why a package departs from the reference, or what its run said."""
    return str((run.get("divergence") or {}).get("cause") or run.get("reason") or "")
