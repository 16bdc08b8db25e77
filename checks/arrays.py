"""Arrays that are given to a detector: shape, values and layout."""

from __future__ import annotations

from mtcnn_doctor.facts import ImageArray
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._inputs import evidence, fix, found_in, says

#: Conditions of the shape that no check but ``image-shape`` names.
_SHAPES = (
    "none", "no-array", "scalar", "empty", "flat", "channels", "dimensions", "chw", "chw-gray",
    "chw-alpha", "batch", "batch-chw",
)  # fmt: skip


@check("image-shape", family="input", title="the arrays are of height by width by three")
def image_shape(arrays: list[ImageArray]) -> Findings:
    """Find arrays that are no single image with its channels last.

    ## What it checks
    Whether an array has three dimensions, the last of them 3 long, and no dimension is 0. Channels
    in front (as PyTorch keeps them), batches, flattened and empty arrays are told apart.

    ## Why it matters
    With channels in front mtcnn 0.1 returns no faces without a word, mtcnn 1.0 and facenet-pytorch
    raise errors that name a network or an empty list of tensors, not the input.

    ## How to fix it
    Use the line that the finding shows: it was run on your array.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/issues/109
    - https://github.com/timesler/facenet-pytorch/issues/240
    """
    for array in arrays:
        condition = found_in(array, *_SHAPES)
        if condition is None:
            continue
        name = array.get("name", "array")
        yield error(
            f"{name} {says(condition)}",
            about=name,
            evidence=evidence(array),
            effect="Detectors take one image of height by width by three channels.",
            fix=fix(condition) or "Give the detector an array of height by width by three.",
        )


@check("image-range", family="input", title="floating-point images hold values of 0 to 255")
def image_range(arrays: list[ImageArray]) -> Findings:
    """Find floating-point images that were scaled before the detector scales them.

    ## What it checks
    Whether the values of a float array lie within 0 to 1, or below 0, or beyond 255.

    ## Why it matters
    Every MTCNN normalises by itself, from 0..255. What was divided by 255 before is an almost
    uniform black to it: no face is found, and nothing is said.

    ## How to fix it
    Leave the scaling out, or undo it: ``image = (image * 255).astype("uint8")``.

    ## Sources
    - https://github.com/davidsandberg/facenet/issues/217
    - https://github.com/timesler/facenet-pytorch/issues/177
    """
    for array in arrays:
        condition = found_in(array, "unit", "signed", "beyond")
        if condition is None:
            continue
        name = array.get("name", "array")
        yield error(
            f"{name} {says(condition)}",
            about=name,
            evidence=evidence(array),
            effect="Detectors expect 0 to 255 and normalise by themselves: nothing is found, or"
            " what is found means nothing.",
            fix=fix(condition) or "Give the detector the values as they were read, 0 to 255.",
        )


@check("image-nonfinite", family="input", title="the arrays hold no NaN and no infinity")
def image_nonfinite(arrays: list[ImageArray]) -> Findings:
    """Find arrays with values that are no numbers.

    ## What it checks
    Whether any value of a float array is NaN or infinite.

    ## Why it matters
    One such value spreads through the resampling and the convolutions to everything around it, at
    all sizes; faces near it are lost without an error.

    ## How to fix it
    Find out where it comes from (a division by zero, a mask, an augmentation); to go on, replace
    them: ``image = np.nan_to_num(image, posinf=255, neginf=0)``.

    ## Sources
    - https://numpy.org/doc/stable/reference/generated/numpy.nan_to_num.html
    """
    for array in arrays:
        if found_in(array, "nonfinite") is None:
            continue
        name, count = array.get("name", "array"), array.get("nonfinite", 0)
        yield error(
            f"{name} holds {count} value{'' if count == 1 else 's'} that {_are(count)} not finite",
            about=name,
            evidence=evidence(array),
            effect="Faces near them are lost, at all sizes, and no error says so.",
            cause="A division by zero, a mask or an augmentation before the detector.",
            fix=fix("nonfinite"),
        )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


@check("image-layout", family="input", title="the arrays lie in memory as libraries expect")
def image_layout(arrays: list[ImageArray]) -> Findings:
    """Find arrays that are views other libraries refuse.

    ## What it checks
    Whether an axis runs backwards in memory (negative strides, as after ``image[:, :, ::-1]``), or
    the pixels of a row do not lie side by side (as after ``transpose``). A crop is neither.

    ## Why it matters
    ``torch.from_numpy`` raises "At least one stride in the given numpy array is negative"; OpenCV
    cannot draw into a transposed view ("Layout of the output array img is incompatible with
    cv::Mat"). The MTCNN packages copy, and find the same faces.

    ## How to fix it
    ``image = np.ascontiguousarray(image)``.

    ## Sources
    - https://github.com/pytorch/pytorch/issues/92680
    - https://github.com/clovaai/CRAFT-pytorch/issues/84
    """
    for array in arrays:
        condition = found_in(array, "negative", "scattered")
        if condition is None:
            continue
        name = array.get("name", "array")
        yield warning(
            f"{name} {says(condition)}",
            about=name,
            evidence=evidence(array),
            effect="torch.from_numpy refuses it."
            if condition == "negative"
            else "OpenCV cannot draw into it, and everything that reads it is slower.",
            fix=fix(condition),
        )


@check("image-unusual", family="input", title="nothing about the arrays is left to guess")
def image_unusual(arrays: list[ImageArray]) -> Findings:
    """Note float arrays that show nothing: black, or the same everywhere.

    ## What it checks
    Whether all values of an array are the same.

    ## Why it matters
    No face can be found on it, and it is often the trace of a read or a conversion that failed.

    ## How to fix it
    Look at what makes the array.

    ## Sources
    - https://numpy.org/doc/stable/reference/generated/numpy.ptp.html
    """
    for array in arrays:
        low, high = array.get("minimum"), array.get("maximum")
        if low is None or low != high or array.get("nonfinite"):
            continue
        name = array.get("name", "array")
        yield info(f"{name} is the same everywhere ({low:g})", about=name)
