"""TensorFlow's generated code against the protobuf that reads it."""

from __future__ import annotations

from collections.abc import Iterator

from mtcnn_doctor.facts import Distribution, Environment, Loaded, Packages, Python
from mtcnn_doctor.knowledge.issues import Issue
from mtcnn_doctor.model import Finding, Findings, check, error, info, skip, warning

from ._graph import Conflict, Graph, graph_of, major, owner
from ._installed import PROVIDERS, is_loaded, label, version_of
from ._known import holding, machine_of

# protobuf 3.20.2 is where generated code of before 3.19 is refused (4.21 on other branches).
_DESCRIPTORS = "TypeError: Descriptors cannot be created directly"
_PROTOTYPE = "AttributeError: 'MessageFactory' object has no attribute 'GetPrototype'"
_GENCODE = "VersionError: Detected incompatible Protobuf Gencode/Runtime versions"


@check("protobuf-mismatch", family="frameworks", title="protobuf suits TensorFlow")
def protobuf_mismatch(
    packages: Packages,
    python: Python,
    environment: Environment | None = None,
    tensorflow: Loaded | None = None,
) -> Findings:
    """Compare protobuf with the generated code in TensorFlow.

    ## What it checks
    TensorFlow's Requires-Dist about protobuf; and, because early releases allowed any protobuf,
    the releases that are known to fail with a newer one (before 2.6.5, 2.7.3, 2.8.2 and 2.9.1 from
    protobuf 3.20.2 on; before 2.18 from 5 on).

    ## Why it matters
    TensorFlow carries code that protobuf's compiler has generated. A newer runtime refuses old
    code with "Descriptors cannot be created directly" or lacks a function that it calls; an older
    runtime refuses new code with "Detected incompatible Protobuf Gencode/Runtime versions". All of
    them end ``import tensorflow``. A warning where TensorFlow was imported all the same.

    ## How to fix it
    Install the protobuf that TensorFlow was made for, or a newer TensorFlow.
    ``PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python`` avoids the first of these errors and is slow.

    ## Sources
    - https://protobuf.dev/news/2022-05-06/
    - https://github.com/tensorflow/tensorflow/issues/56266
    """
    markers = python.get("markers")
    if not markers:
        yield skip("the marker environment of the target is not known")
        return
    graph = graph_of(packages, markers)
    protobuf = graph.packages.get("protobuf")
    if protobuf is None:
        return
    is_pure = ((environment or {}).get("variables") or {}).get(
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
    ) == "python"
    rows = holding(machine_of(packages, python), "protobuf-mismatch")
    for key in sorted(PROVIDERS["tensorflow"] & graph.packages.keys()):
        known = [row for row in rows if key in (row.package, *row.siblings)]
        declared = [
            row for row in graph.conflicts(key) if owner(graph.packages, row) == "protobuf-mismatch"
        ]
        yield from _judged(graph, key, protobuf, declared, known, is_pure, is_loaded(tensorflow))


def _judged(
    graph: Graph,
    key: str,
    protobuf: Distribution,
    declared: list[Conflict],
    known: list[Issue],
    is_pure: bool,
    is_imported: bool | None,
) -> Iterator[Finding]:
    if not declared and (not known or is_imported):
        return
    tensorflow = graph.packages[key]
    version = protobuf.get("version", "?")
    said = _error_of(declared, known, version)
    wanted = declared[0].wanted if declared else _below(known, graph, key)
    avoided = is_pure and said == _DESCRIPTORS
    kind = warning if is_imported else info if avoided else error
    if is_imported:
        effect = "TensorFlow was imported all the same; single functions may fail."
    elif avoided:
        effect = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python lets it be imported, slowly."
    else:
        effect = f"`import tensorflow` ends with: {said}."
    evidence = {key: tensorflow.get("version", "?"), "protobuf": version}
    if declared:
        evidence["asks for"] = f"protobuf{wanted}"
    if known:
        evidence.update({"known as": known[0].id, "source": known[0].source})
    newer = said != _GENCODE
    yield kind(
        f"protobuf {version} is too {'new' if newer else 'old'} for {label(tensorflow)}",
        about=key,
        evidence=evidence,
        effect=effect,
        cause="The code that protobuf's compiler generated for TensorFlow and the installed"
        " protobuf are of different ages.",
        fix=f"Install protobuf{wanted}"
        + (", or a newer TensorFlow." if newer else ", which TensorFlow asks for."),
        commands=[f'pip install "protobuf{wanted}"'],
        requires=["path-pollution:protobuf", "broken-install:protobuf", f"python-version:{key}"],
    )


def _error_of(declared: list[Conflict], known: list[Issue], version: str) -> str:
    """Return the error with which the import ends."""
    if any(row.id == "tf-protobuf4" for row in known):
        return _DESCRIPTORS
    if known:
        return _PROTOTYPE
    runtime = version_of(version)
    lower = [
        version_of(part[2:])
        for part in (declared[0].wanted.split(",") if declared else [])
        if part.startswith(">=")
    ]
    if runtime is not None and any(bound is not None and runtime < bound for bound in lower):
        return _GENCODE
    return _DESCRIPTORS if (major(version) or 0) <= 4 else _PROTOTYPE


def _below(known: list[Issue], graph: Graph, key: str) -> str:
    """Return the specifier that keeps clear of a known fault and what TensorFlow asks for."""
    bound = "<3.20.2" if any(row.id == "tf-protobuf4" for row in known) else "<5"
    for requirement in graph.requirements(key):
        if requirement.name == "protobuf":
            lower = [str(one) for one in requirement.specifier if one.operator == ">="]
            return ",".join([*lower, bound])
    return bound
