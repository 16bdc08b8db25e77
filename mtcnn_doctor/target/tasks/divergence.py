"""Task ``divergence``: find the first stage of the cascade whose result is wrong.

The backend runs as in the run that went wrong, on the same decoded images. Every stage is compared
on what it was given: the networks by :mod:`.divergence_networks`, all between them by
:mod:`.divergence_stages`.
"""

from __future__ import annotations

from typing import Any

from ..channel import Channel
from ..imports import import_framework
from .mitigate import Changes


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``divergence`` for the first image on which a stage is wrong.

    Orders: those of the task ``reference``, and ``answers``: boxes found by the run that went
    wrong, by the name of the image.
    """
    changes = Changes(orders.get("mitigations") or {})
    changes.before_imports()
    if not import_framework(channel, "numpy", facts=False):
        return
    if not changes.import_others(channel, first=True):
        return
    if orders["module"] != "numpy" and not import_framework(channel, orders["module"], facts=False):
        return
    if not changes.import_others(channel, first=False):
        return
    changes.after_imports(orders["backend"])
    channel.enter("build", "networks of " + orders["backend"])
    channel.send("phase", name="build")
    from ..reference import cascade, networks, weights
    from .divergence_networks import NetworkJudge

    arrays = weights.load_weights(orders.get("weights"))
    ours = changes.networks(
        networks.create(
            orders["backend"],
            arrays,
            device=orders.get("device", "cpu"),
            threads=orders.get("threads"),
        )
    )
    judge = NetworkJudge(ours, arrays)
    settings = cascade.Settings(**orders.get("settings", {}))
    repeated = True
    for image in orders["images"]:
        channel.send("phase", name="compare " + image["name"])
        found, boxes = _compared(channel, image, ours, judge, settings)
        refuted = {"numpy_refuted": judge.numpy_refuted[:3]} if judge.numpy_refuted else {}
        if found is not None:
            channel.send("divergence", image=image["name"], **found, **refuted)
            return
        seen = (orders.get("answers") or {}).get(image["name"])
        repeated = repeated and (seen is None or _alike(boxes, seen))
    channel.send(
        "divergence", image=None, stage=None, worst=judge.worst, repeated=repeated, **refuted
    )


def _compared(
    channel: Channel, image: dict[str, Any], ours: Any, judge: Any, settings: Any
) -> tuple[dict[str, Any] | None, list[Any]]:
    """Return the first difference on one image, None without one, and the boxes of its faces."""
    import numpy

    from ..reference import cascade
    from .divergence_found import Difference
    from .divergence_stages import Listener
    from .exact import Picture

    pixels = numpy.load(image["array"], allow_pickle=False)
    listener = Listener(ours, judge, Picture(image["array"]), settings, channel.enter)
    result = raised = None
    try:
        try:
            result = cascade.detect(
                pixels,
                listener,
                settings,
                enter=listener.enter,
                record=listener.record,
                kernels=listener.kernels,
            )
        except Difference:
            raise
        except Exception as error:
            raised = error  # what came before it may tell why
        channel.enter("compare", image["name"])
        listener.compare(result)
    except Difference as difference:
        return difference.found, []
    if raised is not None:
        raise raised
    return None, [list(face.box) for face in result.detections] if result is not None else []


def _alike(boxes: list[Any], others: list[Any]) -> bool:
    """Whether the same faces were found, to a pixel."""
    return len(boxes) == len(others) and all(
        any(max(abs(a - b) for a, b in zip(box, other)) < 1 for other in others) for box in boxes
    )
