"""Copies of a package from outside the environment that win over its own."""

from __future__ import annotations

from collections.abc import Mapping

from mtcnn_doctor.facts import Distribution, Environment, Loaded, Packages, Python
from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._graph import Graph, Installed, major
from ._installed import FRAMEWORKS, installed, is_loaded, joined, of_interest, series
from .interpreter import misfit


@check(
    "path-pollution", family="packages", title="no copy from elsewhere wins over the environment's"
)
def path_pollution(
    packages: Packages,
    python: Python,
    environment: Environment | None = None,
    numpy: Loaded | None = None,
    opencv: Loaded | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
) -> Findings:
    """Find packages that PYTHONPATH or the user's own folder puts before the environment's.

    ## What it checks
    Whether a package that MTCNN detectors are made of is installed twice, in different releases,
    and the copy that is imported lies in a folder of PYTHONPATH or in the user site
    (``~/.local``), before that of the environment.

    ## Why it matters
    pip shows and changes the environment's copy, and programs import the other one. An error where
    the copy does harm: it was built for another Python, does not load, or is a release that
    another package refuses while the environment's own would do. Otherwise a warning.

    ## How to fix it
    Leave the folder out of PYTHONPATH; set ``PYTHONNOUSERSITE=1``, or uninstall the copy in the
    user site with the pip of the Python that it was installed with.

    ## Sources
    - https://docs.python.org/3/using/cmdline.html#envvar-PYTHONPATH
    - https://docs.python.org/3/using/cmdline.html#envvar-PYTHONNOUSERSITE
    """
    outside = _outside(python, environment)
    if not outside:
        return
    states = {
        "numpy": is_loaded(numpy),
        "opencv": is_loaded(opencv),
        "torch": is_loaded(torch),
        "tensorflow": is_loaded(tensorflow),
        "onnxruntime": is_loaded(onnxruntime),
    }
    present = installed(packages)
    for key, winner in present.items():
        origin = outside.get(_folder(winner.get("location", "")))
        if origin is None or not of_interest(key):
            continue
        own = next(
            (
                row
                for row in packages.get("distributions", [])
                if row.get("key") == key and _folder(row.get("location", "")) not in outside
            ),
            None,
        )
        if own is not None and own.get("version") != winner.get("version"):
            harm = _harm(key, winner, own, present, python, states)
            yield _finding(key, winner, own, origin, harm)


def _folder(path: str) -> str:
    return path.replace("\\", "/").rstrip("/")


def _outside(python: Python, environment: Environment | None) -> dict[str, str]:
    """Return the folders that are not the environment's, and through what they are on the path."""
    found: dict[str, str] = {}
    user = python.get("user_site")
    if user:
        found[_folder(user)] = "the user site"
    separator = ";" if python.get("platform") == "win32" else ":"
    variables = (environment or {}).get("variables") or {}
    for entry in variables.get("PYTHONPATH", "").split(separator):
        if entry:
            found[_folder(entry)] = "PYTHONPATH"
    return found


def _harm(
    key: str,
    winner: Distribution,
    own: Distribution,
    present: Installed,
    python: Python,
    states: Mapping[str, bool | None],
) -> str:
    """Say what the copy from outside breaks and the environment's own would not; "" for nothing."""
    version = series(python)
    fault = misfit(winner, python, version)
    if fault and not misfit(own, python, version):
        return f"It was not made for this interpreter ({fault})."
    if any(states.get(name) is False for name, keys in FRAMEWORKS.items() if key in keys):
        return "It does not load."
    if key == "numpy" and major(winner.get("version")) != major(own.get("version")):
        return "Packages of the environment were built for the other generation of NumPy."
    markers = python.get("markers")
    if not markers:
        return ""
    now = Graph(present, markers)
    then = Graph({**present, key: own}, markers)
    for other in present:
        refused = {row.text for row in now.conflicts(other) if row.requirement == key}
        if refused and not any(row.requirement == key for row in then.conflicts(other)):
            return f"{other} {joined(sorted(refused), 1)}; the environment's own would do."
    return ""


def _finding(key: str, winner: Distribution, own: Distribution, origin: str, harm: str) -> Finding:
    kind = error if harm else warning
    fix = (
        "Leave that folder out of PYTHONPATH."
        if origin == "PYTHONPATH"
        else "Set PYTHONNOUSERSITE=1, or uninstall the copy in the user site with its own pip."
    )
    return kind(
        f"{key} {winner.get('version')} comes from {origin}, not the {own.get('version')} of the "
        "environment",
        about=key,
        evidence={
            "imported": f"{winner.get('version')} in {winner.get('location')}",
            "environment's own": f"{own.get('version')} in {own.get('location')}",
        },
        effect=harm or "pip shows and changes a copy that programs do not import.",
        cause=f"{origin[0].upper()}{origin[1:]} comes before the environment on the import path.",
        fix=fix,
        commands=["export PYTHONNOUSERSITE=1"] if origin == "the user site" else (),
    )
