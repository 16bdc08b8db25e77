"""TensorFlow and torch against what they build on: metadata first, the release tables second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from mtcnn_doctor.facts import Distribution, Loaded, Packages, Python
from mtcnn_doctor.knowledge import releases
from mtcnn_doctor.knowledge.issues import Issue
from mtcnn_doctor.model import Finding, Findings, check, error, info, skip, warning

from ._graph import Conflict, Graph, graph_of, owner, release_of
from ._installed import (
    PROVIDERS,
    is_loaded,
    is_planned,
    joined,
    label,
    series,
    version_of,
)
from ._known import about_row, holding, machine_of

# How the release tables spell a platform.
_PLATFORMS = {
    ("linux", "x86_64"): "linux_x86_64",
    ("linux", "aarch64"): "linux_aarch64",
    ("darwin", "arm64"): "macos_arm64",
    ("darwin", "x86_64"): "macos_x86_64",
    ("win32", "amd64"): "win_amd64",
    ("win32", "arm64"): "win_arm64",
}
_KINDS = {"error": error, "warning": warning, "info": info}
# What TensorFlow reads models and saves weights with: the detectors have no need of it.
_RARELY_TOUCHED = frozenset(("h5py",))


@check(
    "tensorflow-version-matrix",
    family="frameworks",
    title="TensorFlow suits its Python, NumPy, Keras and h5py",
)
def tensorflow_version_matrix(
    packages: Packages, python: Python, tensorflow: Loaded | None = None
) -> Findings:
    """Compare TensorFlow with the releases that it was made for.

    ## What it checks
    TensorFlow's own Requires-Dist about NumPy, Keras, h5py and ml_dtypes against what is installed;
    after that what is known of the release beyond its metadata (TensorFlow before 2.9 and NumPy
    1.24, for one). Where TensorFlow is only named in a file of requirements, the table of releases
    says for which Pythons and platforms it has wheels. protobuf has a check of its own
    (`protobuf-mismatch`), and so have binaries built for NumPy 1 (`numpy-abi`) and the major
    release of Keras (`keras-version`).

    ## Why it matters
    Each release of TensorFlow is built and tested with a narrow set of these packages. pip lets a
    later installation replace any of them, and then the import of TensorFlow, or the first model,
    fails. An error, unless TensorFlow was imported all the same.

    ## How to fix it
    Install the release that TensorFlow asks for with the command shown, or another TensorFlow.

    ## Sources
    - https://www.tensorflow.org/install/source#tested_build_configurations
    - https://pypi.org/project/tensorflow/
    """
    markers = python.get("markers")
    if not markers:
        yield skip("the marker environment of the target is not known")
        return
    graph = graph_of(packages, markers)
    is_proven = is_loaded(tensorflow) is True
    for key in sorted(PROVIDERS["tensorflow"] & graph.packages.keys()):
        distribution = graph.packages[key]
        yield from _without_wheel(key, "tensorflow", distribution, python)
        mine = [
            row
            for row in graph.conflicts(key)
            if owner(graph.packages, row) == "tensorflow-version-matrix"
        ]
        by_numpy = [row for row in mine if row.requirement == "numpy"]
        rest = [row for row in mine if row.requirement != "numpy"]
        if by_numpy:
            yield _conflicting(graph, key, by_numpy, f"{key} (numpy)", is_proven)
        if rest:
            is_mild = all(row.requirement in _RARELY_TOUCHED for row in rest)
            yield _conflicting(graph, key, rest, key, is_proven or is_mild)
        told = {row.requirement for row in mine}
        for issue in _rows("tensorflow-version-matrix", packages, python, key):
            named = {canonicalize_name(line.split("<")[0].split(">")[0].split("=")[0])
                     for line in issue.requirements}  # fmt: skip
            if not named & told:
                yield _known(issue, distribution, graph, is_proven)


@check(
    "torch-version-matrix",
    family="frameworks",
    title="torch suits its Python and its CUDA packages",
)
def torch_version_matrix(
    packages: Packages, python: Python, torch: Loaded | None = None
) -> Findings:
    """Compare torch with the releases that it was made for.

    ## What it checks
    The ``nvidia-*`` and ``cuda-*`` packages that a CUDA build of torch asks for by exact release,
    against what is installed; after that what is known of the release beyond its metadata. Where
    torch is only named in a file of requirements, the table of releases says for which Pythons and
    platforms it has wheels. NumPy has a check of its own (`numpy-abi`), and so have torchvision and
    torchaudio (`torchvision-mismatch`).

    ## Why it matters
    Linux wheels of torch bring no CUDA libraries; they load those of the ``nvidia-*`` packages.
    TensorFlow's extra ``and-cuda`` pins other releases of the same packages, and whichever was
    installed last wins: the other loads cuDNN or cuBLAS of a release that it was not built for. A
    missing one ends the import. An error, unless torch was imported all the same.

    ## How to fix it
    Install torch again, which brings its own releases of these packages; keep TensorFlow for the
    GPU in an environment of its own, or take a pair of releases that agree.

    ## Sources
    - https://pypi.org/project/torch/
    - https://github.com/pytorch/pytorch/issues/100974
    """
    markers = python.get("markers")
    if not markers:
        yield skip("the marker environment of the target is not known")
        return
    graph = graph_of(packages, markers)
    distribution = graph.packages.get("torch")
    if distribution is None:
        return
    is_proven = is_loaded(torch) is True
    yield from _without_wheel("torch", "torch", distribution, python)
    mine = [
        row
        for row in graph.conflicts("torch")
        if owner(graph.packages, row) == "torch-version-matrix"
    ]
    if mine:
        yield _cuda_packages(graph, distribution, mine, is_proven)
    for issue in _rows("torch-version-matrix", packages, python, "torch"):
        if not issue.id.startswith("tf-torch-nvidia"):  # judged above, by what is installed
            yield _known(issue, distribution, graph, is_proven)


def _conflicting(
    graph: Graph, key: str, conflicts: list[Conflict], about: str, is_mild: bool
) -> Finding:
    distribution = graph.packages[key]
    kind = warning if is_mild else error
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    names = {canonicalize_name(row.name) for row in graph.requirements(key)}
    requires = [f"path-pollution:{row.provider}" for row in conflicts]
    requires += [f"python-version:{key}", f"tensorflow-version-matrix:{key} (python)"]
    requires += [f"numpy-abi:{name}" for name in sorted({key, *names})]
    return kind(
        f"{label(distribution)} {conflicts[0].text}{more}",
        about=about,
        evidence={row.requirement: row.text for row in conflicts},
        effect="TensorFlow was imported all the same; single functions may fail."
        if is_mild
        else "TensorFlow may fail at import or at its first model.",
        cause="The release of TensorFlow was built and tested with others, and a later installation"
        " replaced them.",
        fix="Install what it asks for, unless another package needs what is there; then take "
        "another release of TensorFlow.",
        commands=[row.command for row in conflicts],
        requires=requires,
    )


def _cuda_packages(
    graph: Graph, torch: Distribution, conflicts: list[Conflict], is_proven: bool
) -> Finding:
    missing = [row.requirement for row in conflicts if row.found is None]
    other = [row for row in conflicts if row.found is not None]
    tensorflow = next(iter(sorted(PROVIDERS["tensorflow"] & graph.packages.keys())), None)
    if other:
        title = f"{label(torch)} {other[0].text}"
        if len(conflicts) > 1:
            title += f" (and {len(conflicts) - 1} more)"
    else:
        title = f"{label(torch)} lacks the CUDA libraries of {joined(missing, 3)}"
    kind = warning if is_proven else error
    fix = "Install torch again with its requirements."
    if tensorflow and other:
        fix += (
            " TensorFlow's extra and-cuda pins other releases of the same packages: give the two"
            " environments of their own, or take TensorFlow without that extra."
        )
    return kind(
        title,
        about="torch",
        evidence={row.requirement: row.text for row in conflicts[:10]},
        effect="torch was imported all the same; on a GPU single operations may fail."
        if is_proven
        else "`import torch` fails, or its GPU functions do.",
        cause="Another installation changed these packages after torch, or torch was installed"
        " without its requirements.",
        fix=fix,
        commands=[f'pip install "torch=={torch.get("version")}"'],
        requires=["python-version:torch", "torch-version-matrix:torch (python)"],
    )


def _rows(check_id: str, packages: Packages, python: Python, key: str) -> Iterator[Issue]:
    """Yield the known faults of a distribution that a check reports."""
    for issue in holding(machine_of(packages, python), check_id):
        if key in (issue.package, *issue.siblings):
            yield issue


def _known(issue: Issue, distribution: Distribution, graph: Graph, is_proven: bool) -> Finding:
    kind = _KINDS[issue.severity]
    if issue.severity == "error" and is_proven:
        kind = warning
    key = distribution.get("key", "")
    return about_row(
        kind,
        issue,
        distribution,
        graph.packages,
        requires=[f"numpy-abi:{key}", "path-pollution:numpy", f"python-version:{key}"],
    )


def _without_wheel(
    key: str, table: str, distribution: Distribution, python: Python
) -> Iterator[Finding]:
    """Yield that a release which is to be installed has no wheel for this Python or platform."""
    if not is_planned(distribution):
        return  # it is there: its own wheel tags are judged by python-version
    row = release_of(key, distribution.get("version"))
    version = series(python)
    if row is None or version is None:
        return
    name = f"{version[0]}.{version[1]}"
    where = (python.get("platform", ""), python.get("machine", "").lower())
    platform = _PLATFORMS.get(where, "") if key == table else ""
    wheels: Mapping[str, Any] = row.get("wheels") or {}
    if row.get("python") and not _suits(str(row["python"]), name):
        missing = f"Python {name}"
    elif platform and wheels and platform not in wheels:
        missing = platform.replace("_", " ", 1).replace("macos", "macOS")
    elif platform and wheels and not _offered(wheels[platform], version):
        missing = f"Python {name} on {platform.replace('_', ' ', 1).replace('macos', 'macOS')}"
    else:
        return
    others = _with_wheels(table, name, platform)
    span = f"{others[0]} to {others[-1]}" if len(others) > 1 else joined(others)
    yield error(
        f"{label(distribution)} has no wheel for {missing}",
        about=f"{key} (python)",
        evidence={"python": name, "made for": str(row.get("python", "?")), "source": row["source"]},
        effect="pip finds no release that fits, or tries to build it from source.",
        fix=f"Take {table} {span}, which have wheels for it."
        if others
        else "Use a Python that it has wheels for.",
        commands=[f'pip install "{key}>={others[0]},<={others[-1]}"'] if others else [],
        requires=[f"python-version:{key}"],
    )


def _suits(specifiers: str, name: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifiers).contains(name)


def _offered(tags: list[str], version: tuple[int, int]) -> bool:
    """Whether one of the Pythons of a platform's wheels ("3.11", "3.7+") is this one."""
    for tag in tags:
        major, _, minor = tag.rstrip("+t").partition(".")
        own = (int(major), int(minor or 0))
        if not tag.endswith("t") and (own == version or (tag.endswith("+") and own <= version)):
            return True
    return False


def _with_wheels(table: str, name: str, platform: str) -> list[str]:
    """Return the releases, oldest first, that have wheels for a Python and a platform."""
    version = (int(name.partition(".")[0]), int(name.partition(".")[2]))
    found = []
    for row in releases.rows(table):
        wheels = row.get("wheels") or {}
        fits = _suits(str(row["python"]), name) if row.get("python") else False
        if fits and (not platform or _offered(wheels.get(platform, []), version)):
            found.append(str(row["version"]))
    return sorted(found, key=lambda text: version_of(text) or version_of("0") or text)
