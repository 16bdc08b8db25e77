"""One contender in a process of its own: builds its detector, then runs what it is told.

Started by peers.py as ``python peers_worker.py NAME THREADS STUB``; orders come as lines of JSON on
standard input and are answered on standard output. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata, util
from typing import Any

# Where this file lies is where its neighbours and, in a checkout, the package are.
HERE = os.path.dirname(os.path.abspath(__file__))

SETTINGS = {"min_face_size": 20, "scale_factor": 0.709, "thresholds": (0.6, 0.7, 0.7)}

#: Names of the contenders that are not the reference's own, and what they import.
PEERS = {"facenet-pytorch": "facenet_pytorch", "mtcnn": "mtcnn"}

Detect = Callable[[Any], int]


def contenders() -> dict[str, str]:
    """Return what can be run by this interpreter, with the version of each."""
    sys.path.insert(0, os.path.dirname(HERE))
    from mtcnn_doctor.backends import BACKENDS
    from mtcnn_doctor.target.reference import networks

    found = {}
    for name in networks.BACKENDS:
        if util.find_spec(BACKENDS[name].module) is not None:
            found[name] = _version(*BACKENDS[name].distributions)
    for name, module in PEERS.items():
        if util.find_spec(module) is not None:
            found[f"{name} {_version(name)}"] = _version(name)
    return found


def _version(*distributions: str) -> str:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "?"


def build(name: str, threads: int, stub: bool) -> Detect:
    """Build a contender the way its documentation does; returns "count the faces on this"."""
    if name.startswith("facenet-pytorch"):
        return _facenet(threads, stub)
    if name.startswith("mtcnn"):
        return _mtcnn(threads)
    sys.path.insert(0, os.path.dirname(HERE))
    from mtcnn_doctor.reference import Detector

    detector = Detector(name, threads=threads, **SETTINGS)  # type: ignore[arg-type]
    return lambda image: len(detector.detect(image).faces)


def _facenet(threads: int, stub: bool) -> Detect:
    if stub:
        import peers_torchvision

        peers_torchvision.install()
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(threads)
    detector = MTCNN(
        keep_all=True,
        min_face_size=SETTINGS["min_face_size"],
        thresholds=list(SETTINGS["thresholds"]),
        factor=SETTINGS["scale_factor"],
        device="cpu",
    )

    def detect(image: Any) -> int:
        boxes, _, _ = detector.detect(image, landmarks=True)
        return 0 if boxes is None else len(boxes)

    return detect


def _mtcnn(threads: int) -> Detect:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    from mtcnn import MTCNN

    first, second, third = SETTINGS["thresholds"]
    if _version("mtcnn").startswith("0."):
        old = MTCNN(
            min_face_size=SETTINGS["min_face_size"],
            scale_factor=SETTINGS["scale_factor"],
            steps_threshold=[first, second, third],
        )
        return lambda image: len(old.detect_faces(image))
    detector = MTCNN(device="CPU:0")

    def detect(image: Any) -> int:
        found = detector.detect_faces(
            image,
            min_face_size=SETTINGS["min_face_size"],
            scale_factor=SETTINGS["scale_factor"],
            threshold_pnet=first,
            threshold_rnet=second,
            threshold_onet=third,
        )
        return len(found)

    return detect


def resident() -> int:
    """Return the bytes this process holds in memory now; 0 where the system does not say."""
    return _status("VmRSS")


def _status(field: str) -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            for line in stream:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as stream:
            stream.write("5")
    except OSError:
        pass


def machine_seconds() -> tuple[float, float]:
    """Return processor seconds, busy and idle, of all cores since the start; zeros if unknown."""
    try:
        with open("/proc/stat", encoding="ascii") as stream:
            ticks = [int(part) for part in stream.readline().split()[1:9]]
    except OSError:
        return 0.0, 0.0
    unit, idle = os.sysconf("SC_CLK_TCK"), ticks[3] + ticks[4]
    return (sum(ticks) - idle) / unit, idle / unit


def others_share(before: tuple[float, float], after: tuple[float, float], own: float) -> float:
    """Return the share of the cores that other programs took meanwhile; 0 if unknown."""
    total = sum(after) - sum(before)
    return max(0.0, after[0] - before[0] - own) / total if total else 0.0


def main() -> None:
    """Serve orders until standard input ends."""
    name, threads, stub = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "stub"
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    if name == "--list":
        answer(contenders=contenders(), python=sys.version.split()[0])
        return
    import numpy as np

    started = time.perf_counter()
    try:
        detect = build(name, threads, stub)
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}"[:300])
        return
    built_ms = (time.perf_counter() - started) * 1000
    built = resident()
    # Much of a framework is loaded by its first run: that is its own memory, not the image's.
    small = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    try:
        detect(small)
    except Exception as error:
        print(f"{name}: nothing on a small image: {error}", file=sys.stderr)
    how = getattr(sys.modules.get("peers_torchvision"), "HOW", {}).get("made of")
    answer(built_ms=built_ms, rss_built=built, rss_own=resident(), stand_in=how)
    for line in sys.stdin:
        order = json.loads(line)
        image = np.load(order["array"])
        _forget_peak()
        try:
            # A core that has been idle is slow for a while: the measured run does not come first.
            for _ in range(order["lead"]):
                detect(image)
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}"[:300])
            continue
        if "peers_torchvision" in sys.modules:
            sys.modules["peers_torchvision"].reset()
        machine, busy, started = machine_seconds(), time.process_time(), time.perf_counter()
        try:
            faces = detect(image)
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}"[:300])
            continue
        spent = (time.perf_counter() - started) * 1000
        busy = time.process_time() - busy
        others = others_share(machine, machine_seconds(), busy)
        stand_in = 0.0
        if "peers_torchvision" in sys.modules:
            stand_in = sys.modules["peers_torchvision"].SPENT["seconds"] * 1000
        peak = _status("VmHWM")
        answer(
            ms=spent,
            cpu_ms=busy * 1000,
            others=others,
            faces=faces,
            rss_peak=peak,
            stand_in_ms=stand_in,
        )


if __name__ == "__main__":
    main()
