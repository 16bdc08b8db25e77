"""The reference backends beside other MTCNN packages, on the same pixels, in alternation.

Run it with an interpreter whose environment has mtcnn-doctor, frameworks and, if you like, peers
(``mtcnn``, ``facenet-pytorch``); it installs nothing and measures what it finds::

    python benchmarks/peers.py                               # 1280x720, six faces
    python benchmarks/peers.py --size 3840x2160 --crowd 1000
    python benchmarks/peers.py --image photo.jpg --runs 15 --json out.json
    python benchmarks/peers.py --python ~/other-env/bin/python   # and that one's peers

Each contender has a process of its own that stays up. One run of each follows the other (A B C,
A B C, ...), never two at a time, so that whatever the machine does hits all alike; the median of a
contender's runs counts. All have the same number of threads, set as each library documents it, the
same thresholds, smallest face and scale factor, and are called by their public function with the
same uint8 RGB array. Decoding is not measured. docs/benchmarks.md has results and how to read them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# In a checkout the package lies beside this folder.
sys.path.insert(0, str(HERE.parent))

#: Seconds of rest after each run: thread pools go on spinning for a moment.
REST = 0.05

#: A run counts as undisturbed while other programs take less than this share of the cores.
QUIET = 0.10


class Worker:
    """A contender's process."""

    def __init__(self, python: str, name: str, options: argparse.Namespace) -> None:
        self.name, self.limit = name, options.limit
        stub = "stub" if options.stub_torchvision else "-"
        self.samples: list[dict[str, Any]] = []
        self.lead = options.lead
        self.error: str | None = None
        self._child = subprocess.Popen(
            [python, str(HERE / "peers_worker.py"), name, str(options.threads), stub],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.start = self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        watch = threading.Timer(self.limit, self._child.kill)
        watch.start()
        line = self._child.stdout.readline()
        in_time = watch.is_alive()
        watch.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
        elif in_time:
            answer = {"error": f"its process ended with {self._child.wait()}"}
        else:
            answer = {"error": f"no answer within {self.limit:g} s"}
        self.error = answer.get("error")
        return answer

    def run(self, array: str, keep: bool, tries: int = 1) -> None:
        """Detect on an image; a failure ends this contender, not the comparison.

        A run that other programs disturbed is done again, ``tries`` times in all; the least
        disturbed one counts.
        """
        assert self._child.stdin is not None
        best: dict[str, Any] | None = None
        for _ in range(tries if keep else 1):
            order = {"array": array, "lead": self.lead if keep else 0}
            self._child.stdin.write(json.dumps(order) + "\n")
            self._child.stdin.flush()
            answer = self._hear()
            time.sleep(REST)
            if self.error is not None:
                return
            # The first runs count for memory, too: a peak is a peak.
            self.start["rss_peak"] = max(self.start.get("rss_peak", 0), answer["rss_peak"])
            if best is None or answer["others"] < best["others"]:
                best = answer
            if answer["others"] < QUIET:
                break
        self.samples += [best] if keep and best else []

    def end(self) -> None:
        with contextlib.suppress(OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        self._child.wait()


def available(python: str) -> dict[str, str]:
    """Return what an interpreter can run, and in which version."""
    done = subprocess.run(
        [python, str(HERE / "peers_worker.py"), "--list", "1", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])["contenders"]
    return found


def is_peer(name: str) -> bool:
    return name.startswith(("facenet-pytorch", "mtcnn"))


def compare(pixels: Any, field: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Measure all contenders on one image; ``field``: which interpreter runs each."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        array = os.path.join(folder, "image.npy")
        np.save(array, pixels)
        floor = _floor(array, options.threads)
        workers = []
        try:
            for name, python in field.items():
                worker = Worker(python, name, options)
                workers.append(worker)
                print(f"  {name}: {worker.error or 'ready'}", file=sys.stderr)
            for number in range(options.warmup + options.runs):
                for worker in workers:
                    if worker.error is None:
                        worker.run(array, number >= options.warmup, options.patience)
        finally:
            for worker in workers:
                worker.end()
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "floor": floor,
        "rows": [_row(worker, pixels) for worker in workers],
    }


def _floor(array: str, threads: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "floor.py"), "--json", "--array", array]
    done = subprocess.run(
        [*command, "--threads", str(threads)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _row(worker: Worker, pixels: Any) -> dict[str, Any]:
    if worker.error is not None or not worker.samples:
        return {"name": worker.name, "error": worker.error or "no runs"}
    times = [sample["ms"] for sample in worker.samples]
    above = worker.start["rss_peak"] - worker.start["rss_own"] - pixels.nbytes
    return {
        "name": worker.name,
        "median_ms": statistics.median(times),
        "best_ms": min(times),
        "cpu_ms": statistics.median(sample["cpu_ms"] for sample in worker.samples),
        "samples_ms": times,
        "others_share": [sample["others"] for sample in worker.samples],
        "faces": worker.samples[-1]["faces"],
        "stand_in_ms": statistics.median(sample["stand_in_ms"] for sample in worker.samples),
        "stand_in": worker.start.get("stand_in"),
        "import_and_build_ms": worker.start["built_ms"],
        "own_bytes": worker.start["rss_own"],
        "own_after_build_bytes": worker.start["rss_built"],
        "above_own_bytes": above,
        "bytes_per_pixel": above / (pixels.shape[0] * pixels.shape[1]),
    }


def show(title: str, found: dict[str, Any]) -> None:
    """Print the table of one image."""
    floor = found["floor"]
    print(f"\n{title}: {found['width']}x{found['height']}")
    print(
        f"arithmetic {floor['gflop']:.2f} GFLOP, machine {floor['gflops']:.0f} GFLOP/s, "
        f"floor {floor['floor_ms']:.0f} ms"
    )
    good = [row for row in found["rows"] if "error" not in row]
    shares = [share for row in good for share in row["others_share"]]
    disturbed = sum(share >= QUIET for share in shares)
    if disturbed:
        print(
            f"NOT A QUIET MACHINE: in {disturbed} of {len(shares)} runs other programs took more "
            f"than {QUIET:.0%} of the cores (median {statistics.median(shares):.0%})"
        )
    peers = [row for row in good if is_peer(row["name"])]
    head = f"{'contender':<24}{'median ms':>10}{'best':>8}{'cpu ms':>8}{'x floor':>9}{'faces':>7}"
    head += f"{'MB above':>10}{'bytes/px':>10}{'build s':>9} "
    for row in peers:
        head += f"{'vs ' + _short(row['name']):>17}"
    print(head)
    for row in sorted(good, key=lambda row: row["median_ms"]):
        line = f"{row['name']:<24}{row['median_ms']:>10.1f}"
        line += f"{row['best_ms']:>8.1f}{row['cpu_ms']:>8.0f}"
        line += f"{row['median_ms'] / floor['floor_ms']:>9.1f}{row['faces']:>7}"
        line += f"{row['above_own_bytes'] / 1e6:>10.0f}{row['bytes_per_pixel']:>10.1f}"
        line += f"{row['import_and_build_ms'] / 1000:>9.1f}"
        for peer in peers:
            line += f"{peer['median_ms'] / row['median_ms']:>16.2f}x"
        print(line)
    for row in found["rows"]:
        if "error" in row:
            print(f"{row['name']:<24}{row['error']}")
        elif row["stand_in"]:
            share = row["stand_in_ms"] / row["median_ms"]
            print(
                f"{row['name']}: {row['stand_in_ms']:.1f} ms ({share:.1%}) of its time in the "
                f"stand-in for torchvision's suppression, {row['stand_in']}"
            )


def show_markdown(title: str, found: dict[str, Any]) -> None:
    """Print the table of one image as docs/benchmarks.md has it."""
    good = [row for row in found["rows"] if "error" not in row]
    good.sort(key=lambda row: row["median_ms"])
    peers = [row for row in good if is_peer(row["name"])]
    shares = [share for row in good for share in row["others_share"]]
    floor = found["floor"]
    print(f"\n### {title[0].upper()}{title[1:]}, {found['width']}x{found['height']}\n")
    print(
        f"Arithmetic {floor['gflop']:.2f} GFLOP at {floor['gflops']:.0f} GFLOP/s: floor "
        f"{floor['floor_ms']:.0f} ms. Disturbed runs: {sum(s >= QUIET for s in shares)} of "
        f"{len(shares)}.\n"
    )
    titles = ["contender", "median ms", "best ms", "x floor", "faces", "MB above", "bytes/px"]
    titles += ["against " + _short(row["name"]) for row in peers]
    print("| " + " | ".join(titles) + " |")
    print("|---" + "|---:" * (len(titles) - 1) + "|")
    for row in good:
        cells = [row["name"], f"{row['median_ms']:.0f}", f"{row['best_ms']:.0f}"]
        cells += [f"{row['median_ms'] / floor['floor_ms']:.1f}", str(row["faces"])]
        cells += [f"{row['above_own_bytes'] / 1e6:.0f}", f"{row['bytes_per_pixel']:.0f}"]
        cells += [f"{peer['median_ms'] / row['median_ms']:.2f}x" for peer in peers]
        print("| " + " | ".join(cells) + " |")


def _short(name: str) -> str:
    return name.replace("facenet-pytorch", "facenet")


def machine() -> dict[str, Any]:
    """Return the processor's name, its cores and the versions that matter."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def images(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """Return titles and pixels of what is to be measured."""
    import peers_scenes

    from mtcnn_doctor.target.reference import picture

    bundled = {"crowd.png", "portrait.png", "small_faces.png", "no_face.png", "border_faces.png"}
    chosen = [
        (name, peers_scenes.bundled(name) if name in bundled else picture.read_rgb(name))
        for name in options.image
    ]
    sizes = options.size or ([] if options.image else ["1280x720"])
    for size in sizes:
        width, height = map(int, size.lower().split("x"))
        title = f"synthetic scene, {options.crowd} faces"
        chosen.append((title, peers_scenes.scene(height, width, options.crowd)))
    return chosen


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", action="append", default=[], metavar="WxH")
    parser.add_argument(
        "--image", action="append", default=[], help="a file, or a bundled one such as crowd.png"
    )
    parser.add_argument("--crowd", type=int, default=6, metavar="N", help="faces in a scene (6)")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--lead", type=int, default=1, metavar="N", help="runs at once before each measured one (1)"
    )
    parser.add_argument(
        "--patience", type=int, default=3, metavar="N", help="tries for an undisturbed run (3)"
    )
    parser.add_argument("--limit", type=float, default=120, metavar="S", help="of a run (120)")
    parser.add_argument("--only", action="append", default=[], help="names starting so; repeatable")
    parser.add_argument(
        "--python", action="append", default=[], help="take the peers of this interpreter, too"
    )
    parser.add_argument(
        "--stub-torchvision",
        action="store_true",
        help="let facenet-pytorch run without torchvision (see peers_torchvision.py)",
    )
    parser.add_argument("--json", metavar="FILE", help="write every sample here")
    parser.add_argument("--markdown", action="store_true", help="tables for docs/benchmarks.md")
    return parser.parse_args()


def main() -> int:
    options = parse()
    field, versions = {}, {}
    for python in [sys.executable, *options.python]:
        for name, version in available(python).items():
            if name not in field and (python == sys.executable or is_peer(name)):
                field[name], versions[name] = python, version
    if options.only:
        field = {n: p for n, p in field.items() if n.startswith(tuple(options.only))}
    if not field:
        print(f"nothing to measure: no contender starts with {options.only}", file=sys.stderr)
        return 2
    about = {**machine(), "date": time.strftime("%Y-%m-%d"), "threads": options.threads}
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(", ".join(f"{name} {versions[name]}" for name in field if not is_peer(name)))
    print(f"{options.runs} runs each in alternation after {options.warmup} for warming up")
    results = []
    for title, pixels in images(options):
        print(title, file=sys.stderr)
        found = compare(pixels, field, options)
        (show_markdown if options.markdown else show)(title, found)
        results.append({"title": title, **found})
    if options.json:
        document = {"machine": about, "versions": versions, "images": results}
        Path(options.json).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
