"""Rules on what is given to a detector."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from mtcnn_doctor.lint.edits import after, replaced
from mtcnn_doctor.lint.flow import Detection, Flow, Picture
from mtcnn_doctor.lint.model import Edit, Problem, Unit, rule


def _pictures(flow: Flow) -> Iterable[tuple[Detection, Picture]]:
    for detection in flow.detections:
        if isinstance(detection.given, Picture):
            yield detection, detection.given


@rule("lint-imread-unchecked", "results of cv2.imread are checked before they are used")
def imread_unchecked(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find results of cv2.imread that reach a detector without a look at them.

    ## What it checks
    Whether what ``cv2.imread`` returned is given to a detector, and no condition in between speaks
    of it. A conversion in between raises an error of its own, and is enough.

    ## Why it matters
    For a missing or unreadable file ``cv2.imread`` returns None without an error. The detector then
    fails with a message about None ("'NoneType' object has no attribute 'size'"), far from the
    cause.

    ## How to fix it
    ``if image is None: raise FileNotFoundError(path)``.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/31
    """
    for detection, picture in _pictures(flow):
        if picture.unchecked and detection.name:
            name = detection.name
            yield Problem(
                picture.origin.lineno,
                f"{name} is None where the file is missing or no image, and goes to the detector "
                f"in line {detection.call.lineno} all the same",
                "warning",
                "check it where it is read",
                after(
                    unit, flow, picture,
                    f"if {name} is None:",
                    f'    raise FileNotFoundError("no image for {name}")',
                ),
            )  # fmt: skip


@rule("lint-grayscale", "images are given to detectors in colour")
def grayscale(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find grey images that are given to a detector.

    ## What it checks
    Whether an image read with ``IMREAD_GRAYSCALE``, or converted to grey, reaches a detector as it
    is.

    ## Why it matters
    It has no third dimension: mtcnn raises "not enough values to unpack (expected 3, got 2)" or
    "operands could not be broadcast", facenet-pytorch "permute(sparse_coo): number of dimensions".

    ## How to fix it
    Read it in colour.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/issues/129
    """
    for detection, picture in _pictures(flow):
        if picture.grey is None:
            continue
        line = getattr(picture.grey, "lineno", detection.call.lineno)
        yield Problem(
            line,
            f"the image is made grey here and given to the detector in line "
            f"{detection.call.lineno}, which takes three channels",
            "error",
            "read it in colour, and convert it to RGB",
            _in_colour(unit, picture),
        )


def _in_colour(unit: Unit, picture: Picture) -> tuple[Edit, ...]:
    grey = picture.grey
    if grey is not picture.origin or not isinstance(grey, ast.Call) or not grey.args:
        return ()
    path = ast.get_source_segment(unit.text, grey.args[0])
    called = ast.get_source_segment(unit.text, grey.func)
    if path is None or called is None or not called.endswith(".imread"):
        return ()
    cv2 = called[: -len(".imread")]
    return replaced(unit, grey, f"{cv2}.cvtColor({cv2}.imread({path}), {cv2}.COLOR_BGR2RGB)")


@rule("lint-bgr", "images of OpenCV are converted to RGB before they are given to a detector")
def bgr(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find images in OpenCV's order of channels that are given to a detector.

    ## What it checks
    Whether what ``cv2.imread`` or ``VideoCapture.read`` returned reaches a detector without a
    conversion to RGB (``cv2.cvtColor``, ``[..., ::-1]``). Images of unknown origin are left alone.

    ## Why it matters
    Clear faces are found all the same; small, dark and turned ones are lost. On WIDER FACE the
    average precision for easy faces fell from 0.81 to 0.56.

    ## How to fix it
    ``image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)``.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/36
    """
    for detection, picture in _pictures(flow):
        if picture.order != "BGR" or picture.grey is not None:
            continue
        called = ast.get_source_segment(unit.text, detection.call.args[0]) or "the image"
        name = detection.name
        cv2 = next((n for n, full in flow.imports.items() if full == "cv2"), "cv2")
        edits: tuple[Edit, ...] = ()
        if name is not None:
            rgb = f"{cv2}.cvtColor({name}, {cv2}.COLOR_BGR2RGB)"
            edits = replaced(unit, detection.call.args[0], rgb)
        yield Problem(
            detection.call.lineno,
            f"{called} is in the order of BGR, as OpenCV reads it in line {picture.origin.lineno}; "
            "detectors expect RGB",
            "warning",
            "convert it",
            edits,
        )


@rule("lint-float-scaling", "images are not scaled before they are given to a detector")
def float_scaling(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find images that are divided by 255 and then given to a detector.

    ## What it checks
    Whether an image is divided by a constant of 127 or more on its way to a detector.

    ## Why it matters
    Every MTCNN normalises by itself, from 0..255. Values of 0 to 1 are an almost uniform black to
    it: an empty list, or None, and no error.

    ## How to fix it
    Leave the division out.

    ## Sources
    - https://github.com/davidsandberg/facenet/issues/217
    - https://github.com/timesler/facenet-pytorch/issues/177
    """
    for detection, picture in _pictures(flow):
        scaled = picture.scaled
        if scaled is None:
            continue
        edits: tuple[Edit, ...] = ()
        if isinstance(scaled, ast.BinOp):
            kept = ast.get_source_segment(unit.text, scaled.left)
            if kept is not None:
                edits = replaced(unit, scaled, kept)
        yield Problem(
            getattr(scaled, "lineno", detection.call.lineno),
            f"the image is scaled here and given to the detector in line "
            f"{detection.call.lineno}, which expects 0 to 255 and then finds nothing",
            "error",
            "leave the division out",
            edits,
        )


@rule("lint-negative-strides", "no view that runs backwards is given to torch")
def negative_strides(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find reversed views that are given to torch.

    ## What it checks
    Whether the argument of ``torch.from_numpy``, ``torch.as_tensor`` or ``torch.tensor`` is a NumPy
    view with a negative step, such as ``image[:, :, ::-1]``.

    ## Why it matters
    It raises "At least one stride in the given numpy array is negative".

    ## How to fix it
    ``torch.from_numpy(image[:, :, ::-1].copy())``.

    ## Sources
    - https://github.com/pytorch/pytorch/issues/92680
    """
    for call, name, _ in flow.calls:
        if name not in ("torch.from_numpy", "torch.as_tensor", "torch.tensor") or not call.args:
            continue
        given = call.args[0]
        held = flow.values.get(id(given))
        written = name == "torch.from_numpy" and _reversed(given)
        if not (written or (isinstance(held, Picture) and held.negative)):
            continue
        source = ast.get_source_segment(unit.text, given)
        yield Problem(
            call.lineno,
            f"{source} is a view that runs backwards, which torch refuses",
            "error",
            "copy it first",
            replaced(unit, given, f"{source}.copy()") if source else (),
        )


def _reversed(node: ast.expr) -> bool:
    """Whether an expression ends in a slice with a step of -1."""
    if not isinstance(node, ast.Subscript):
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return any(
        isinstance(part, ast.Slice)
        and isinstance(part.step, ast.UnaryOp)
        and isinstance(part.step.op, ast.USub)
        for part in parts
    )


@rule("lint-resize-boxes", "boxes found on a resized image are scaled back")
def resize_boxes(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find boxes of a resized image that are drawn on, or cut out of, the original.

    ## What it checks
    Whether an image is resized to a fixed size under another name and given to a detector, the
    original is drawn on afterwards with ``cv2.rectangle``, and nothing in between is multiplied or
    divided.

    ## Why it matters
    The boxes are in pixels of the resized image. Where its sides were changed by different factors
    faces are distorted, too, and fewer are found.

    ## How to fix it
    Multiply x and width by the factor of the width, y and height by that of the height; better keep
    the proportions.

    ## Sources
    - https://docs.opencv.org/4.x/da/d54/group__imgproc__transform.html
    """
    for detection, picture in _pictures(flow):
        resized, original = picture.resized, picture.resized_from
        if resized is None or original is None or original == detection.name:
            continue
        if len(resized.args) < 2 or not isinstance(resized.args[1], ast.Tuple):
            continue
        if not all(isinstance(side, ast.Constant) for side in resized.args[1].elts):
            continue
        inside = [n for n in ast.walk(detection.scope) if hasattr(n, "lineno")]
        behind = [n for n in inside if n.lineno > detection.call.lineno]
        if any(isinstance(n, ast.BinOp) and isinstance(n.op, (ast.Mult, ast.Div)) for n in behind):
            continue
        for node in behind:
            if (
                isinstance(node, ast.Call)
                and flow.full_name(node.func) == "cv2.rectangle"
                and node.args
                and isinstance(node.args[0], ast.Name)
                and node.args[0].id == original
            ):
                yield Problem(
                    node.lineno,
                    f"the boxes were found on a copy resized to a fixed size (line "
                    f"{resized.lineno}), and are drawn on {original} without being scaled back",
                    "warning",
                    "scale x and width, y and height back, each by the factor of its axis",
                )
                break


RULES = (
    imread_unchecked, grayscale, bgr, float_scaling, negative_strides, resize_boxes,
)  # fmt: skip
