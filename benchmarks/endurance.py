"""Memory over many images of different sizes: does a backend hold on to anything?

Run it with an interpreter that has mtcnn-doctor and frameworks::

    python benchmarks/endurance.py [--images 1000] [--backend torch ...]

Each backend has a process of its own. It builds one detector and gives it that many seeded images,
no two neighbours of the same size, a face on every fourth; resident memory is read along the way,
after Python's garbage collector ran. For TensorFlow the number of traces of each network is shown,
which must stay at one. docs/benchmarks.md has results.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# In a checkout the package lies beside this folder.
sys.path.insert(0, str(HERE.parent))

#: Resident memory is noted after so many images, and after the last.
MARKS = (1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def resident_mb() -> float:
    """Return resident memory in MB; Linux."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(backend: str, images: int, threads: int | None) -> dict[str, Any]:
    """Run one backend in this process; returns memory in MB by number of images."""
    import numpy as np

    from mtcnn_doctor.reference import Detector, read_image

    rng = np.random.default_rng(7)
    portrait = read_image(HERE.parent / "reference_images" / "portrait.png")
    noise = rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    memory, faces = {"0": 0.0}, 0
    started = time.monotonic()
    with Detector(backend, threads=threads) as detector:
        memory["0"] = round(resident_mb(), 1)
        for number in range(1, images + 1):
            height, width = rng.integers(120, 400, 2)
            source = portrait if number % 4 == 0 else noise
            # Views of a fixed picture: the images themselves take no memory of their own.
            faces += len(detector.detect(source[:height, -width:]).faces)
            if number in MARKS or number == images:
                gc.collect()
                memory[str(number)] = round(resident_mb(), 1)
        traces = getattr(detector._networks, "traces", None)
    return {
        "rss_mb": memory,
        "faces": faces,
        "traces": traces,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--backend", action="append", default=[], help="repeatable; default: all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_this_process:
        print(json.dumps(run(options.backend[0], options.images, options.threads)))
        return 0

    from mtcnn_doctor.target.reference import networks

    found = {}
    for name in options.backend or networks.BACKENDS:
        command = [sys.executable, __file__, "--in-this-process", "--backend", name]
        command += ["--images", str(options.images)]
        command += ["--threads", str(options.threads)] if options.threads else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            print(f"{name}: {lines[-1] if lines else done.returncode}", file=sys.stderr)
            continue
        found[name] = json.loads(done.stdout.splitlines()[-1])
        steps = ", ".join(f"{at}: {mb:.0f}" for at, mb in found[name]["rss_mb"].items())
        print(f"{name:<14} MB after images {steps}  ({found[name]['seconds']} s)")
        if found[name]["traces"]:
            print(f"{'':<14} traces {found[name]['traces']}")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if found else 2


if __name__ == "__main__":
    sys.exit(main())
