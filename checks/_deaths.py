"""Reading a run of the report: where it ended, what is known of it, what to advise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ._frames import frame_lines

Runs = Sequence[Mapping[str, Any]]

_STAGES = {
    "start": "while the interpreter started",
    "import": "while it was imported",
    "build": "while the networks were built",
    "detect": "while it looked for faces",
    "pyramid": "while the image pyramid was built",
    "pnet": "in P-Net",
    "rnet": "in R-Net",
    "onet": "in O-Net",
    "report": "after the last image",
    "shutdown": "after the work was done, while the interpreter shut down",
}


def where(run: Mapping[str, Any]) -> str:
    """Return in words at which stage and step a run ended."""
    stage, step = run.get("stage"), run.get("step")
    place = _STAGES.get(stage or "", f"in stage {stage}")
    # That torch died while torch was imported needs no saying twice.
    return f"{place} ({step})" if step and step != run["name"] else place


def named(run: Mapping[str, Any]) -> str:
    """Return the name of a run with its version."""
    version = run.get("version")
    return f"{run['name']} {version}" if version else str(run["name"])


def runs_with(runs: Runs, outcome: str, kind: str = "backend") -> Iterator[Mapping[str, Any]]:
    """Return the runs of backends, or of subjects, that ended in one outcome."""
    return (run for run in runs if run["kind"] == kind and run["outcome"] == outcome)


def openmp_libraries(run: Mapping[str, Any]) -> list[str]:
    """Return the paths of the OpenMP runtimes that were loaded."""
    return [
        library["path"]
        for library in run.get("native_libraries") or ()
        if library["kind"] == "openmp"
    ]


def _memory(run: Mapping[str, Any]) -> str:
    memory = run.get("memory") or {}
    peak, available = memory.get("peak_rss_mb"), memory.get("available_mb_at_start")
    if peak is None:
        return "not known"
    text = f"peak {peak:.0f} MiB"
    if available is not None:
        text += f", {available:.0f} MiB were available at its start"
    limit = memory.get("address_space_limit_mb")
    if limit is not None:
        text += f", address space limited to {limit:.0f} MiB (ulimit -v)"
    return text


def _last_words(run: Mapping[str, Any]) -> str:
    lines = [line for line in (run.get("stderr_tail") or "").splitlines() if line.strip()]
    # What faulthandler says on stderr is in the frames already.
    lines = [line for line in lines if not line.startswith(("  File ", "Fatal Python", "Thread "))]
    return lines[-1][:300] if lines else ""


def certificate(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the death certificate as evidence: what is known and not in the title already."""
    found = {
        "python frames": frame_lines(run.get("python_traceback"))[:6],
        "openmp libraries": openmp_libraries(run),
        "memory": _memory(run),
        "last words": _last_words(run),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


_GENERAL = ("numpy-missing", "reference-images-lost")


def roots(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the findings that would explain a failure of this run."""
    causes = ("broken-install", "import-failure", "numpy-abi", "cpu-instructions")
    packages = dict.fromkeys(["numpy", run["name"]])
    return (*(f"{cause}:{package}" for cause in causes for package in packages), *_GENERAL)


def _intruder(run: Mapping[str, Any]) -> str | None:
    """Return the file of foreign code that the framework's call ended up in, if there is one.

    Frames are read from the innermost outwards, past the standard library: what is met first
    should belong to an installed package. A file from elsewhere has replaced the package's code.
    """
    for frame in run.get("python_traceback") or ():
        file = str(frame["file"]).replace("\\", "/")
        if "site-packages/" in file or "dist-packages/" in file or "mtcnn_doctor/target/" in file:
            return None
        standard = "/lib/python3" in file.lower() or "/lib/pypy" in file.lower()
        if not standard and not file.startswith("<"):
            return str(frame["file"])
    return None


def crash_cause(run: Mapping[str, Any]) -> str:
    """Return what is known of the cause of a crash."""
    intruder = _intruder(run)
    meaning = run.get("reason") or ""
    if intruder is None:
        return meaning
    return f"{intruder} replaces code of {run['name']} and died in its place ({meaning})"


def crash_advice(run: Mapping[str, Any]) -> str:
    """Return the remedy for a crash that its certificate suggests."""
    openmp = openmp_libraries(run)
    intruder = _intruder(run)
    if intruder is not None:
        return (
            f"remove {intruder} from the environment (or what it does to {run['name']}); "
            f"it is not part of any installed package"
        )
    if run.get("signal") == "SIGILL":
        return (
            "this processor lacks an instruction that the wheel uses; install a build for it "
            "(an older release, or one from conda-forge)"
        )
    if run.get("signal") == "SIGKILL":
        return (
            "find out who killed it: a container or job limit, the out-of-memory killer "
            "(dmesg), or an administrator"
        )
    if len({path.rsplit("/", 1)[-1].split(".")[0] for path in openmp}) > 1:
        return (
            "two OpenMP runtimes are loaded, which is known to crash: install all native "
            "packages from one source (pip or conda, not both)"
        )
    if run.get("signal") is None:
        return (
            "something called exit() or os._exit() here; look for a patched or home-made module "
            "of this name, and for what it prints before it ends"
        )
    return (
        f"repeat it with: mtcnn-doctor bench --{run['kind']} {run['name']}; if it repeats, set "
        f"OMP_NUM_THREADS=1, then reinstall {run['name']} in a fresh environment"
    )
