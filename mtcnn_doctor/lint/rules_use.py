"""Rules on how the packages are used."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

from mtcnn_doctor.lint.edits import replaced
from mtcnn_doctor.lint.flow import Flow, Other
from mtcnn_doctor.lint.model import Edit, Problem, Unit, rule

#: Arguments of the constructor by package and major release.
_TAKES = {
    ("mtcnn", 0): {"weights_file", "min_face_size", "steps_threshold", "scale_factor"},
    ("mtcnn", 1): {"stages", "device"},
    ("facenet-pytorch", 2): {
        "image_size", "margin", "min_face_size", "thresholds", "factor", "post_process",
        "select_largest", "selection_method", "keep_all", "device",
    },
}  # fmt: skip
#: Arguments of ``detect_faces`` that mtcnn 1.0 reads; it accepts any other and ignores it.
_READ = {
    "image", "fit_to_image", "limit_boundaries_landmarks", "box_format", "output_type",
    "postprocess", "batch_stack_justification", "min_face_size", "min_size", "scale_factor",
    "threshold_pnet", "threshold_rnet", "threshold_onet", "nms_pnet1", "nms_pnet2", "nms_rnet",
    "nms_onet", "padding",
}  # fmt: skip


def _major(unit: Unit, package: str) -> int | None:
    try:
        return Version(unit.versions[package]).major
    except (KeyError, InvalidVersion):
        return None


@rule("lint-mtcnn-arguments", "detectors are given arguments that their release takes")
def arguments(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find arguments that the installed release does not take, or silently ignores.

    ## What it checks
    The keyword arguments of ``MTCNN(...)`` and ``detect_faces(...)``, against the release in the
    examined environment. Where none is installed, only an argument that no release takes is an
    error, and one that some release refuses is told as information.

    ## Why it matters
    mtcnn 1.0 moved the settings from the constructor (``min_face_size``, ``steps_threshold``,
    ``scale_factor``, ``weights_file``) to ``detect_faces``; the old place raises TypeError. And
    ``detect_faces`` of 1.0 takes any argument and ignores those that it does not know, so that
    ``steps_threshold`` there does nothing.

    ## How to fix it
    Give ``detect_faces`` of mtcnn 1.0 ``min_face_size``, ``scale_factor``, ``threshold_pnet``,
    ``threshold_rnet`` and ``threshold_onet``.

    ## Sources
    - https://pypi.org/project/mtcnn/
    - https://github.com/timesler/facenet-pytorch
    """
    for detector, _ in flow.detectors:
        major = _major(unit, detector.package)
        releases = [key for key in _TAKES if key[0] == detector.package]
        for keyword in detector.call.keywords:
            if keyword.arg is None:
                continue
            taken = [release for release in releases if keyword.arg in _TAKES[release]]
            if (detector.package, major) in releases:
                if keyword.arg not in _TAKES[detector.package, major or 0]:
                    version = unit.versions[detector.package]
                    yield Problem(
                        keyword.value.lineno,
                        f"MTCNN of {detector.package} {version} takes no {keyword.arg} (TypeError)",
                        "error",
                        _where(detector.package, major, keyword.arg),
                    )
            elif not taken:
                yield Problem(
                    keyword.value.lineno,
                    f"no known release of {detector.package} takes {keyword.arg} in MTCNN()",
                    "error" if major is None else "info",
                    f"it takes {', '.join(sorted(set().union(*(_TAKES[r] for r in releases))))}",
                )
            elif len(taken) < len(releases):
                yield Problem(
                    keyword.value.lineno,
                    f"{keyword.arg} in MTCNN() is taken by mtcnn {taken[0][1]}.x alone, and which "
                    "release is meant is not known (see --python)",
                    "info",
                    _where(detector.package, 1 - taken[0][1], keyword.arg),
                )
    yield from _ignored(unit, flow)


def _where(package: str, major: int | None, name: str) -> str:
    if package == "mtcnn" and major == 1 and name != "weights_file":
        if name == "steps_threshold":
            return "give detect_faces threshold_pnet, threshold_rnet and threshold_onet"
        return f"give {name} to detect_faces"
    if package == "mtcnn" and major == 1:
        return "build the stages with weights=..., and give MTCNN stages=[...]"
    return "leave it out"


def _ignored(unit: Unit, flow: Flow) -> Iterable[Problem]:
    for detection in flow.detections:
        major = _major(unit, detection.detector.package)
        if detection.detector.package != "mtcnn":
            continue
        for keyword in detection.call.keywords:
            if keyword.arg is None:
                continue
            if major == 1 and keyword.arg not in _READ:
                yield Problem(
                    keyword.value.lineno,
                    f"detect_faces of mtcnn {unit.versions['mtcnn']} ignores {keyword.arg}",
                    "error",
                    "give threshold_pnet, threshold_rnet and threshold_onet"
                    if keyword.arg == "steps_threshold"
                    else "leave it out",
                )
            elif major == 0 and keyword.arg not in ("img", "image"):
                yield Problem(
                    keyword.value.lineno,
                    f"detect_faces of mtcnn {unit.versions['mtcnn']} takes no {keyword.arg}: "
                    "TypeError",
                    "error",
                    "give it to MTCNN()",
                )


@rule("lint-detector-in-loop", "detectors are built once, not in a loop")
def detector_in_loop(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find detectors that are built anew in every turn of a loop.

    ## What it checks
    Whether ``MTCNN(...)`` stands in a loop or a comprehension and none of its arguments depends on
    the turn.

    ## Why it matters
    Building takes up to seconds, with TensorFlow memory that is not given back: programs slow down
    and end for want of memory after some hundred images.

    ## How to fix it
    Build it once, before the loop.

    ## Sources
    - https://github.com/serengil/deepface/issues/104
    """
    for detector, loop in flow.detectors:
        if loop is None:
            continue
        names = {n.id for n in ast.walk(detector.call) if isinstance(n, ast.Name)} - set(
            flow.imports
        )
        if names & _bound(loop):
            continue  # a series of settings, which is what the loop is for
        yield Problem(
            detector.call.lineno,
            f"MTCNN() is built again in every turn of the loop in line {loop.lineno}",  # type: ignore[attr-defined]
            "warning",
            "build it once, before the loop",
            _hoisted(unit, detector.call, loop),
        )


def _bound(loop: ast.AST) -> set[str]:
    """Return the names that a loop gives values to."""
    return {
        node.id
        for node in ast.walk(loop)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _hoisted(unit: Unit, call: ast.Call, loop: ast.AST) -> tuple[Edit, ...]:
    """Return the edits that move a line with the detector in front of the loop."""
    for node in ast.walk(loop):
        if (
            isinstance(node, ast.Assign)
            and node.value is call
            and node.end_lineno == node.lineno
            and isinstance(loop, (ast.For, ast.While))
            and len(loop.body) > 1
        ):
            before = unit.lines[loop.lineno - 1]
            indent = before[: len(before) - len(before.lstrip())]
            moved = indent + unit.lines[node.lineno - 1].strip()
            return (
                Edit(loop.lineno, loop.lineno - 1, (moved,)),
                Edit(node.lineno, node.lineno, ()),
            )
    return ()


@rule("lint-facenet-none", "the answer of facenet-pytorch is checked for None")
def facenet_none(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find answers of facenet-pytorch's detect that are used although they may be None.

    ## What it checks
    Whether the boxes of ``detect`` are indexed, measured or unpacked (``boxes[0]``, ``len(boxes)``,
    ``boxes.astype(int)``, ``for x1, y1, x2, y2 in boxes``) and the name stands in no condition. A
    plain ``for box in boxes`` is left alone: the package's own examples do it on videos with a face
    in every frame.

    ## Why it matters
    Where there is no face ``detect`` returns None, None: "'NoneType' object is not subscriptable",
    on the first image without a face.

    ## How to fix it
    ``if boxes is not None:``.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/blob/master/models/mtcnn.py
    """
    for scope in [unit.tree, *(n for n in ast.walk(unit.tree) if isinstance(n, ast.FunctionDef))]:
        yield from _nones(unit, flow, scope)


def _nones(unit: Unit, flow: Flow, scope: ast.AST) -> Iterable[Problem]:
    own = list(_own(scope))
    names: dict[str, int] = {}
    for node in own:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)):
            continue
        held = flow.values.get(id(node.value))
        first = node.targets[0].elts[0]
        if isinstance(held, Other) and held.kind == "boxes" and isinstance(first, ast.Name):
            names[first.id] = node.lineno
    if not names:
        return
    looked_at = {
        name.id
        for node in own
        for test in [getattr(node, "test", None)]
        if isinstance(test, ast.expr)
        for name in ast.walk(test)
        if isinstance(name, ast.Name)
    }
    # Who catches what it raises has thought of it as well.
    if any(isinstance(node, ast.Try) for node in own):
        return
    told = set()
    for node in own:
        name = _used(node)
        if name in names and name not in looked_at and name not in told:
            told.add(name)
            yield Problem(
                node.lineno,  # type: ignore[attr-defined]
                f"{name} is None where detect (line {names[name]}) finds no face",
                "warning",
                f"if {name} is not None: ...",
            )


def _used(node: ast.AST) -> str | None:
    """Return the name that is indexed, measured or unpacked here."""
    if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.value, ast.Name):
        return node.value.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        return node.args[0].id if node.args and isinstance(node.args[0], ast.Name) else None
    if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):
        return node.iter.id if isinstance(node.iter, ast.Name) else None
    return None


def _own(scope: ast.AST) -> Iterable[ast.AST]:
    """Yield the nodes of a scope without those of functions in it, in the order of the text."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        yield child
        yield from _own(child)


@rule("lint-pickled-weights", "weights are loaded with or without pickle on purpose")
def pickled_weights(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find np.load of MTCNN weights that cannot work, or that runs what is in a file.

    ## What it checks
    Whether ``np.load`` is given a file by the name of the published weights (``mtcnn_weights.npy``,
    ``det1.npy``) without ``allow_pickle``; whether it is given a file from elsewhere, by variable,
    with ``allow_pickle=True`` (information).

    ## Why it matters
    Those files hold Python objects: "Object arrays cannot be loaded when allow_pickle=False". A
    pickle in a file from elsewhere can run any program.

    ## How to fix it
    ``np.load("det1.npy", allow_pickle=True, encoding="latin1")`` for files whose digest was
    compared with the published one; otherwise a format without code, such as safetensors.

    ## Sources
    - https://numpy.org/doc/stable/reference/generated/numpy.load.html
    """
    for call, name, _ in flow.calls:
        if name != "numpy.load" or not call.args:
            continue
        allowed = next((k.value for k in call.keywords if k.arg == "allow_pickle"), None)
        if len(call.args) > 2:
            allowed = call.args[2]
        path = call.args[0]
        literal = path.value if isinstance(path, ast.Constant) else None
        published = isinstance(literal, str) and literal.replace("\\", "/").rsplit("/", 1)[-1] in (
            "mtcnn_weights.npy", "det1.npy", "det2.npy", "det3.npy",
        )  # fmt: skip
        permits = isinstance(allowed, ast.Constant) and allowed.value is True
        if published and (allowed is None or (isinstance(allowed, ast.Constant) and not permits)):
            written = ast.get_source_segment(unit.text, call)
            edits: tuple[Edit, ...] = ()
            if written and allowed is None:
                more = 'allow_pickle=True, encoding="latin1"'
                edits = replaced(unit, call, f"{written[:-1]}, {more})")
            yield Problem(
                call.lineno,
                f"{literal!r} holds Python objects: ValueError without allow_pickle",
                "error",
                "allow it for this file, after comparing its digest with the published one",
                edits,
            )
        elif permits and literal is None and flow.uses("mtcnn"):
            yield Problem(
                call.lineno,
                "allow_pickle=True runs whatever program is in the file",
                "info",
                "compare the file's digest with the published one first",
            )


RULES = (arguments, detector_in_loop, facenet_none, pickled_weights)
