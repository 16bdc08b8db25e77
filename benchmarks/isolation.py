"""What isolation costs: the same image in this process and in a warm child of it, in alternation.

    python benchmarks/isolation.py                     # 1280x720, six faces, the fastest backend
    python benchmarks/isolation.py --backend torch --runs 31
    python benchmarks/isolation.py --image photo.jpg

``Detector`` and ``IsolatedDetector`` are made with the same parameters and called with the same
array. Their runs alternate and never overlap; which of them comes first alternates, too. Each
measured run, of five detections, follows one of the same detector that does not count, after a
rest, so that neither meets the other's threads still spinning, nor a core that has slept. The
medians of the undisturbed runs are compared. Exits with 1 if the child takes more than 1.02 times
as long on a quiet machine, and with 2 for options that cannot be used.
"""

from __future__ import annotations

import argparse
import os
import statistics
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


#: Detections of one run: the system counts processor time in steps of 10 ms.
BATCH = 5


def run(detect: Detect, pixels: Any, processes: list[psutil.Process]) -> dict[str, float]:
    """Return wall and processor milliseconds of a detection, and the share that others took."""
    time.sleep(REST)
    detect(pixels)
    busy, before, started = _cpu(processes), machine_seconds(), time.perf_counter()
    for _ in range(BATCH):
        detect(pixels)
    spent = time.perf_counter() - started
    after, busy = machine_seconds(), _cpu(processes) - busy
    return {
        "ms": spent * 1000 / BATCH,
        "cpu_ms": busy * 1000 / BATCH,
        "others": others_share(before, after, busy),
    }


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(
    both: dict[str, Detect], pixels: Any, pid: int, runs: int, patience: int
) -> dict[str, list[Any]]:
    """Return each contender's runs, in alternation; of the tries of each the least disturbed."""
    processes = [psutil.Process(), psutil.Process(pid)]
    samples: dict[str, list[Any]] = {name: [] for name in both}
    names = list(both)
    for _ in range(runs):
        for name in names:
            tries = []
            while not tries or (tries[-1]["others"] >= QUIET and len(tries) < patience):
                tries.append(run(both[name], pixels, processes))
            samples[name].append(min(tries, key=lambda one: one["others"]))
        names.reverse()
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
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument(
        "--patience", type=int, default=3, metavar="N", help="tries for an undisturbed run (3)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.runs < 3:
        parser.error(f"--runs {options.runs}: give at least 3")
    return options


def main() -> int:
    options = parse()
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    worst = 0
    for title, pixels in images(options):
        try:
            here = Detector(options.backend, threads=options.threads)
            there = IsolatedDetector(here.backend, threads=options.threads)
        except (ImportError, ValueError) as error:
            print(error, file=sys.stderr)
            return 2
        with here, there:
            if here.detect(pixels) != there.detect(pixels):
                print("NOT THE SAME FACES in process and in the child")
                return 1
            assert there.pid is not None
            both: dict[str, Detect] = {"in process": here.detect, "warm child": there.detect}
            samples = measure(both, pixels, there.pid, options.runs, options.patience)
            asked, copied = fixed_cost(there, pixels)
        print(f"\n{title}: {pixels.shape[1]}x{pixels.shape[0]}, {here!r}")
        worst = max(worst, show(samples))
        print(f"a request without work {asked:.2f} ms, copying the pixels {copied:.2f} ms")
    return worst


def show(samples: dict[str, list[Any]]) -> int:
    """Print medians, ratio and the machine's state; return 1 if the ratio is over the limit."""
    calm = {name: [run for run in rows if run["others"] < QUIET] for name, rows in samples.items()}
    total = sum(len(rows) for rows in samples.values())
    disturbed = total - sum(len(rows) for rows in calm.values())
    # With fewer undisturbed runs than that the medians mean nothing.
    quiet = all(len(calm[name]) >= len(rows) / 2 for name, rows in samples.items())
    counted = calm if quiet else samples
    for name, runs in counted.items():
        times = [run["ms"] for run in runs]
        # Counted in steps of 10 ms, which only many runs even out.
        cpu = statistics.fmean(run["cpu_ms"] for run in runs)
        print(
            f"{name:<12}{statistics.median(times):>9.2f} ms median, {min(times):.2f} best, "
            f"{cpu:.1f} of processor time; {len(times)} runs of {BATCH}"
        )
    inside, child = (statistics.median(run["ms"] for run in runs) for runs in counted.values())
    print(f"ratio {child / inside:.3f} (limit {LIMIT}), {child - inside:+.2f} ms")
    print(f"disturbed by other programs: {disturbed} of {total} runs, left out")
    if not quiet:
        print("NOT A QUIET MACHINE: too few undisturbed runs, so all count; do not use the ratio")
    return int(quiet and child / inside > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
