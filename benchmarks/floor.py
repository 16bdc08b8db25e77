"""This machine's float32 rate, and the arithmetic of an image: the least time MTCNN could take.

Run it with any interpreter that has NumPy::

    python benchmarks/floor.py [--size 1280x720] [--threads 2]

The rate is that of NumPy's matrix product of two float32 matrices, best of several. The arithmetic
counts two operations for each multiplication with its addition in the convolutions and dense
layers of P-Net over the whole pyramid, and of R-Net and O-Net over the crops of the reference
cascade; activations, pooling, resampling and suppression count nothing. So the floor (arithmetic
divided by rate) is what a perfect implementation with free memory could reach, not a forecast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

# In a checkout the package lies beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def limit_threads(threads: int) -> None:
    """Limit NumPy's own library; only has an effect before NumPy is imported."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)


def rate(runs: int = 20, side: int = 1536) -> float:
    """Return float32 operations a second of a matrix product, best of several runs."""
    import numpy as np

    rng = np.random.default_rng(5)
    left = rng.random((side, side), dtype=np.float32)
    right = rng.random((side, side), dtype=np.float32)
    out = np.empty_like(left)
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        np.matmul(left, right, out=out)
        best = min(best, time.perf_counter() - started)
    return 2.0 * side**3 / best


def pnet_operations(height: int, width: int) -> int:
    """Operations of P-Net on one level."""
    total = 2 * 27 * 10 * (height - 2) * (width - 2)
    rows, columns = (height - 1) // 2, (width - 1) // 2  # after pooling, rounded up
    total += 2 * 90 * 16 * (rows - 2) * (columns - 2)
    total += 2 * (144 * 32 + 32 * 6) * (rows - 4) * (columns - 4)
    return total


#: Operations of one crop.
RNET_OPERATIONS = 2 * (
    27 * 28 * 22**2 + 252 * 48 * 9**2 + 192 * 64 * 3**2 + 576 * 128 + 128 * (2 + 4)
)
ONET_OPERATIONS = 2 * (
    27 * 32 * 46**2
    + 288 * 64 * 21**2
    + 576 * 64 * 8**2
    + 256 * 128 * 3**2
    + 1152 * 256
    + 256 * (2 + 4 + 10)
)


def operations(levels: list[tuple[int, int]], rnet_crops: int, onet_crops: int) -> int:
    """Operations of one image, from its pyramid's levels and the crops that were judged."""
    whole = sum(pnet_operations(height, width) for height, width in levels)
    return whole + rnet_crops * RNET_OPERATIONS + onet_crops * ONET_OPERATIONS


def of_image(image: object) -> int:
    """Operations of the reference cascade on an image, with the published settings."""
    from mtcnn_doctor.target.reference import cascade, networks, weights

    nets = networks.create("numpy", weights.load_weights())
    result = cascade.detect(image, nets)  # type: ignore[arg-type]
    return operations(result.levels, result.candidates["pnet"], result.candidates["rnet"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT (default 1280x720)")
    parser.add_argument("--faces", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--array", help="a .npy file with the image instead (peers.py asks so)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    limit_threads(options.threads)
    import numpy as np
    import peers_scenes

    if options.array:
        image = np.load(options.array)
    else:
        width, height = map(int, options.size.lower().split("x"))
        image = peers_scenes.scene(height, width, options.faces)
    speed, count = rate(), of_image(image)
    found = {"gflops": speed / 1e9, "gflop": count / 1e9, "floor_ms": count / speed * 1000}
    if options.json:
        print(json.dumps(found))
        return 0
    print(f"{image.shape[1]}x{image.shape[0]}: {found['gflop']:.2f} GFLOP")
    print(f"float32 matrix product, {options.threads} threads: {found['gflops']:.0f} GFLOP/s")
    print(f"floor: {found['floor_ms']:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
