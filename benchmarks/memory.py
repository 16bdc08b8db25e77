"""Peak memory of every contender by image size, min_face_size and scale factor, and the prediction.

Run it with an interpreter that has mtcnn-doctor, and name the environments that have the packages
to be measured (the reference's backends, ``mtcnn``, ``facenet-pytorch``)::

    python benchmarks/memory.py                                  # what this interpreter has
    python benchmarks/memory.py --python ~/a/bin/python --python ~/b/bin/python --json out.json
    python benchmarks/memory.py --contender torch --case 1920x1080,20,0.709
    python benchmarks/memory.py --read out.json --fit            # coefficients, as TOML

Each case is a process of its own, so that nothing is left from the one before: it imports what the
contender needs, builds its detector, reads the scene (six faces) from an array file, detects once
and reads its own peak of resident memory (VmHWM) and of address space (VmPeak). Linux only. Memory
does not depend on what else the machine does. ``--fit`` fits the rows of
``mtcnn_doctor/knowledge/memory.toml`` to the cases marked "fit"; those marked "test" are only
predicted. docs/memory.md has results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# In a checkout the package lies beside this folder.
sys.path.insert(0, str(HERE.parent))

if "--here" not in sys.argv:  # a measured process loads nothing that it does not need
    from mtcnn_doctor.knowledge.memory import MIB, Model, Workload, model_of

#: Width, height, min_face_size, scale_factor; and whether a coefficient may be fitted to it.
CASES: tuple[tuple[int, int, float, float, str], ...] = (
    (640, 480, 20, 0.709, "fit"),
    (1280, 720, 20, 0.709, "fit"),
    (1920, 1080, 20, 0.709, "fit"),
    (3840, 2160, 20, 0.709, "fit"),
    (1920, 1080, 40, 0.709, "fit"),
    (3840, 2160, 40, 0.709, "fit"),
    (3840, 2160, 80, 0.709, "fit"),
    (640, 480, 10, 0.709, "fit"),
    (1920, 1080, 20, 0.85, "fit"),
    (1920, 1080, 12, 0.709, "fit"),
    (800, 600, 20, 0.709, "test"),
    (2560, 1440, 20, 0.709, "test"),
    (1600, 1200, 30, 0.709, "test"),
    (1280, 720, 12, 0.709, "test"),
    (3840, 2160, 60, 0.8, "test"),
)
_FACES = 6


def detector(name: str, min_face: float, factor: float, lanes: int = 1, numba: bool = False) -> Any:
    """Build a contender as its documentation does; returns a function of an image."""
    import peers_worker

    peers_worker.SETTINGS.update(min_face_size=min_face, scale_factor=factor)
    if name.startswith(("facenet-pytorch", "mtcnn")):
        stub = False
        if name.startswith("facenet-pytorch"):
            import importlib.util

            stub = importlib.util.find_spec("torchvision") is None
        return peers_worker.build(name, os.cpu_count() or 1, stub)
    from mtcnn_doctor.reference import Detector

    # Without numba, as `check` runs it; --numba measures what that adds.
    made = Detector(name, min_face_size=min_face, scale_factor=factor, lanes=lanes, compiled=numba)
    return lambda image: len(made.detect(image).faces)


def _status(field: str) -> float:
    with open("/proc/self/status", encoding="ascii") as stream:
        for line in stream:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


def measure_here(order: dict[str, Any]) -> dict[str, Any]:
    """Run one case in this process; MiB."""
    import numpy as np

    detect = detector(
        order["contender"],
        order["min_face"],
        order["factor"],
        order.get("lanes", 1),
        order.get("numba", False),
    )
    built = {"built_rss": _status("VmHWM"), "built_address": _status("VmPeak")}
    faces = detect(np.load(order["array"]))
    return {**built, "peak_rss": _status("VmHWM"), "peak_address": _status("VmPeak"),
            "faces": faces}  # fmt: skip


def scene(folder: Path, width: int, height: int) -> Path:
    """Make the scene of a size, in a process of its own (the first interpreter's NumPy)."""
    path = folder / f"{width}x{height}.npy"
    if not path.exists():
        import numpy as np
        import peers_scenes

        np.save(path, peers_scenes.scene(height, width, _FACES))
    return path


def contenders(python: str) -> dict[str, str]:
    """Return what an interpreter can run, and the version of each."""
    done = subprocess.run(
        [python, str(HERE / "peers_worker.py"), "--list", "1", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, str] = json.loads(done.stdout)["contenders"]
    return found


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every case of every contender, each in a fresh process."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for python in options.python or [sys.executable]:
            for name, version in contenders(python).items():
                if options.contender and name not in options.contender:
                    continue
                for width, height, min_face, factor, use in options.cases:
                    order = {"contender": name, "min_face": min_face, "factor": factor,
                             "lanes": options.lanes, "numba": options.numba,
                             "array": str(scene(Path(place), width, height))}  # fmt: skip
                    script = [python, str(HERE / "memory.py"), "--here", json.dumps(order)]
                    done = subprocess.run(
                        [*options.prefix, *script],
                        capture_output=True, text=True, check=False,
                    )  # fmt: skip
                    row = {"contender": name, "version": version, "width": width, "height": height,
                           "min_face": min_face, "factor": factor, "use": use,
                           "lanes": options.lanes, "numba": options.numba}  # fmt: skip
                    if done.returncode:
                        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
                        row["error"] = f"exit code {done.returncode}: {last}"
                    else:
                        row.update(json.loads(done.stdout.splitlines()[-1]))
                    rows.append(row)
                    print(json.dumps(row), file=sys.stderr, flush=True)
                    if options.json:
                        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return rows


#: Which backends' releases and packages a row of memory.toml speaks for.
_AFFECTED = {"mtcnn 0.": ">=0.1,<1", "mtcnn 1.": ">=1,<2", "facenet": ">=2,<3"}


def workload(row: dict[str, Any]) -> Workload:
    """Return what the prediction needs to know of a case."""
    return Workload(row["width"], row["height"], row["min_face"], row["factor"])


def predicted(row: dict[str, Any]) -> Model | None:
    """Return the row of memory.toml that a measurement is held against."""
    return model_of(row["contender"].split()[0], row["version"])


def compare(rows: list[dict[str, Any]]) -> float:
    """Print measured against predicted; returns the largest error as a share."""
    worst = 0.0
    print(f"{'contender':<24}{'image':>11}{'face':>6}{'factor':>8}{'MiB':>8}{'predicted':>11}"
          f"{'error':>8}{'address':>9}{'predicted':>11}{'error':>8}")  # fmt: skip
    for row in rows:
        head = f"{row['contender']:<24}{row['width']}x{row['height']:<6}".ljust(35)
        head += f"{row['min_face']:>6g}{row['factor']:>8g}"
        model = predicted(row)
        if "error" in row or model is None:
            print(head, row.get("error", "no row in memory.toml"))
            continue
        parts = []
        for field, guess in (
            ("peak_rss", model.peak(workload(row))),
            ("peak_address", model.address_space(workload(row))),
        ):
            error = guess / MIB / row[field] - 1
            if field == "peak_rss":
                worst = max(worst, abs(error))
            parts.append((row[field], guess / MIB, error))
        (rss, rss_guess, error), (address, address_guess, address_error) = parts
        print(f"{head}{rss:>8.0f}{rss_guess:>11.0f}{error:>8.1%}"
              f"{address:>9.0f}{address_guess:>11.0f}{address_error:>8.1%}")  # fmt: skip
    return worst


def fit(rows: list[dict[str, Any]]) -> None:
    """Print a row of memory.toml for each contender: least squares of the relative error.

    Of all choices of at most three coefficients beside the base, none below zero, the one counts
    whose largest error on the cases marked "fit" is least; a coefficient must earn its place by a
    fifth of that error.
    """
    import itertools

    import numpy as np

    names = ("image", "finest", "band", "pyramid")
    for contender in dict.fromkeys(row["contender"] for row in rows):
        own = [row for row in rows if row["contender"] == contender and "peak_rss" in row]
        used = [row for row in own if row["use"] == "fit"]
        if len(used) < 5:
            print(f"# {contender}: too few measurements")
            continue
        peaks = np.array([row["peak_rss"] for row in used])
        counts = [{"base": 1.0, **{k: v / MIB for k, v in workload(row).features().items()}}
                  for row in used]  # fmt: skip
        best: tuple[float, tuple[str, ...], Any] | None = None
        # Only the reference works on a band of a level at a time.
        usable = names if contender == contender.split()[0] else names[:2] + names[3:]
        for many in (1, 2, 3):
            for chosen in itertools.combinations(usable, many):
                columns = ("base", *chosen)
                matrix = np.array([[count[name] for name in columns] for count in counts])
                found = np.linalg.lstsq(matrix / peaks[:, None], np.ones(len(peaks)), rcond=None)[0]
                worst = float(np.abs(matrix @ found / peaks - 1).max())
                # Compared with the best of fewer columns, or of as many.
                least = 1.0 if best is None else best[0]
                more = best is not None and len(columns) > len(best[1])
                if (found >= 0).all() and worst < (0.8 * least if more else least):
                    best = (worst, columns, found)
        assert best is not None
        values = dict(zip(best[1], best[2], strict=True))
        model = Model("", "", "", values["base"], 0.0, 0.0, "",
                      **{k: v for k, v in values.items() if k != "base"})  # fmt: skip
        errors = [model.peak(workload(row)) / MIB / row["peak_rss"] - 1 for row in own]
        extra = float(np.median([row["peak_address"] - row["peak_rss"] for row in own]))
        version = own[0]["version"]
        affected = next((v for k, v in _AFFECTED.items() if contender.startswith(k)), ">=0")
        print("[[model]]")
        name = contender.split()[0]
        print(f'id = "memory-{contender.replace(" ", "-")}"')
        print(f'contender = "{name}"')
        print(f'kind = "{"backend" if name == contender else "subject"}"')
        print(f'affected = "{affected}"')
        print(f"base_mib = {values['base']:.1f}")
        for key in names:
            if key in values:
                print(f"{key} = {values[key]:.1f}")
        print(f"address_mib = {extra:.1f}")
        print(f"worst_percent = {100 * max(map(abs, errors)):.1f}")
        print(f'measured = "{name} {version}"\n')


def _case(text: str) -> tuple[int, int, float, float, str]:
    size, min_face, factor = text.split(",")
    width, height = size.split("x")
    return int(width), int(height), float(min_face), float(factor), "test"


def main() -> None:
    """Measure, compare, fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", metavar="PATH")
    parser.add_argument("--contender", action="append", metavar="NAME")
    parser.add_argument("--case", action="append", type=_case, metavar="WxH,FACE,FACTOR")
    parser.add_argument("--lanes", type=int, default=1, metavar="N")
    parser.add_argument("--numba", action="store_true", help="the reference with compiled kernels")
    parser.add_argument("--prefix", type=str.split, default=[], help="words before each process")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements here")
    parser.add_argument(
        "--read", type=Path, action="append", metavar="FILE", help="measured before"
    )
    parser.add_argument("--fit", action="store_true", help="print coefficients for memory.toml")
    parser.add_argument("--here", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # frameworks print
        answers.write(json.dumps(measure_here(options.here)) + "\n")
        answers.flush()
        return
    options.cases = options.case or CASES
    rows = (
        [row for path in options.read for row in json.loads(path.read_text(encoding="utf-8"))]
        if options.read
        else measure(options)
    )
    if options.fit:
        fit(rows)
        return
    worst = compare(rows)
    print(f"largest error of resident memory: {worst:.1%}")
    if worst > 0.15:
        sys.exit("beyond 15 %: fit mtcnn_doctor/knowledge/memory.toml again (--fit)")


if __name__ == "__main__":
    main()
