"""Releases that are known to be at fault, where no other check tells of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packaging.utils import canonicalize_name

from mtcnn_doctor.facts import Gpu, Loaded, Packages, Python
from mtcnn_doctor.knowledge import match_error
from mtcnn_doctor.knowledge.issues import Issue
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._installed import FRAMEWORKS, installed, is_loaded
from ._known import about_row, holding, machine_of

_ID = "known-bad-release"
_KINDS = {"error": error, "warning": warning, "info": info}
# What explains a fault of a package better than its release does.
_ROOTS = ("path-pollution", "broken-install", "python-version", "python-architecture", "numpy-abi")


@check(_ID, family="packages", title="no installed release is known to be at fault")
def known_bad_release(
    packages: Packages,
    python: Python,
    gpu: Gpu | None = None,
    numpy: Loaded | None = None,
    opencv: Loaded | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
    openvino: Loaded | None = None,
    litert: Loaded | None = None,
    runs: Sequence[Mapping[str, Any]] | None = None,
) -> Findings:
    """Look the installed releases up in the table of known faults.

    ## What it checks
    The rows of the table whose package, platform, Python, companions and GPU are those found here.
    Rows that go by an error's text count only where an import or a run has shown that text, rows
    that wait for a missing module only where an import missed it. Faults that another check tells
    of (an old binary beside NumPy 2, two OpenCVs) are left to it, and so are errors that ended a
    run, which are told with the run.

    ## Why it matters
    Some releases were withdrawn, or fail with certain companions, without anything in their
    metadata saying so. A package that was imported all the same gives a warning at most.

    ## How to fix it
    Install the release named in the remedy.

    ## Sources
    - https://peps.python.org/pep-0592/
    - https://packaging.python.org/en/latest/specifications/version-specifiers/
    """
    loaded = {
        "numpy": numpy,
        "opencv": opencv,
        "torch": torch,
        "tensorflow": tensorflow,
        "onnxruntime": onnxruntime,
        "openvino": openvino,
        "litert": litert,
    }
    present = installed(packages)
    machine = machine_of(packages, python, gpu)
    rows = holding(machine, _ID, missing=_missing(loaded, runs), shown=_shown(loaded, runs))
    for issue in rows:
        names = [canonicalize_name(name) for name in (issue.package, *issue.siblings)]
        key = next((name for name in names if name in present), None)
        if key is None:
            continue  # drivers and toolkits: the checks of the GPU know more of them
        kind = _KINDS[issue.severity]
        is_proven = any(
            is_loaded(loaded[name]) is True for name, keys in FRAMEWORKS.items() if key in keys
        )
        if issue.severity == "error" and (is_proven or issue.trigger == "observed"):
            kind = warning
        yield about_row(
            kind, issue, present[key], present, requires=[*_roots(key), *_companions(issue)]
        )


def _roots(key: str) -> list[str]:
    return [f"{root}:{key}" for root in _ROOTS]


def _companions(issue: Issue) -> Iterator[str]:
    """Yield what may be wrong with the companion, where a row is about two packages."""
    for line in issue.requirements:
        name = canonicalize_name(re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0])
        yield f"path-pollution:{name}"


def _texts(
    loaded: Mapping[str, Loaded | None], runs: Sequence[Mapping[str, Any]] | None, failed: bool
) -> Iterator[str]:
    """Yield what imports and runs said that failed, or that went well."""
    for fact in loaded.values():
        if fact and (fact.get("state") != "ok") is failed:
            said = (fact.get("error") or {}).get("message")
            yield f"{fact.get('stderr_tail') or ''}\n{said or ''}"
    for run in runs or ():
        if (run.get("outcome") != "ok") is failed:
            yield f"{run.get('stderr_tail') or ''}\n{run.get('reason') or ''}"


def _shown(
    loaded: Mapping[str, Loaded | None], runs: Sequence[Mapping[str, Any]] | None
) -> set[str]:
    """Return the known errors that were said in passing; one that ended a run is told with it."""
    return {row.id for text in _texts(loaded, runs, failed=False) for row in match_error(text)[:1]}


def _missing(
    loaded: Mapping[str, Loaded | None], runs: Sequence[Mapping[str, Any]] | None
) -> set[str]:
    """Return the modules that failed imports missed."""
    found = set()
    for text in _texts(loaded, runs, failed=True):
        found |= {name.split(".")[0] for name in re.findall(r"No module named '([\w.]+)'", text)}
    return found
