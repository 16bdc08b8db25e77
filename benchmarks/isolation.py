"""What isolation costs: the same image in this process and in a warm child of it, in alternation.

    python benchmarks/isolation.py                     # 1280x720, six faces, the fastest backend
    python benchmarks/isolation.py --backend torch --runs 31
    python benchmarks/isolation.py --image photo.jpg --pairs 3

``Detector`` and ``IsolatedDetector`` are made with the same parameters and called with the same
array. Their runs alternate and never overlap; which of them comes first alternates, too. Each
measured detection follows one of the same detector that does not count, after a rest, so that
neither meets the other's threads still spinning, nor a core that has slept.

The speed of a virtual machine changes by a tenth from one detection to the next, so only many tell
two per cent: each run is compared with its neighbour, and the median of all these ratios counts,
with the 95 % interval that their order gives. Where the system happens to put a process's memory
makes it a little faster or slower as long as it lives, so several fresh pairs of processes share
the runs (``--pairs``). Exits with 1 if the whole interval lies above 1.02, and with 2 for options
that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# In a checkout the package lies beside this folder.
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from peers import QUIET, REST, images, machine  # noqa: E402
from peers_worker import machine_seconds, others_share  # noqa: E402

from mtcnn_doctor.isolated import IsolatedDetector  # noqa: E402
from mtcnn_doctor.reference import Detector  # noqa: E402

#: What the child may take of the time in process.
LIMIT = 1.02

Detect = Callable[[Any], Any]


def run(detect: Detect, pixels: Any, processes: list[psutil.Process]) -> tuple[float, bool]:
    """Return the milliseconds of a detection, and whether other programs left it alone."""
    time.sleep(REST)
    busy, before = _cpu(processes), machine_seconds()
    detect(pixels)
    started = time.perf_counter()
    detect(pixels)
    spent = time.perf_counter() - started
    after, busy = machine_seconds(), _cpu(processes) - busy
    return spent * 1000, others_share(before, after, busy) < QUIET


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(here: Detect, there: Detect, pixels: Any, pid: int, runs: int) -> list[list[float]]:
    """Return milliseconds in process and in the child, in alternation, of undisturbed runs."""
    processes = [psutil.Process(), psutil.Process(pid)]
    samples = []
    for number in range(runs):
        order = [here, there] if number % 2 else [there, here]
        times = {detect: run(detect, pixels, processes) for detect in order}
        if all(calm for _, calm in times.values()):
            samples.append([times[here][0], times[there][0]])
    return samples


def fixed_cost(isolated: IsolatedDetector, pixels: Any) -> tuple[float, float]:
    """Return the milliseconds of a request without work, and of copying the pixels."""
    nothing = np.zeros((2, 2, 3), np.uint8)
    shared = np.empty_like(pixels)
    asked, copied = [], []
    for _ in range(200):
        started = time.perf_counter()
        isolated.detect(nothing)
        asked.append(time.perf_counter() - started)
        started = time.perf_counter()
        np.copyto(shared, pixels)
        copied.append(time.perf_counter() - started)
    return statistics.median(asked) * 1000, statistics.median(copied) * 1000


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="auto", help="default: the fastest installed")
    parser.add_argument("--size", action="append", default=[], metavar="WxH", help="(1280x720)")
    parser.add_argument("--image", action="append", default=[], help="a file, or a bundled one")
    parser.add_argument("--crowd", type=int, default=6, metavar="N", help="faces in a scene (6)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="fresh processes (5)")
    parser.add_argument("--runs", type=int, default=120, help="runs of each in a pair (120)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one-pair", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, least in (("runs", 10), ("pairs", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: give at least {least}")
    return options


def main() -> int:
    options = parse()
    if options.one_pair:
        return one_pair(options)
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    pairs: dict[str, list[dict[str, Any]]] = {}
    for number in range(options.pairs):
        print(f"pair {number + 1} of {options.pairs}", file=sys.stderr)
        command = [sys.executable, __file__, "--one-pair", *sys.argv[1:]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            return done.returncode
        for line in done.stdout.splitlines():
            row = json.loads(line)
            pairs.setdefault(row["title"], []).append(row)
    return max(show(title, rows, options.pairs * options.runs) for title, rows in pairs.items())


def one_pair(options: argparse.Namespace) -> int:
    """Measure a detector in this process and one child; write a line of JSON for each image."""
    for title, pixels in images(options):
        try:
            here = Detector(options.backend, threads=options.threads)
            there = IsolatedDetector(here.backend, threads=options.threads)
        except (ImportError, ValueError) as error:
            print(error, file=sys.stderr)
            return 2
        with here, there:
            if here.detect(pixels) != there.detect(pixels):
                print("NOT THE SAME FACES in process and in the child", file=sys.stderr)
                return 1
            assert there.pid is not None
            name = f"{title}: {pixels.shape[1]}x{pixels.shape[0]}, {here!r}"
            samples = measure(here.detect, there.detect, pixels, there.pid, options.runs)
            asked, copied = fixed_cost(there, pixels)
        print(json.dumps({"title": name, "asked": asked, "copied": copied, "ms": samples}))
    return 0


def show(title: str, pairs: list[dict[str, Any]], asked_of: int) -> int:
    """Print each pair, the ratio and its interval; return 1 if all of it is over the limit."""
    print(f"\n{title}")
    ratios = []
    for pair in pairs:
        if not pair["ms"]:
            print("every run was disturbed by other programs")
            continue
        inside, child = (statistics.median(side) for side in zip(*pair["ms"], strict=True))
        mine = [there / here for here, there in pair["ms"]]
        ratios += mine
        print(
            f"in process {inside:7.2f} ms, child {child:7.2f} ms, "
            f"ratio {statistics.median(mine):.3f} of {len(mine)} runs"
        )
    asked, copied = (
        statistics.median(pair[name] for pair in pairs) for name in ("asked", "copied")
    )
    print(f"a request without work {asked:.2f} ms, copying the pixels {copied:.2f} ms")
    print(f"disturbed by other programs: {asked_of - len(ratios)} of {asked_of} runs, left out")
    if len(ratios) < asked_of / 2:
        print("NOT A QUIET MACHINE: too few undisturbed runs, no ratio")
        return 0
    low, high = interval(ratios)
    print(
        f"ratio {statistics.median(ratios):.3f}, 95 % interval {low:.3f} to {high:.3f} "
        f"(limit {LIMIT})"
    )
    return int(low > LIMIT)


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a median by order statistics (normal approximation)."""
    ordered, count = sorted(values), len(values)
    half = 0.98 * math.sqrt(count)  # 1.96 standard deviations of a fair coin's count
    low, high = math.floor(count / 2 - half), math.ceil(count / 2 + half)
    return ordered[max(0, low)], ordered[min(count - 1, high)]


if __name__ == "__main__":
    sys.exit(main())
