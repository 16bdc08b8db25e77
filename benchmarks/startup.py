"""How long the doctor takes to start, against ``pip check`` and against reading all metadata once.

Run it with the interpreter of an environment that has mtcnn-doctor, pip and the frameworks::

    python benchmarks/startup.py [--runs 5]

The commands run in alternation. Prints the best of several runs in milliseconds, and its ratios to
``pip check`` and to a bare interpreter that reads the metadata of all distributions. Absolute times
differ between machines and days; the ratios of one run are what counts. Exits with 1 when
``check --level 1`` takes more than 2.5 times as long as the latter (the aim is 2).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions

#: One pass over what is installed: what any judgement of an environment has to read.
SCAN = """
from importlib.metadata import distributions
for distribution in distributions():
    distribution.metadata["Name"], distribution.version, distribution.requires
"""
LIMIT = 2.5

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "start and metadata scan": ["-c", SCAN],
    "mtcnn-doctor --version": ["-m", "mtcnn_doctor", "--version"],
    "mtcnn-doctor --help": ["-m", "mtcnn_doctor", "--help"],
    "mtcnn-doctor check --level 1": ["-m", "mtcnn_doctor", "check", "--level", "1"],
    "pip check": ["-m", "pip", "check", "--disable-pip-version-check"],
}


def best(runs: int, folder: str) -> dict[str, float]:
    """Return the shortest run of each command, in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=False)
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: min(spent) for name, spent in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Start-up times against pip check and a scan.")
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        measured = best(runs, folder)
    pip, scan = measured["pip check"], measured["start and metadata scan"]
    print(f"{sys.executable}: {len(list(distributions()))} distributions, best of {runs}")
    for name, spent in measured.items():
        print(
            f"{name:<30} {spent:6.0f} ms {spent / pip:8.2f} of pip check {spent / scan:6.2f} scans"
        )
    return int(measured["mtcnn-doctor check --level 1"] > LIMIT * scan)


if __name__ == "__main__":
    sys.exit(main())
