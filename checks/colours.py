"""What was seen of an image when the reference ran on it: channel order, decoders that differ."""

from __future__ import annotations

from typing import Any

from mtcnn_doctor.facts import Look
from mtcnn_doctor.knowledge.channel_order import BGR, RGB, verdict
from mtcnn_doctor.model import Findings, check, info, warning

from ._installed import given

#: Pixels by which a box must move, or mean difference of values, to be told.
_SHIFT, _MEAN = 2.0, 3.0


@check("channel-order", family="input", title="the channels are in the order of RGB")
def channel_order(looks: list[Look]) -> Findings:
    """Judge whether an image is RGB or BGR, where that can be known.

    ## What it checks
    The reference runs on both orders. In the faces that it finds with certainty the median of
    red/blue is compared with 1, with that of the rest of the picture and with that of the brightest
    spots of the same faces: skin of any tone is redder than it is blue, while light falls on all of
    the picture and is mirrored where skin shines. Only where all three agree, and the scores of the
    two orders do not speak against it, it is called RGB or BGR; otherwise nobody can tell.

    ## Why it matters
    ``cv2.imread`` and ``VideoCapture.read`` give BGR, detectors expect RGB. A clear face is found
    in either order; small, dark and turned ones are lost (on WIDER FACE the average precision falls
    from 0.81 to 0.56 for easy faces), and an embedding made of the crop is another one.

    ## How to fix it
    ``image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)``, once, where it is read.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/36
    """
    for look in looks:
        colours, name = look.get("colours"), look.get("name", "image")
        if colours is None:
            continue
        order, reason = verdict(colours)
        if order == RGB:
            continue
        evidence = given(**{_WORDS[key]: colours.get(key) for key in _WORDS})
        if order == BGR:
            yield warning(
                f"{name} is BGR: the channels are in the reverse order",
                about=name,
                evidence=evidence,
                effect="Small, dark and turned faces are lost, and the other scores change.",
                cause="OpenCV reads and writes BGR; RGB was taken for it, or it for RGB.",
                fix="image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)",
            )
        else:
            yield info(f"{name}: whether it is RGB or BGR cannot be told: {reason}", about=name)


_WORDS = {
    "faces": "faces judged",
    "score_given": "confidence as it is",
    "score_swapped": "confidence with the channels reversed",
    "face": "ln(red/blue) in the faces",
    "around": "ln(red/blue) elsewhere",
    "shine": "ln(red/blue) where they shine",
}


@check("image-decoder", family="input", title="decoders agree on the images")
def image_decoder(looks: list[Look]) -> Findings:
    """Note files that libraries decode differently enough to move results.

    ## What it checks
    Each file is decoded to RGB with OpenCV, Pillow and TensorFlow, as far as they are installed;
    where the pictures differ the reference runs on both. TensorFlow does not turn a picture as its
    EXIF data ask; of the others that is done.

    ## Why it matters
    JPEG leaves the decoder some freedom (how colour is enlarged, how CMYK becomes RGB). Between two
    programs, or an old and a new release, faces of low confidence come and go by it.

    ## How to fix it
    Decode in training, evaluation and use with the same library, or store the images as PNG.

    ## Sources
    - https://pillow.readthedocs.io/en/stable/handbook/image-file-formats.html
    - https://www.tensorflow.org/api_docs/python/tf/io/decode_jpeg
    """
    for look in looks:
        name, decoder = look.get("name", "image"), look.get("decoder", "")
        for other, found in (look.get("others") or {}).items():
            said = _differs(look, found)
            if said:
                yield info(
                    f"{name}: {other} and {decoder} decode it differently: {said}",
                    about=f"{name} ({other})",
                    evidence=given(**{"mean difference of 255": found.get("mean")}),
                )


def _differs(look: Look, found: dict[str, Any]) -> str:
    """Return in words how another decoder's picture differs, "" where it hardly does."""
    if not found.get("same_size", True):
        return (
            f"{found['width']}×{found['height']} instead of "
            f"{look.get('width')}×{look.get('height')}"
        )
    faces = len(look.get("faces") or ())
    if found.get("faces", faces) != faces:
        return f"{found['faces']} instead of {faces} faces"
    if found.get("shift", 0) >= _SHIFT:
        return f"boxes move by up to {found['shift']:g} pixels"
    if found.get("mean", 0) >= _MEAN:
        return f"values differ by {found['mean']:g} of 255 on average"
    return ""
