"""Task ``reference``: import a backend, build the networks, run the cascade on the images."""

from __future__ import annotations

import os
import time
from typing import Any

from ..channel import Channel
from ..imports import import_framework
from ..process import mapped_libraries, memory_mb

#: Everything between "ready" and "end" happens after the doctor's go: one child at a time, so
#: that times and memory are honest.


class StageClock:
    """Adds up the milliseconds between breadcrumbs, stage by stage."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._stage: str | None = None
        self._since = 0.0
        self.stages: dict[str, float] = {}

    def enter(self, stage: str, step: str = "") -> None:
        """Leave the current stage and enter another (same shape as the cascade's callback)."""
        now = time.perf_counter()
        self._close(now)
        self._channel.enter(stage, step)
        self._stage = stage
        self._since = time.perf_counter()

    def _close(self, now: float) -> None:
        if self._stage is not None:
            spent = (now - self._since) * 1000
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + spent

    def finish(self) -> dict[str, float]:
        """End the last stage and return milliseconds by stage."""
        self._close(time.perf_counter())
        self._stage = None
        return {name: round(value, 3) for name, value in self.stages.items()}


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Run the ordered backend.

    Orders: ``backend``, ``module`` (its import name), ``images`` (list of ``{"name", "array"}``,
    ``.npy`` files of H×W×3 uint8 RGB, which may appear only after the go), ``runs`` per image,
    ``warmup``, ``settings``, ``threads``, ``device``.
    """
    if not import_framework(channel, "numpy", facts=True):
        return
    if orders["module"] != "numpy" and not import_framework(channel, orders["module"], facts=True):
        return
    channel.send("libraries", paths=mapped_libraries())

    channel.send("phase", name="build")
    channel.enter("build", "networks of " + orders["backend"])
    started = time.perf_counter()
    from ..reference import cascade, networks, weights

    nets = networks.create(
        orders["backend"],
        weights.load_weights(orders.get("weights")),
        device=orders.get("device", "cpu"),
        threads=orders.get("threads"),
    )
    channel.send("built", build_ms=round((time.perf_counter() - started) * 1000, 1))
    channel.send("libraries", paths=mapped_libraries())

    channel.wait_for_go()
    settings = cascade.Settings(**orders.get("settings", {}))
    for image in orders["images"]:
        if not _run_image(channel, orders, image, nets, settings):
            break
    channel.enter("report")
    channel.send("libraries", paths=mapped_libraries())
    channel.send("memory", **memory_mb())


def _run_image(
    channel: Channel, orders: dict[str, Any], image: dict[str, Any], nets: Any, settings: Any
) -> bool:
    """Run one image ``warmup + runs`` times; send one ``result``; return whether to go on."""
    import numpy

    from ..reference import cascade

    if not os.path.exists(image["array"]):
        return True  # it could not be decoded, which the doctor knows
    pixels = numpy.load(image["array"], allow_pickle=False)
    samples: list[float] = []
    stages: list[dict[str, float]] = []
    answers = set()
    result = None
    for number in range(orders.get("warmup", 0) + orders["runs"]):
        channel.send("phase", name="detect " + image["name"], run=number)
        clock = StageClock(channel)
        started = time.perf_counter()
        try:
            result = cascade.detect(pixels, nets, settings, enter=clock.enter)
        except BaseException as error:  # sys.exit() inside a framework is a failure like any
            channel.send_failure(error, image=image["name"])
            return False
        samples.append(round((time.perf_counter() - started) * 1000, 3))
        stages.append(clock.finish())
        answers.add(repr([(list(face.box), face.confidence) for face in result.detections]))
    if result is None:
        return True
    channel.send(
        "result",
        image=image["name"],
        samples_ms=samples,
        stages_ms=stages,
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
