"""The upper bounds of facenet-pytorch."""

from __future__ import annotations

from packaging.version import Version

from mtcnn_doctor.facts import Packages, Python
from mtcnn_doctor.knowledge import loose_pins
from mtcnn_doctor.model import Finding, Findings, check, error, skip, warning

from ._graph import Conflict, Graph, graph_of, owner
from ._installed import is_planned, joined, label, series


@check("facenet-pins", family="frameworks", title="the pins of facenet-pytorch are kept")
def facenet_pins(packages: Packages, python: Python) -> Findings:
    """Compare the pins of facenet-pytorch with what is installed.

    ## What it checks
    Whether torch, torchvision, NumPy and Pillow are within the bounds that facenet-pytorch states.
    2.6.0, the last release, allows torch 2.2, torchvision 0.17, NumPy 1 and Pillow 10.2 alone.

    ## Why it matters
    2.6.0 runs with newer releases, so this is a warning. But the next ``pip install`` that names
    facenet-pytorch puts torch, NumPy and Pillow of early 2024 in their place, and whatever else
    stands on them breaks. In a file of requirements it is an error: pip finds no solution, and on
    Python 3.13 there is none, for want of NumPy 1.

    ## How to fix it
    Install it with ``--no-deps`` beside the torch of your choice, or give it an environment of its
    own with Python 3.8 to 3.12.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/issues/231
    - https://pypi.org/project/facenet-pytorch/
    """
    markers = python.get("markers")
    if not markers:
        yield skip("the marker environment of the target is not known")
        return
    graph = graph_of(packages, markers)
    facenet = graph.packages.get("facenet-pytorch")
    if facenet is None:
        return
    broken = [
        row
        for row in graph.conflicts("facenet-pytorch")
        if owner(graph.packages, row) == "facenet-pins"
    ]
    if broken:
        yield _violated(graph, broken)
    elif (
        is_planned(facenet)
        and facenet.get("version") == "2.6.0"
        and (series(python) or (0, 0)) >= (3, 13)
    ):
        yield error(
            f"{label(facenet)} cannot be installed on Python 3.13 or newer with its pins",
            about="facenet-pytorch",
            evidence={"asks for": "numpy<2", "python": python.get("version", "?")},
            effect="pip finds no solution, or builds an old NumPy from source.",
            cause="It asks for NumPy 1, whose last release has wheels up to Python 3.12.",
            fix="Use Python 3.12 or older, or install it with --no-deps.",
            commands=[f'pip install --no-deps "facenet-pytorch=={facenet.get("version")}"'],
            requires=["python-version:facenet-pytorch"],
        )


def _violated(graph: Graph, broken: list[Conflict]) -> Finding:
    facenet = graph.packages["facenet-pytorch"]
    version = facenet.get("version", "")
    loose, reason = loose_pins("facenet-pytorch", version)
    tolerated = all(row.requirement in loose and _is_newer(row) for row in broken)
    planned = is_planned(facenet)
    kind = error if planned or not tolerated else warning
    named = joined(f"{row.provider} {row.found}" for row in broken)
    if planned:
        effect = "pip finds no solution for these requirements."
    elif tolerated:
        effect = (
            f"{reason}. The next pip install that names it would put {joined(_pinned(broken))} in"
            " their place."
        )
    else:
        effect = "facenet-pytorch was never tried with releases as old as these."
    return kind(
        f"{label(facenet)} pins other releases than {named}",
        about="facenet-pytorch",
        evidence={row.requirement: row.text for row in broken},
        effect=effect,
        cause="The bounds are those of early 2024, and no newer release widens them.",
        fix="Install it with --no-deps, and keep it out of commands that resolve; or give it an "
        "environment of its own, in which pip chooses all of them."
        if tolerated
        else "Give it an environment of its own, in which pip chooses all of them.",
        commands=[f'pip install --no-deps "facenet-pytorch=={version}"'] if planned else (),
        requires=[f"path-pollution:{row.provider}" for row in broken] + _roots(broken),
    )


def _roots(broken: list[Conflict]) -> list[str]:
    """Return what explains the finding away where NumPy is all that it is about."""
    if {row.requirement for row in broken} == {"numpy"}:
        return ["numpy-abi:torch", "numpy-abi:torchvision"]
    return []


def _pinned(broken: list[Conflict]) -> list[str]:
    return [f"{row.requirement}{row.wanted}" for row in broken]


def _is_newer(row: Conflict) -> bool:
    """Whether the installed release is above the bounds, rather than below."""
    bounds = [part[2:] for part in row.wanted.split(",") if part.startswith((">=", "=="))]
    return all(Version(row.found or "0") >= Version(bound) for bound in bounds)
