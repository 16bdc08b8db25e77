"""Task ``reference``: import a backend, build the networks, run the cascade on the images."""

from __future__ import annotations

import os
import time
from typing import Any

from ..channel import Channel
from ..imports import import_framework
from ..process import mapped_libraries, memory_mb
from .mitigate import Changes
from .stages import StageClock, Stopwatch

#: Everything between "ready" and "end" happens after the doctor's go: one child at a time, so
#: that times and memory are honest.


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Run the ordered backend.

    Orders: ``backend``, ``module`` (its import name), ``images`` (list of ``{"name", "array"}``,
    ``.npy`` files of H×W×3 uint8 RGB, which may appear only after the go), ``runs`` per image,
    ``warmup``, ``settings``, ``threads``, ``device``, ``lanes`` (1 where it
    is missing), ``weights`` (a file; bundled by default), ``mitigations`` (see :mod:`.mitigate`).
    """
    changes = Changes(orders.get("mitigations") or {})
    changes.before_imports()
    if not import_framework(channel, "numpy", facts=True):
        return
    if not changes.import_others(channel, first=True):
        return
    if orders["module"] != "numpy" and not import_framework(channel, orders["module"], facts=True):
        return
    if not changes.import_others(channel, first=False):
        return
    changes.after_imports(orders["backend"])
    channel.send("libraries", paths=mapped_libraries())

    channel.send("phase", name="build")
    channel.enter("build", "networks of " + orders["backend"])
    started = time.perf_counter()
    from ..reference import cascade, lanes, networks, weights

    nets = networks.create(
        orders["backend"],
        weights.load_weights(orders.get("weights")),
        device=orders.get("device", "cpu"),
        threads=orders.get("threads"),
        lanes=orders.get("lanes", 1),
    )
    nets = changes.networks(nets)
    channel.send(
        "built",
        build_ms=round((time.perf_counter() - started) * 1000, 1),
        lanes=int(getattr(nets, "lanes", 1)),
        rss_mb=memory_mb()["rss_mb"],
    )
    channel.send("libraries", paths=mapped_libraries())

    channel.wait_for_go()
    settings = cascade.Settings(**orders.get("settings", {}))
    used = _cpu_seconds()
    channel.send("measuring")
    with lanes.Lanes(nets) as crew:
        for image in orders["images"]:
            if not _run_image(channel, orders, image, nets, settings, crew, changes):
                break
    channel.send("measured", cpu_s=round(_cpu_seconds() - used, 3))
    channel.enter("report")
    channel.send("libraries", paths=mapped_libraries())
    channel.send("memory", **memory_mb())
    _send_device_memory(channel, orders)


def _cpu_seconds() -> float:
    """Return the processor time that this process and its ended children have used."""
    return sum(os.times()[:4])


def _send_device_memory(channel: Channel, orders: dict[str, Any]) -> None:
    device = orders.get("device", "cpu")
    if device.lower() != "cpu":
        from . import device_memory

        found = device_memory.peak(orders["backend"], device)
        if found is not None:
            channel.send("device-memory", **found)


def _run_image(
    channel: Channel,
    orders: dict[str, Any],
    image: dict[str, Any],
    nets: Any,
    settings: Any,
    crew: Any,
    changes: Changes,
) -> bool:
    """Run one image ``warmup + runs`` times; send one ``result``; return whether to go on."""
    import numpy

    from ..reference import cascade

    if not os.path.exists(image["array"]):
        return True  # it could not be decoded, which the doctor knows
    pixels = changes.pixels(numpy.load(image["array"], allow_pickle=False))
    samples: list[float] = []
    stages: list[dict[str, float]] = []
    answers = set()
    rss: list[float | None] = []
    result = None
    for number in range(orders.get("warmup", 0) + orders["runs"]):
        channel.send("phase", name="detect " + image["name"], run=number)
        clock = StageClock(channel)
        watch: Any = Stopwatch(crew, clock)
        started = time.perf_counter()
        try:
            result = cascade.detect(pixels, nets, settings, enter=clock.enter, lanes=watch)
        except BaseException as error:  # sys.exit() inside a framework is a failure like any
            if clock.failed_at is not None:
                channel.enter(*clock.failed_at)
            channel.send_failure(error, image=image["name"])
            return False
        ended = time.perf_counter()
        samples.append(round((ended - started) * 1000, 3))
        stages.append(clock.finish(ended))
        rss.append(memory_mb()["rss_mb"])
        answers.add(repr([(list(face.box), face.confidence) for face in result.detections]))
    if result is None:
        return True
    channel.send(
        "result",
        image=image["name"],
        samples_ms=samples,
        stages_ms=stages,
        # Of the counted runs: the warm-up takes what the framework keeps for good.
        rss_first_mb=rss[min(orders.get("warmup", 0), len(rss) - 1)],
        rss_last_mb=rss[-1],
        distinct_results=len(answers),
        warmup=orders.get("warmup", 0),
        width=int(pixels.shape[1]),
        height=int(pixels.shape[0]),
        levels=[list(level) for level in result.levels],
        candidates=dict(result.candidates),
        non_finite=list(result.non_finite),
        detections=[
            {
                "box": [float(value) for value in face.box],
                "confidence": float(face.confidence),
                "keypoints": {
                    name: [float(point[0]), float(point[1])]
                    for name, point in face.keypoints.items()
                },
            }
            for face in result.detections
        ],
    )
    return True
