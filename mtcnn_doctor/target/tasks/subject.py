"""Task ``subject``: import the user's own MTCNN package, build its detector, run it on images."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from ..channel import Channel
from ..imports import import_framework
from ..process import mapped_libraries, memory_mb


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Run the ordered subject.

    Orders: ``subject``, ``module`` (its import name), ``plugin`` (whether that is the module of an
    adapter that another distribution brings), and ``images``, ``runs`` and ``warmup`` as
    those of the task ``reference``, whose messages are sent here, too. Nothing is imported before
    the package but NumPy: what it needs it has to import itself, as in the user's program.
    """
    if not import_framework(channel, "numpy", facts=True):
        return
    if not import_framework(channel, orders["module"], facts=False):
        return
    channel.send("libraries", paths=mapped_libraries())
    channel.send("phase", name="build")
    channel.enter("build", "the detector of " + orders["subject"])
    started = time.perf_counter()
    from .. import subjects

    if orders.get("plugin"):
        channel.send("adapter", **subjects.described(orders["subject"]))
    adapter = subjects.create(orders["subject"])
    channel.send(
        "built",
        build_ms=round((time.perf_counter() - started) * 1000, 1),
        lanes=None,
        rss_mb=memory_mb()["rss_mb"],
    )
    channel.send("libraries", paths=mapped_libraries())
    channel.wait_for_go()
    used = sum(os.times()[:4])
    channel.send("measuring")
    for image in orders["images"]:
        _run_image(channel, orders, image, adapter)
    channel.send("measured", cpu_s=round(sum(os.times()[:4]) - used, 3))
    channel.enter("report")
    channel.send("libraries", paths=mapped_libraries())
    channel.send("memory", **memory_mb())


def _run_image(
    channel: Channel, orders: dict[str, Any], image: dict[str, Any], adapter: Any
) -> None:
    """Run one image ``warmup + runs`` times and send one ``result``."""
    import numpy

    if not os.path.exists(image["array"]):
        return  # it could not be decoded, which the doctor knows
    pixels = numpy.load(image["array"], allow_pickle=False)
    warmup = orders.get("warmup", 0)
    samples: list[float] = []
    rss: list[float | None] = []
    answers = set()
    faces: list[dict[str, Any]] = []
    for number in range(warmup + orders["runs"]):
        channel.send("phase", name="detect " + image["name"], run=number)
        channel.enter("detect", image["name"])
        started = time.perf_counter()
        # A copy: a package that writes into its image must not change what the next one is given.
        faces = adapter.detect(pixels.copy())
        samples.append(round((time.perf_counter() - started) * 1000, 3))
        rss.append(memory_mb()["rss_mb"])
        answers.add(repr(faces))
    sound = [one for one in faces if _is_sound(one)]
    channel.send(
        "result",
        image=image["name"],
        samples_ms=samples,
        stages_ms=[{} for _ in samples],
        rss_first_mb=rss[min(warmup, len(rss) - 1)],
        rss_last_mb=rss[-1],
        distinct_results=len(answers),
        warmup=warmup,
        width=int(pixels.shape[1]),
        height=int(pixels.shape[0]),
        levels=[],
        candidates={},
        non_finite=[] if len(sound) == len(faces) else ["detect " + image["name"]],
        detections=[{**one, "confidence": min(1.0, max(0.0, one["confidence"]))} for one in sound],
    )


def _is_sound(one: dict[str, Any]) -> bool:
    """Whether all numbers of a face are finite, and all five keypoints are there."""
    numbers = [*one["box"], one["confidence"], *(v for p in one["keypoints"].values() for v in p)]
    return len(one["keypoints"]) == 5 and all(math.isfinite(number) for number in numbers)
