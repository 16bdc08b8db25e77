"""How long the doctor takes to start, against ``pip check`` on the same environment.

Run it with the interpreter of an environment that has mtcnn-doctor, pip and the frameworks::

    python benchmarks/startup.py [--runs 5]

Prints the best of several runs in milliseconds and the ratio to ``pip check``. Absolute times
differ between machines and days; the ratios of one run are what counts. Exits with 1 when
``check --level 1`` is not faster than ``pip check``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "mtcnn-doctor --version": ["-m", "mtcnn_doctor", "--version"],
    "mtcnn-doctor --help": ["-m", "mtcnn_doctor", "--help"],
    "mtcnn-doctor check --level 1": ["-m", "mtcnn_doctor", "check", "--level", "1"],
    "pip check": ["-m", "pip", "check", "--disable-pip-version-check"],
}


def best(command: list[str], runs: int, folder: str) -> float:
    """Return the shortest of several runs, in milliseconds."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=False)
        times.append((time.perf_counter() - started) * 1000)
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description="Start-up times against pip check.")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        measured = {name: best(command, runs, folder) for name, command in COMMANDS.items()}
    reference = measured["pip check"]
    print(f"{sys.executable}: {len(list(distributions()))} distributions, best of {runs}")
    for name, spent in measured.items():
        print(f"{name:<30} {spent:8.0f} ms   {spent / reference:6.3f} of pip check")
    return 0 if measured["mtcnn-doctor check --level 1"] < reference else 1


if __name__ == "__main__":
    sys.exit(main())
