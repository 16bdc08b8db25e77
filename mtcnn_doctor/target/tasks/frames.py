"""Task ``frames``: pictures out of a video file, a camera or a network stream, by OpenCV."""

from __future__ import annotations

import os
from typing import Any, Iterator

from ..channel import Channel
from ..failures import describe
from ..imports import import_framework
from ..probes.array import describe as describe_array
from .pixels import fitted


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Read pictures; send ``picture`` with each array's path, then ``stream`` or its ``error``.

    Orders: ``address`` (a path, an URL, or the number of a camera), ``name`` (the address as it
    may be shown), ``frames``, ``spread`` (take them from all over a file), ``size``, ``exact``,
    ``folder``, ``limit_s`` (of opening, and of each picture). ``opencv`` is sent before: what this
    build of OpenCV can open; and ``opened`` after it was. With ``describe`` a picture comes with
    the facts of its array.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    if not import_framework(channel, "cv2", facts=False):
        return
    import cv2
    import numpy

    channel.send("opencv", version=cv2.__version__, **_able(cv2))
    channel.send("phase", name="open " + orders["name"])
    channel.enter("decode", "open " + orders["name"])
    try:
        capture = _opened(cv2, orders)
        if not capture.isOpened():
            channel.send("stream", error="it cannot be opened")
            return
        channel.send("opened", **_told(cv2, capture))
        total = _count(cv2, capture)
        numbers: list[int] = []
        for number, image in _pictures(channel, cv2, capture, orders, total):
            target = os.path.join(orders["folder"], "%d.npy" % len(numbers))  # noqa: UP031
            # Gray and alpha frames are turned into three channels by OpenCV itself.
            rgb = numpy.ascontiguousarray(image[:, :, ::-1])
            numpy.save(target, fitted(rgb, orders.get("size"), orders.get("exact", False)))
            facts = describe_array(rgb, orders["name"]) if orders.get("describe") else None
            channel.send("picture", index=len(numbers), array=target, facts=facts)
            numbers.append(number)
        capture.release()
    except Exception as error:
        channel.send("stream", error=describe(error)["last_line"])
        return
    channel.send("stream", error=None, frame_numbers=numbers, total=total or None)


def _opened(cv2: Any, orders: dict[str, Any]) -> Any:
    """Return an opened (or refused) capture; the limits hold where OpenCV knows them (4.6)."""
    address = orders["address"]
    if isinstance(address, int):
        return cv2.VideoCapture(address)
    limits: list[int] = []
    for name in ("CAP_PROP_OPEN_TIMEOUT_MSEC", "CAP_PROP_READ_TIMEOUT_MSEC"):
        if "://" in address and hasattr(cv2, name):
            limits += [getattr(cv2, name), int(orders["limit_s"] * 1000)]
    if limits:
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        if capture.isOpened():
            return capture
    return cv2.VideoCapture(address) if not limits else capture


def _able(cv2: Any) -> dict[str, list[str] | None]:
    """Return the backends of this build: for ``files`` and streams, and for ``cameras``."""
    found: dict[str, list[str] | None] = {}
    for kind, ask in (("files", "getStreamBackends"), ("cameras", "getCameraBackends")):
        try:
            registry = cv2.videoio_registry
            # Plug-ins are listed whether or not they are there; hasBackend loads them.
            there = getattr(registry, "hasBackend", lambda _: True)
            known = getattr(registry, ask)()
            found[kind] = [registry.getBackendName(one) for one in known if there(one)]
        except Exception:
            found[kind] = None  # a release that cannot say
    return found


def _told(cv2: Any, capture: Any) -> dict[str, Any]:
    """Return what an opened capture says of itself."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    letters = code.to_bytes(4, "little").decode("ascii", "replace")
    return {
        "backend": capture.getBackendName(),
        "width": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        "height": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        "fps": round(float(capture.get(cv2.CAP_PROP_FPS)), 3),
        "codec": letters if letters.isprintable() and letters.strip() else None,
    }


def _count(cv2: Any, capture: Any) -> int:
    """Return how many pictures a file says it holds, 0 where it does not say."""
    told = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(told) if 0 < told < 2**31 else 0


def _pictures(
    channel: Channel, cv2: Any, capture: Any, orders: dict[str, Any], total: int
) -> Iterator[tuple[int, Any]]:
    """Yield pictures (H, W, 3) BGR with their numbers, from 0, until there are enough or no more.

    From a file they are spread over its whole length; a stream gives them as they come.
    """
    wanted = orders["frames"]
    step = total // wanted if orders["spread"] and total > wanted else 1
    number = 0
    for index in range(wanted):
        channel.send("phase", name="picture %d of %s" % (index + 1, orders["name"]))  # noqa: UP031
        channel.enter("decode", "picture %d of %s" % (index + 1, orders["name"]))  # noqa: UP031
        if step > 1:
            number = index * step
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        answered, image = capture.read()
        if not answered or image is None:
            return
        yield number, image
        number += 1
