"""How the package mtcnn is called: arguments of another release, and settings that find nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mtcnn_doctor import pyramid
from mtcnn_doctor.facts import Call, Calls, Distribution, ImageFile, Packages, Settings
from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._installed import installed, joined, label, older

_NEW = "1.0"
# Arguments by release: of the constructor and of detect_faces (mtcnn 1.0 hands the rest on to its
# stages, which take what they know).
_OLD_CONSTRUCTOR = frozenset(("weights_file", "min_face_size", "steps_threshold", "scale_factor"))
_NEW_CONSTRUCTOR = frozenset(("stages", "device"))
_NEW_DETECT = frozenset(
    (
        "image",
        "fit_to_image",
        "limit_boundaries_landmarks",
        "box_format",
        "output_type",
        "postprocess",
        "batch_stack_justification",
        "min_face_size",
        "min_size",
        "scale_factor",
        "threshold_pnet",
        "threshold_rnet",
        "threshold_onet",
        "nms_pnet1",
        "nms_pnet2",
        "nms_rnet",
        "nms_onet",
    )
)
_OLD_DETECT = frozenset(("img",))
# What was an argument of the constructor, and what it is called in detect_faces today.
_MOVED = {
    "min_face_size": "min_face_size",
    "scale_factor": "scale_factor",
    "steps_threshold": "threshold_pnet, threshold_rnet and threshold_onet",
}


@check(
    "mtcnn-api-change",
    family="frameworks",
    title="programs here call mtcnn as its release is called",
)
def mtcnn_api_change(packages: Packages, calls: Calls) -> Findings:
    """Compare how programs call mtcnn with what the installed release takes.

    ## What it checks
    The Python files at the top of the working directory that import mtcnn: the names of the
    arguments of ``MTCNN(...)`` and ``detect_faces(...)``. The files are read and not run.

    ## Why it matters
    With mtcnn 1.0 the settings moved from the constructor to ``detect_faces``. The old form ends
    with "unexpected keyword argument"; an argument that ``detect_faces`` of 1.0 does not know, as
    ``steps_threshold``, is accepted and ignored, and so the faces change without a word.

    ## How to fix it
    Give the settings to ``detect_faces`` under their new names, or install the release that the
    program was written for.

    ## Sources
    - https://github.com/ipazc/mtcnn
    - https://pypi.org/project/mtcnn/
    """
    mtcnn = installed(packages).get("mtcnn")
    if mtcnn is None or not mtcnn.get("version"):
        return
    wrong: dict[str, list[tuple[Call, list[str]]]] = {}
    for call in calls.get("found") or []:
        names = _refused(call, is_old=older(mtcnn.get("version"), _NEW))
        if names:
            wrong.setdefault(call.get("file", "?"), []).append((call, names))
    for file, rows in wrong.items():
        yield _changed(mtcnn, file, rows)


def _refused(call: Call, is_old: bool) -> list[str]:
    """Return the arguments of a call that the installed release does not take."""
    if call.get("function") == "MTCNN":
        known = _OLD_CONSTRUCTOR if is_old else _NEW_CONSTRUCTOR
    else:
        known = _OLD_DETECT if is_old else _NEW_DETECT
    return sorted(set(call.get("arguments") or {}) - known)


def _changed(mtcnn: Distribution, file: str, rows: list[tuple[Call, list[str]]]) -> Finding:
    is_old = older(mtcnn.get("version"), _NEW)
    name = posixpath.basename(file.replace("\\", "/"))
    first, names = rows[0]
    # Release 1 hands what detect_faces does not know to stages that take anything.
    is_ignored = all(call.get("function") == "detect_faces" for call, _ in rows) and not is_old
    every = sorted({one for _, refused in rows for one in refused})
    moved = [one for one in every if one in _MOVED and not is_old]
    if moved:
        fix = (
            "Give "
            + ", ".join(
                one if _MOVED[one] == one else f"{one} (now {_MOVED[one]})" for one in moved
            )
            + " to detect_faces; or install the release that the program was written for."
        )
    elif is_old:
        fix = "Give the settings to the constructor, as release 0.1 takes them, or install 1.0."
    else:
        fix = (
            "Take the names that detect_faces of this release has, or install the release that the "
            "program was written for."
        )
    verb = "ignores" if is_ignored else "does not take"
    return error(
        f"{label(mtcnn)} {verb} {joined(names)} of {first.get('function')}() in {name}",
        about=name,
        evidence={
            f"line {call.get('line')}": f"{call.get('function')}({', '.join(refused)})"
            for call, refused in rows[:5]
        },
        effect="The call goes through, and the setting has no effect."
        if is_ignored
        else f"The call ends with: TypeError: unexpected keyword argument '{names[0]}'.",
        cause="With mtcnn 1.0 the settings moved from the constructor to detect_faces.",
        fix=fix,
        commands=['pip install "mtcnn>=1.0"']
        if is_old  # The old release needs pkg_resources, which newer setuptools no longer have.
        else ['pip install "mtcnn<1.0" "setuptools<81"'],
        alternatives=True,
        requires=["mtcnn-missing-backend:mtcnn", "mtcnn-pkg-resources:mtcnn"],
    )


@dataclass(frozen=True)
class _Use:
    """Settings that somebody uses, and who."""

    min_face_size: float
    scale_factor: float
    where: str


@check(
    "mtcnn-silent-empty",
    family="frameworks",
    title="mtcnn 1.0 looks at the images with the settings in use",
)
def mtcnn_silent_empty(
    packages: Packages,
    settings: Settings | None = None,
    images: list[ImageFile] | None = None,
    calls: Calls | None = None,
) -> Findings:
    """Tell where mtcnn 1.0 returns an empty list whatever the image shows.

    ## What it checks
    The settings in use are those of ``--min-face-size`` and ``--scale-factor``, and those that
    programs in the working directory give to ``detect_faces`` as numbers; without any they are the
    package's own (20 pixels, 0.709). They are judged on the images given with ``--image`` or
    ``--size``; and where there is none, only if no image of any size would give a face.

    ## Why it matters
    mtcnn 1.0 counts the levels of its pyramid without regard to ``min_face_size``. With one above
    22 pixels the last level may be smaller than the network's window, TensorFlow raises, and the
    package takes its error for "no face": it returns ``[]`` for a picture full of faces. From 31
    pixels on that is so for every image. Keras 3.13 and newer see most of these levels before
    TensorFlow does, and then the call ends with a ValueError instead.

    ## How to fix it
    Leave ``min_face_size`` at 20 and drop small boxes afterwards, or shrink the image by 20 over
    the size wanted, which is faster, too.

    ## Sources
    - https://github.com/ipazc/mtcnn/blob/master/mtcnn/utils/images.py
    - https://github.com/ipazc/mtcnn/blob/master/mtcnn/mtcnn.py
    """
    mtcnn = installed(packages).get("mtcnn")
    if mtcnn is None or not mtcnn.get("version") or older(mtcnn.get("version"), _NEW):
        return
    sizes = dict(_sizes(settings or {}, images or []))
    keras = installed(packages).get("keras")
    # Keras 3.13 is the first that refuses a convolution without an output itself.
    raises = keras is not None and not older(keras.get("version"), "3.13")
    for use in _uses(settings or {}, calls or {}):
        if not (use.min_face_size > 0 and 0 < use.scale_factor < 1):
            continue  # no pyramid at all: refused elsewhere
        given = (use.min_face_size, use.scale_factor)
        empty = [name for name, size in sizes.items() if pyramid.is_silently_empty(*size, *given)]
        if empty:
            yield _empty(mtcnn, use, empty, sizes[empty[0]], raises)
        elif not sizes and pyramid.is_always_empty(*given):
            yield _empty(mtcnn, use, [], None, raises)


def _sizes(settings: Settings, images: list[ImageFile]) -> Iterator[tuple[str, tuple[int, int]]]:
    for image in images:
        width, height = image.get("width"), image.get("height")
        # One that is smaller than any face is told by image-size.
        if width and height and min(width, height) >= pyramid.MIN_FACE_SIZE:
            yield image.get("path", "the image"), (width, height)
    size = settings.get("size")
    if size:
        yield f"{size[0]}x{size[1]}", (size[0], size[1])


def _uses(settings: Settings, calls: Calls) -> Iterator[_Use]:
    cascade = settings.get("cascade") or {}
    asked = (
        cascade.get("min_face_size") or pyramid.MIN_FACE_SIZE,
        cascade.get("scale_factor") or pyramid.SCALE_FACTOR,
    )
    rows = [call for call in calls.get("found") or [] if call.get("function") == "detect_faces"]
    if asked != (pyramid.MIN_FACE_SIZE, pyramid.SCALE_FACTOR) or not rows:
        yield _Use(*asked, "the settings in use")
    for call in rows:
        use = _use_of(call)
        if use is not None:
            yield use


def _use_of(call: Call) -> _Use | None:
    """Return the settings of a call, None where they are not all written as numbers."""
    arguments: Mapping[str, object] = call.get("arguments") or {}
    values = []
    for name, usual in (
        ("min_face_size", pyramid.MIN_FACE_SIZE),
        ("scale_factor", pyramid.SCALE_FACTOR),
    ):
        value = arguments.get(name, usual)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        values.append(float(value))
    name = posixpath.basename(call.get("file", "").replace("\\", "/"))
    return _Use(values[0], values[1], f"{name}:{call.get('line')}")


def _empty(
    mtcnn: Distribution,
    use: _Use,
    names: list[str],
    size: tuple[int, int] | None,
    raises: bool,
) -> Finding:
    what = f"min_face_size={use.min_face_size:g}"
    if use.scale_factor != pyramid.SCALE_FACTOR:
        what += f" and scale_factor={use.scale_factor:g}"
    on = joined((posixpath.basename(n.replace("\\", "/")) for n in names), 3) or "every image"
    evidence: dict[str, object] = {"settings": what, "of": use.where}
    if size is not None:
        levels = pyramid.levels_of_mtcnn_1(*size, use.min_face_size, use.scale_factor)
        evidence["image"] = f"{size[0]}x{size[1]}"
        if levels:
            evidence["last level"] = f"{levels[-1].width}x{levels[-1].height}, of which P-Net " + (
                f"makes nothing below {pyramid.LEAST_INPUT}"
            )
        evidence["largest that works"] = pyramid.largest_safe_min_face(*size, use.scale_factor)
    return warning(
        f"{label(mtcnn)} with {what} finds nothing on {on}, whatever it shows",
        about=use.where,
        evidence=evidence,
        effect="The call returns [], or ends with: ValueError: The convolution operation resulted "
        "in an empty output."
        if raises
        else "The call returns []: it looks as if there were no face.",
        cause="It counts the levels of its pyramid without regard to min_face_size, and the last "
        "is too small for the network.",
        fix=_way_out(use),
        requires=["mtcnn-missing-backend:mtcnn"],
    )


def _way_out(use: _Use) -> str:
    if use.min_face_size > pyramid.MIN_FACE_SIZE:
        return (
            f"Leave min_face_size at 20 and drop boxes below {use.min_face_size:g} pixels, or "
            f"shrink the image by {pyramid.MIN_FACE_SIZE / use.min_face_size:.2g} first."
        )
    if use.scale_factor != pyramid.SCALE_FACTOR:
        return "Leave scale_factor at 0.709."
    return "Enlarge the image."
