"""RGB, BGR or cannot tell: the judgement on the evidence of ``target/tasks/colours.py``.

The limits were set so that no claim was wrong on the variations of ``benchmarks/channel_order.py``;
docs/inspect.md has the measured rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RGB, BGR, UNKNOWN = "RGB", "BGR", "cannot tell"

#: ln(red/blue) that skin must show at least, and by how much it must differ from the rest of the
#: picture in the same direction: a coloured light or a tint moves both alike.
_SKIN, _CONTRAST = 0.12, 0.10
#: By how much the brightest pixels of a face, which mirror the light, must be less coloured than
#: the rest, at least and as a share: a blue light on a face alone is bluest where it shines.
_GLOSS, _GLOSS_SHARE = 0.05, 0.07
#: Share of a face's pixels with red > green > blue (or the reverse) that skin shows.
_ORDERED = 0.6
#: Confidence by which the other order may be better without being believed.
_SCORE = 0.02


def verdict(colours: Mapping[str, Any]) -> tuple[str, str]:
    """Return RGB, BGR or UNKNOWN, and for the last one why."""
    if not colours.get("faces"):
        return UNKNOWN, "no face was found with certainty"
    face, around = colours.get("face"), colours.get("around")
    if face is None:
        return UNKNOWN, "the faces are too dark or too bright to have a colour"
    if abs(face) < _SKIN:
        return UNKNOWN, "the faces have hardly any colour"
    if around is None:
        return UNKNOWN, "there is nothing beside the faces to compare their colour with"
    sign = 1 if face > 0 else -1
    if sign * (face - around) < _CONTRAST:
        return (
            UNKNOWN,
            "the faces are coloured like the rest of the picture: by the light, or a tint",
        )
    if sign * (face - colours.get("shine", face)) < max(_GLOSS, _GLOSS_SHARE * abs(face)):
        return UNKNOWN, "what shines in the faces has their colour: it is that of the light"
    if colours.get("reddish" if sign > 0 else "bluish", 0.0) < _ORDERED:
        return UNKNOWN, "the colour of the faces is not that of skin in either order"
    better = colours.get("score_swapped", 0.0) - colours.get("score_given", 0.0)
    if sign * better > _SCORE:
        return UNKNOWN, "the colour speaks for one order, the scores for the other"
    return (RGB if sign > 0 else BGR), ""
