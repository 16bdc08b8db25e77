"""Requirements of the installed distributions against what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mtcnn_doctor.facts import Distribution, Loaded, Packages, Python
from mtcnn_doctor.knowledge import companion_series
from mtcnn_doctor.model import Finding, Findings, check, error, info, skip, warning

from ._graph import Conflict, Graph, graph_of, owner
from ._installed import FRAMEWORKS, PROVIDERS, installed, is_loaded, joined, label, of_interest


def _proven(keys: set[str], states: Mapping[str, bool | None]) -> bool:
    """Whether every framework among these distributions was imported, and at least one was."""
    known = [
        states.get(framework)
        for framework, distributions in FRAMEWORKS.items()
        if keys & distributions
    ]
    return bool(known) and all(known)


@check(
    "requirement-conflict",
    family="packages",
    title="requirements of the installed packages are met",
)
def requirement_conflict(
    packages: Packages,
    python: Python,
    numpy: Loaded | None = None,
    opencv: Loaded | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
) -> Findings:
    """Compare Requires-Dist with what is installed.

    ## What it checks
    The Requires-Dist lines of every installed distribution, with the markers of the target and
    the extras that other distributions ask for. A requirement of one OpenCV, TensorFlow or ONNX
    Runtime distribution counts as met by another that brings the same module. What
    TensorFlow asks of NumPy, Keras, protobuf and h5py, torch of NVIDIA's packages and
    facenet-pytorch of torch is judged by checks of their own.

    ## Why it matters
    pip installs one package after the other and lets the last one win: upgrading NumPy, protobuf
    or Keras for one package leaves another with a release it was not made for, and its import or
    its first call fails. Among the packages that MTCNN detectors are made of this is an error;
    when the framework was imported all the same it is a warning; elsewhere it is only told.

    ## How to fix it
    Install a release that all sides accept with the command shown, or keep packages that cannot
    agree in separate environments.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/dependency-specifiers/
    - https://github.com/timesler/facenet-pytorch/issues/231
    """
    markers = python.get("markers")
    if not markers:
        yield skip("the marker environment of the target is not known")
        return
    present = installed(packages)
    graph = graph_of(packages, markers)
    core = {key for key in present if of_interest(key)}
    reach = {key: graph.closure({key}) for key in sorted(core)}
    states = {
        "numpy": is_loaded(numpy),
        "opencv": is_loaded(opencv),
        "torch": is_loaded(torch),
        "tensorflow": is_loaded(tensorflow),
        "onnxruntime": is_loaded(onnxruntime),
    }
    elsewhere: list[Conflict] = []
    for key in sorted(present):
        roots = {root for root, reached in reach.items() if key in reached}
        if not roots:
            elsewhere.extend(graph.conflicts(key))
            continue
        proven = _proven({key} if key in core else roots, states)
        yield from _findings(graph, key, proven, direct=key in core)
    if elsewhere:
        yield info(
            f"{len(elsewhere)} requirements outside MTCNN's packages are not met",
            about="other packages",
            evidence={f"{row.dependant} ({row.requirement})": row.text for row in elsewhere[:10]},
            effect="MTCNN does not depend on these packages.",
        )


def _findings(graph: Graph, key: str, proven: bool, direct: bool) -> Iterator[Finding]:
    stopping: list[Conflict] = []
    for conflict in graph.conflicts(key):
        if owner(graph.packages, conflict) != "requirement-conflict":
            continue
        if conflict.requirement == "numpy" and conflict.found is not None:
            # The faults of a binary built for another NumPy have a check of their own.
            yield _finding(graph, key, [conflict], f"{key} (numpy)", proven, direct)
        else:
            stopping.append(conflict)
    if stopping:
        yield _finding(graph, key, stopping, key, proven, direct)


def _finding(
    graph: Graph, key: str, conflicts: list[Conflict], about: str, proven: bool, direct: bool
) -> Finding:
    distribution = graph.packages[key]
    missing = any(row.found is None for row in conflicts)
    # A transitive requirement of the wrong version may never be touched; a missing one is, at
    # import. What has been imported already is not stopped by either.
    kind = error if (direct or missing) and not proven else warning
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    neighbours = {canonicalize_name(row.name) for row in graph.requirements(key)}
    requires = [f"torchvision-mismatch:{key}", f"mtcnn-missing-backend:{key}"]
    requires += [f"path-pollution:{row.provider}" for row in conflicts]
    if about != key:
        requires += [f"numpy-abi:{name}" for name in sorted({key, *neighbours})]
    if key in PROVIDERS["cv2"]:
        requires.append("opencv-duplicates")
    if {(canonicalize_name(row.requirement), row.found) for row in conflicts} == {("numpy", None)}:
        requires.append("numpy-missing")
    fix, commands = _remedy(graph, distribution, conflicts)
    return kind(
        f"{label(distribution)} {conflicts[0].text}{more}",
        about=about,
        evidence={row.requirement: row.text for row in conflicts},
        effect="The framework was imported all the same; single functions may fail."
        if proven
        else f"{key} may fail at import or at its first call.",
        cause="Another installation changed "
        + joined(row.requirement for row in conflicts)
        + " after it, or it was installed without its requirements.",
        fix=fix,
        commands=commands,
        requires=requires,
    )


def _remedy(
    graph: Graph, distribution: Distribution, conflicts: list[Conflict]
) -> tuple[str, list[str]]:
    """Return what to do and the commands, which must not break a framework that works."""
    torch = str(graph.packages["torch"]["version"]) if "torch" in graph.packages else None
    other = [row for row in conflicts if torch and _made_for_another(row, torch)]
    if not other:
        return (
            "Install what it asks for, unless another package needs what is there.",
            [row.command for row in conflicts[:4]],
        )
    name = f"{distribution['name']}=={distribution['version']}"
    wanted = joined(f"{row.requirement}{row.wanted}" for row in other)
    return (
        f"{wanted} is made for another release than torch {torch}; installing it here would "
        f"replace torch. Give {name} an environment of its own, in which pip chooses all of them, "
        "or take a release of it that goes with this torch.",
        [f'python -m venv other-environment && other-environment/bin/pip install "{name}"'],
    )


def _made_for_another(conflict: Conflict, torch_version: str) -> bool:
    """Whether a missing companion of torch belongs to another torch than the installed one."""
    if conflict.requirement not in ("torchvision", "torchaudio") or not conflict.wanted:
        return False
    series = companion_series(conflict.requirement, torch_version)
    # A torch that is newer than the table has a companion that no upper bound of today allows.
    return (
        "<" in conflict.wanted or "==" in conflict.wanted
        if series is None
        else not SpecifierSet(conflict.wanted).contains(f"{series}.0", prereleases=True)
    )
