"""Task ``look``: the reference on images as they were given, mended, recoloured and turned."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from ..channel import Channel
from ..failures import describe as described
from ..imports import import_framework

#: A face that appears only on the turned image must be this sure, and this large a share of the
#: image's shorter side: patterns turned on their side look like faces, too.
_SURE, _LARGE = 0.99, 0.08
#: Mean difference of two decoders' values (0 to 255) below which their faces are not compared.
_ALIKE = 0.5
#: Finds the faces of an RGB image.
Detect = Callable[[Any], List[Dict[str, Any]]]
#: Longest line of faces that is told.
_MOST = 500


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``look`` for each of ``items``.

    An item has ``index``, ``name``, ``array`` (.npy), ``repairs`` (expressions over ``image`` and
    ``np``, written by the doctor, that make an RGB image of it), ``others`` (the same picture by
    other decoders: name to .npy of RGB), ``draw`` (where to write the image with its faces) and
    ``draw_size`` (the most pixels of its longer side, None for as it is).
    ``weights`` is a file with other networks, or None: their faces are told (and drawn) then, the
    judgements on colour and position stay with the published networks, which they were measured on.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    channel.enter("build", "numpy")
    from ..reference import cascade, networks, weights

    def detector(path: str | None) -> Detect:
        nets = networks.create("numpy", weights.load_weights(path))

        def detect(image: Any) -> list[dict[str, Any]]:
            found = cascade.detect(image, nets, enter=channel.enter).detections
            return [face.as_dict() for face in found]

        return detect

    detect = detector(None)
    own = detector(orders["weights"]) if orders.get("weights") else None
    for item in orders["items"]:
        channel.send("phase", name="look at " + item["name"])
        channel.enter("look", item["name"])
        try:
            found = _look(item, detect, own)
        except Exception as error:
            channel.send("look", index=item["index"], error=described(error))
            continue
        channel.send("look", index=item["index"], error=None, **found)


def _look(item: dict[str, Any], detect: Detect, own: Detect | None) -> dict[str, Any]:
    import numpy

    from .colours import evidence

    image = numpy.load(item["array"], allow_pickle=False)
    refused = _refused(image)
    for line in item["repairs"]:
        image = eval(line, {"np": numpy, "image": image})  # the doctor's own knowledge
    image = numpy.ascontiguousarray(image)
    height, width = image.shape[:2]
    faces = detect(image)
    swapped = detect(numpy.ascontiguousarray(image[:, :, ::-1]))
    found: dict[str, Any] = {
        "refused": refused,
        "width": width,
        "height": height,
        "faces": faces[:_MOST],
        "faces_swapped": len(swapped),
        "colours": evidence(image, faces, swapped),
    }
    if not faces and not swapped:
        found["turned"] = _turned(image, detect)
    shown = faces
    if own is not None:
        shown = own(image)
        found["faces"], found["faces_published"] = shown[:_MOST], len(faces)
    others = {}
    for decoder, path in (item.get("others") or {}).items():
        others[decoder] = _compared(image, numpy.load(path, allow_pickle=False), faces, detect)
    found["others"] = others
    if item.get("draw"):
        from .drawing import drawn, encoded, reduced

        if item.get("draw_size"):
            image, shown = reduced(image, shown, item["draw_size"])
        with open(item["draw"], "wb") as stream:
            stream.write(encoded(drawn(image, shown)))
        found["drawn"] = item["draw"]
    return found


def _refused(image: Any) -> str | None:
    """Return why the reference does not take an array as it was given, None where it does."""
    from ..reference.image import checked

    try:
        checked(image)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _turned(image: Any, detect: Detect) -> dict[str, Any] | None:
    """Return by how much the image must be turned to show faces, None where that does not help."""
    import numpy

    best: dict[str, Any] | None = None
    for quarters in (1, 2, 3):  # counter-clockwise, as numpy.rot90 counts
        faces = [
            face
            for face in detect(numpy.ascontiguousarray(numpy.rot90(image, quarters)))
            if face["confidence"] >= _SURE and min(face["box"][2:]) >= _LARGE * min(image.shape[:2])
        ]
        score = sum(face["confidence"] for face in faces)
        if faces and (best is None or score > best["score"]):
            best = {"quarters": quarters, "faces": len(faces), "score": round(score, 4)}
    return best


def _compared(
    image: Any, other: Any, faces: list[dict[str, Any]], detect: Callable[[Any], Any]
) -> dict[str, Any]:
    """Return how another decoder's picture differs, and what is found on it where it does."""
    import numpy

    shape = [int(length) for length in other.shape[:2]]
    if other.shape != image.shape:
        return {"height": shape[0], "width": shape[1], "same_size": False}
    difference = numpy.abs(other.astype(numpy.int16) - image.astype(numpy.int16))
    found: dict[str, Any] = {
        "same_size": True,
        "mean": round(float(difference.mean()), 3),
        "largest": int(difference.max()),
    }
    if found["mean"] >= _ALIKE:
        theirs = detect(numpy.ascontiguousarray(other))
        found["faces"] = len(theirs)
        if len(theirs) == len(faces):
            pairs = zip(faces, theirs)
            shifts = [abs(a - b) for f, t in pairs for a, b in zip(f["box"], t["box"])]
            found["shift"] = round(max(shifts, default=0.0), 2)
    return found
