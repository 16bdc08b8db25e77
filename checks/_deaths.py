"""Reading a run of the report: where it ended, what is known of it, what to advise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor.knowledge import Signature, match_error
from mtcnn_doctor.model import Finding, error

from ._frames import frame_lines
from ._installed import FRAMEWORKS

Runs = Sequence[Mapping[str, Any]]

#: How much of a list a certificate shows; the JSON report has all of it.
_NATIVE_FRAMES, _CUDA_LIBRARIES = 10, 8

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


def libraries_of(run: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """Return the libraries of a kind that were loaded, by the run or by the debugger's."""
    native = run.get("native") or {}
    seen = (*(run.get("native_libraries") or ()), *(native.get("runtimes") or ()))
    found = {library["path"]: library for library in seen if library["kind"] == kind}
    return list(found.values())


def _paths(run: Mapping[str, Any], kind: str) -> list[str]:
    return [library["path"] for library in libraries_of(run, kind)]


def _native_frames(run: Mapping[str, Any]) -> list[str]:
    """Return what a native debugger showed, in lines; nothing where it was not asked for."""
    native = run.get("native")
    if not native:
        return []
    if native["state"] == "no-debugger":
        return ["gdb is not installed; install it (apt-get install gdb) and repeat this"]
    if native["state"] == "refused":
        return [f"gdb could not run it: {native.get('said')}"]
    if native["state"] == "not-reproduced":
        return [f"it did not fail in {native.get('tries')} runs under gdb"]
    lines = []
    if not native.get("same"):
        lines.append(f"another end under gdb: {native.get('signal') or 'no signal'}")
    shown = (native.get("frames") or ())[:_NATIVE_FRAMES]
    return lines + [f"{frame['function']}  {frame['where']}".strip() for frame in shown]


def _memory(run: Mapping[str, Any]) -> str:
    memory = run.get("memory") or {}
    peak, available = memory.get("peak_rss_mb"), memory.get("available_mb_at_start")
    if peak is None:
        return "not known"
    text = f"peak {peak:.0f} MiB"
    if available is not None:
        text += f", {available:.0f} MiB were available at its start"
    last, limit = memory.get("last_rss_mb"), memory.get("cgroup_limit_mb")
    if last is not None and last < 0.9 * peak:
        text += f", {last:.0f} MiB when it was looked at last"
    if limit is not None:
        text += f", limited to {limit:.0f} MiB by its control group"
    limit = memory.get("address_space_limit_mb")
    if limit is not None:
        text += f", address space limited to {limit:.0f} MiB (ulimit -v)"
    before, after = memory.get("cgroup_oom_kills_before"), memory.get("cgroup_oom_kills_after")
    if before is not None and after is not None:
        text += ", " + (f"{after - before} OOM kills" if after > before else "no OOM kill")
    return text


def _last_words(run: Mapping[str, Any]) -> str:
    lines = [line for line in (run.get("stderr_tail") or "").splitlines() if line.strip()]
    # What faulthandler says on stderr is in the frames already.
    lines = [line for line in lines if not line.startswith(("  File ", "Fatal Python", "Thread "))]
    return lines[-1][:300] if lines else ""


def omp_error(run: Mapping[str, Any]) -> str:
    """Return the words of an OpenMP runtime that ended the process for finding another, or ""."""
    for line in (run.get("stderr_tail") or "").splitlines():
        if line.startswith("OMP: Error #15"):
            return line.strip()[:300]
    return ""


def certificate(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the death certificate as evidence: what is known and not in the title already."""
    found = {
        "python frames": frame_lines(run.get("python_traceback"))[:6],
        "native frames": _native_frames(run),
        "openmp libraries": _paths(run, "openmp"),
        "blas libraries": _paths(run, "blas"),
        "cuda libraries": _paths(run, "cuda")[:_CUDA_LIBRARIES],
        "memory": _memory(run),
        "last words": _last_words(run),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


# Releases that do not go together; found in metadata, before anything ran.
_RELEASES = (
    "path-pollution",
    "protobuf-mismatch",
    "tensorflow-version-matrix",
    "torch-version-matrix",
)
_GENERAL = ("numpy-missing", "reference-images-lost")


def roots(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the findings that would explain a failure of this run."""
    causes = ("broken-install", "import-failure", "numpy-abi", "cpu-instructions", *_RELEASES)
    packages = dict.fromkeys(["numpy", run["name"], *sorted(FRAMEWORKS.get(run["name"], ()))])
    proven = (f"openmp-duplicates:{run['name']}",) if omp_error(run) else ()
    return (*(f"{cause}:{package}" for cause in causes for package in packages), *proven, *_GENERAL)


def explained(run: Mapping[str, Any], fix: str, cause: str = "") -> dict[str, Any]:
    """Return cause, fix and commands for an exception: the known ones, or else those given."""
    raised = run.get("error") or {}
    said = (run.get("reason"), raised.get("message"), run.get("stderr_tail"))
    known = match_error("\n".join(part or "" for part in said))
    if known:
        return {"cause": known[0].cause, "fix": known[0].remedy, "commands": known[0].commands}
    return {"cause": cause, "fix": fix}


def absent(name: str, effect: str, unfit: str | None = None) -> Finding:
    """Return the finding for what was asked for and is not there, or is ``unfit`` to be used."""
    state = f"cannot be used: {unfit}" if unfit else "is not installed in this interpreter"
    wanted = f"a newer {name}" if unfit else name
    return error(
        f"{name} {state}",
        about=name,
        effect=effect,
        fix=f"install {wanted} there, or name another interpreter with --python",
    )


def intruder(run: Mapping[str, Any]) -> str | None:
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


def _known(run: Mapping[str, Any]) -> Signature | None:
    """Return the known error by which a process said why it ends, if it did.

    A segmentation fault says nothing of itself: what stands on stderr before it may be unrelated.
    """
    if run.get("signal") not in (None, "SIGABRT"):
        return None
    known = match_error(run.get("stderr_tail") or "")
    return known[0] if known else None


def crash_cause(run: Mapping[str, Any]) -> str:
    """Return what is known of the cause of a crash."""
    foreign = intruder(run)
    meaning = run.get("reason") or ""
    known = _known(run)
    if known is not None:
        return f"{known.cause} ({meaning})"
    if foreign is None:
        return meaning
    return f"code in {foreign} has replaced a package's, and died in its place ({meaning})"


def hang_advice(run: Mapping[str, Any]) -> str:
    """Return the remedy for a hang that its frames suggest."""
    foreign = intruder(run)
    if foreign is not None:
        return (
            f"code in {foreign} has replaced a package's and does not come back: remove it from "
            "the environment; it is not part of any installed package"
        )
    return "see what the innermost frame waits for; on a slow machine raise --timeout"


def crash_advice(run: Mapping[str, Any]) -> str:
    """Return the remedy for a crash that its certificate suggests."""
    known = _known(run)
    if known is not None:
        return known.remedy
    foreign = intruder(run)
    if foreign is not None:
        return (
            f"remove {foreign} from the environment (or what it replaces); it is not part of any "
            f"installed package"
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
    if run.get("signal") is None:
        return (
            "something called exit() or os._exit() here; look for a patched or home-made module "
            "of this name, and for what it prints before it ends"
        )
    return (
        f"repeat it with: mtcnn-doctor bench --{run['kind']} {run['name']}; if it repeats, set "
        f"OMP_NUM_THREADS=1, then reinstall {run['name']} in a fresh environment"
    )
