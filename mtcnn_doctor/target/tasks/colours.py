"""What an image says of the order of its channels: scores in both orders, the colour of the faces.

Facts only. Skin of any tone reflects more red than blue, so in the right order the middle of a face
is redder than it is blue; by how much depends on the light, which falls on the surroundings, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["evidence"]

#: A face must be found with this confidence, in either order, to be looked at.
_SURE = 0.9
#: Brightness (0 to 255) outside which a pixel's colour says nothing.
_DARK, _BRIGHT = 25.0, 245.0
#: The part of a face's box that is skin on most faces: left, top, right, bottom.
_MIDDLE = (0.22, 0.3, 0.78, 0.8)
#: The brightest pixels of a face, as a share of all from below.
_SHINE = 0.97
#: What lies within this many widths of a face's middle is hair, neck or another face.
_AWAY = 1.2


def evidence(
    image: NDArray[Any],
    given: Sequence[dict[str, Any]],
    swapped: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return what speaks for one order or the other.

    Args:
        image: (H, W, 3), 0 to 255, taken for RGB.
        given: Faces that the reference finds on it.
        swapped: Faces that it finds with the channels reversed.

    Returns:
        ``faces`` counted, ``score_given`` and ``score_swapped`` (mean confidence on the same
        faces), and where there are pixels to judge by: ``face`` and ``around``, medians of
        ln(red / blue) in the faces and elsewhere; ``shine``, that of the faces' brightest pixels,
        which have the colour of the light more than that of the skin; ``reddish`` and ``bluish``,
        shares of the faces' pixels with red > green > blue and the reverse.
    """
    import numpy

    pairs = _pairs(given, swapped)
    if not pairs:
        return {"faces": 0}
    found: dict[str, Any] = {
        "faces": len(pairs),
        "score_given": round(sum(pair[1] for pair in pairs) / len(pairs), 5),
        "score_swapped": round(sum(pair[2] for pair in pairs) / len(pairs), 5),
    }
    inside, outside = _masks(image.shape, [pair[0] for pair in pairs])
    pixels = image.astype(numpy.float32)
    bright = pixels.mean(axis=2)
    # Over-exposed skin has lost its colour, and dark skin of three levels never had one.
    usable = (bright > _DARK) & (bright < _BRIGHT) & (pixels.max(axis=2) < 254)
    skin = pixels[inside & usable]
    if len(skin) < 30:
        return found
    red, green, blue = skin[:, 0], skin[:, 1], skin[:, 2]
    found["face"] = round(_ratio(skin), 4)
    light = skin.mean(axis=1)
    found["shine"] = round(_ratio(skin[light >= numpy.quantile(light, _SHINE)]), 4)
    found["reddish"] = round(float(((red > green) & (green > blue)).mean()), 4)
    found["bluish"] = round(float(((blue > green) & (green > red)).mean()), 4)
    rest = pixels[outside & usable]
    if len(rest) >= 200:
        found["around"] = round(_ratio(rest), 4)
    return found


def _ratio(pixels: NDArray[np.float32]) -> float:
    import numpy

    return float(numpy.median(numpy.log((pixels[:, 0] + 2) / (pixels[:, 2] + 2))))


def _pairs(
    given: Sequence[dict[str, Any]], swapped: Sequence[dict[str, Any]]
) -> list[tuple[list[float], float, float]]:
    """Return the boxes of the faces that are sure in an order, with both confidences (0: none)."""
    pairs: list[tuple[list[float], float, float]] = []
    left = list(swapped)
    for one in given:
        partner = next((other for other in left if _overlap(one["box"], other["box"]) > 0.4), None)
        if partner is not None:
            left.remove(partner)
        pairs.append((one["box"], one["confidence"], partner["confidence"] if partner else 0.0))
    pairs += [(other["box"], 0.0, other["confidence"]) for other in left]
    return [pair for pair in pairs if max(pair[1:]) >= _SURE]


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def _masks(shape: Sequence[int], boxes: Sequence[Sequence[float]]) -> tuple[Any, Any]:
    """Return where the faces' skin is, and where no face is near."""
    import numpy

    inside = numpy.zeros(shape[:2], bool)
    outside = numpy.ones(shape[:2], bool)
    for x, y, width, height in boxes:
        left, top, right, bottom = _MIDDLE
        inside[
            _span(y + top * height, y + bottom * height),
            _span(x + left * width, x + right * width),
        ] = True
        middle_x, middle_y = x + width / 2, y + height / 2
        reach_x, reach_y = _AWAY * width, _AWAY * height
        outside[
            _span(middle_y - reach_y, middle_y + reach_y),
            _span(middle_x - reach_x, middle_x + reach_x),
        ] = False
    return inside, outside


def _span(start: float, stop: float) -> slice:
    return slice(max(0, int(start)), max(0, int(stop)))
