"""Checks of the runs: what became of each backend that executed the reference MTCNN.

The facts are the runs of the report (plain data, see ``mtcnn_doctor.model.Run``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor.knowledge import match_error
from mtcnn_doctor.model import Finding, Findings, check, error, warning

Runs = Sequence[Mapping[str, Any]]

_STAGES = {
    "start": "while the interpreter started",
    "import": "while it was imported",
    "build": "while the networks were built",
    "pyramid": "while the image pyramid was built",
    "pnet": "in P-Net",
    "rnet": "in R-Net",
    "onet": "in O-Net",
    "report": "after the last image",
    "shutdown": "after the work was done, while the interpreter shut down",
}


def _where(run: Mapping[str, Any]) -> str:
    stage, step = run.get("stage"), run.get("step")
    place = _STAGES.get(stage or "", f"in stage {stage}")
    return f"{place} ({step})" if step else place


def _with(run: Mapping[str, Any]) -> str:
    version = run.get("version")
    return f"{run['name']} {version}" if version else str(run["name"])


def _of(runs: Runs, outcome: str) -> Iterator[Mapping[str, Any]]:
    return (run for run in runs if run["kind"] == "backend" and run["outcome"] == outcome)


def _frames(run: Mapping[str, Any]) -> list[str]:
    return [
        f"{frame['file']}:{frame['line']} {frame['function']}"
        for frame in run.get("python_traceback") or ()
    ][:6]


def _openmp(run: Mapping[str, Any]) -> list[str]:
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
    return text


def _last_words(run: Mapping[str, Any]) -> str:
    lines = [line for line in (run.get("stderr_tail") or "").splitlines() if line.strip()]
    # What faulthandler says on stderr is in the frames already.
    lines = [line for line in lines if not line.startswith(("  File ", "Fatal Python", "Thread "))]
    return lines[-1][:300] if lines else ""


def _evidence(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the death certificate as evidence: only what is known."""
    found = {
        "exit code": run.get("exit_code"),
        "signal": run.get("signal"),
        "stage": run.get("stage"),
        "step": run.get("step"),
        "python frames": _frames(run),
        "openmp libraries": _openmp(run),
        "memory": _memory(run),
        "last words": _last_words(run),
    }
    return {key: value for key, value in found.items() if value not in (None, "", [])}


def _roots(run: Mapping[str, Any]) -> tuple[str, ...]:
    causes = ("broken-install", "import-failure", "numpy-abi", "cpu-instructions")
    packages = dict.fromkeys(["numpy", run["name"]])
    return (*(f"{cause}:{package}" for cause in causes for package in packages), "numpy-missing")


@check("backend-crash", family="runs", title="no backend crashed", level=2)
def backend_crash(runs: Runs) -> Findings:
    """Whether a backend's process died while it ran the reference MTCNN.

    ## What it checks
    Each installed backend runs the bundled networks on the bundled images in a process of its
    own. A process that ends by a signal, or before it reported its results, has crashed. The
    finding carries the exit code, the signal, the stage and step, the Python frames, the loaded
    OpenMP libraries and the peak of memory.

    ## Why it matters
    Your own program, or notebook kernel, dies at the same place without a Python exception, so
    no `try` catches it.

    ## How to fix it
    The innermost frame names the call that died. Two different OpenMP libraries in one process
    are a common reason, as is a wheel that was compiled for another processor, and a mixture of
    pip and conda packages. Run `mtcnn-doctor bench --backend NAME` once more to see whether it
    happens every time; try OMP_NUM_THREADS=1; install the framework afresh in a new environment.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html
    - https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html
    """
    for run in _of(runs, "crash"):
        how = run.get("signal") or "an early exit"
        yield error(
            f"{_with(run)} died of {how} (exit {run['exit_code']}) {_where(run)}",
            about=run["name"],
            evidence=_evidence(run),
            effect="your program or notebook kernel dies here too, and no except clause sees it",
            cause=_crash_cause(run),
            fix=_crash_advice(run),
            requires=_roots(run),
        )


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


def _crash_cause(run: Mapping[str, Any]) -> str:
    intruder = _intruder(run)
    meaning = run.get("reason") or ""
    if intruder is None:
        return meaning
    return f"{intruder} replaces code of {run['name']} and died in its place ({meaning})"


def _crash_advice(run: Mapping[str, Any]) -> str:
    openmp = _openmp(run)
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
    return (
        f"repeat it with: mtcnn-doctor bench --backend {run['name']}; if it repeats, set "
        f"OMP_NUM_THREADS=1, then reinstall {run['name']} in a fresh environment"
    )


@check("backend-timeout", family="runs", title="no backend hung", level=2)
def backend_timeout(runs: Runs) -> Findings:
    """Whether a backend stopped making progress.

    ## What it checks
    Each phase of a backend's run (its import, building the networks, each image) has a time
    limit, 120 seconds unless `--timeout` says otherwise. When it passes, the process is asked
    for its Python stack and killed.

    ## Why it matters
    Your program would wait forever at the same place.

    ## How to fix it
    Look at the Python frames: a lock that is waited for, a download, a driver call, or a
    debugger prompt. On a slow or loaded machine give `--timeout` more seconds.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html#dumping-the-traceback-on-a-user-signal
    """
    for run in _of(runs, "timeout"):
        yield error(
            f"{_with(run)} hung {_where(run)}",
            about=run["name"],
            evidence=_evidence(run),
            effect="your program waits forever at this place",
            cause=run.get("reason") or "",
            fix="see what the innermost frame waits for; on a slow machine raise --timeout",
            requires=_roots(run),
        )


@check("backend-out-of-memory", family="runs", title="memory sufficed", level=2)
def backend_out_of_memory(runs: Runs) -> Findings:
    """Whether a backend died, or gave up, for want of memory.

    ## What it checks
    A `MemoryError` or the framework's own out-of-memory exception, `std::bad_alloc`, or a
    SIGKILL while the kernel's count of out-of-memory kills rose.

    ## Why it matters
    The reference runs on small images; if memory does not suffice for them, nothing will run.

    ## How to fix it
    Raise the limit of the container, job or `ulimit -v`; close what else holds memory; use
    smaller images or a larger `min_face_size`, both of which shrink the image pyramid.

    ## Sources
    - https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    for run in _of(runs, "out-of-memory"):
        yield error(
            f"{_with(run)} ran out of memory {_where(run)}",
            about=run["name"],
            evidence=_evidence(run),
            effect="MTCNN cannot run here with the memory that is allowed",
            cause=run.get("reason") or "",
            fix="raise the memory limit (container, job, ulimit -v) or free memory; smaller "
            "images and a larger min_face_size need less",
            requires=_roots(run),
        )


@check("backend-error", family="runs", title="no backend raised", level=2)
def backend_error(runs: Runs) -> Findings:
    """Whether a backend raised a Python exception after it had been imported.

    ## What it checks
    Exceptions while the networks are built or run. (Exceptions at import are `import-failure`.)

    ## Why it matters
    The framework is there but cannot compute; your program fails the same way.

    ## How to fix it
    The last line of the exception is looked up among the known failures; where one matches, its
    remedy is given. Otherwise the frames show which call failed.

    ## Sources
    - The known failures: `mtcnn_doctor/knowledge/signatures.toml`
    """
    for run in _of(runs, "error"):
        text = "\n".join(
            [(run.get("error") or {}).get("message", ""), run.get("stderr_tail") or ""]
        )
        known = match_error(f"{run.get('reason') or ''}\n{text}")
        yield error(
            f"{_with(run)} raised {(run.get('error') or {}).get('type', 'an exception')} "
            f"{_where(run)}",
            about=run["name"],
            evidence={**_evidence(run), "exception": run.get("reason")},
            effect=f"MTCNN on {run['name']} does not run",
            cause=known[0].cause if known else (run.get("reason") or ""),
            fix=known[0].remedy
            if known
            else f"read the frames; if they lie inside {run['name']}, reinstall it",
            commands=known[0].commands if known else (),
            requires=_roots(run),
        )


@check("backend-wrong-result", family="runs", title="all backends found the right faces", level=2)
def backend_wrong_result(runs: Runs) -> Findings:
    """Whether a backend finds the faces that are known to be on the bundled images.

    ## What it checks
    Boxes, keypoints and confidences against the expected ones, which a float64 computation
    wrote; NaN and infinity in the outputs of a network. When a backend disagrees, its networks
    are compared with NumPy's call by call, and the first call that differs is named.

    ## Why it matters
    It runs, and what it says is wrong: the fault that is found last.

    ## How to fix it
    A first difference in a network points at the framework's arithmetic on this machine (a
    miscompiled or patched kernel, reduced precision, a broken BLAS). No difference in any
    network points at what surrounds them.

    ## Sources
    - Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment Using Multitask Cascaded
      Convolutional Networks, IEEE Signal Processing Letters 23(10), 2016
    """
    for run in _of(runs, "wrong-result"):
        divergence = run.get("divergence") or {}
        evidence: dict[str, Any] = {"what": run.get("reason")}
        if divergence.get("stage"):
            size = divergence.get("max_error")
            off = f"by up to {size}" if size is not None else "in shape"
            evidence["first difference"] = (
                f"{divergence['stage']} ({divergence.get('step')}), {divergence['output']} off "
                f"{off}"
            )
        elif divergence:
            evidence["networks"] = "agree with NumPy's; the fault lies around them"
        agreed = run.get("agreement")
        if agreed:
            evidence["agreement"] = (
                f"{agreed['matched']} faces matched, {agreed['missing']} of "
                f"{agreed['expected']} missing, {agreed['extra']} too many, boxes off by up to "
                f"{agreed['max_box_error_px']} px"
            )
        stage = divergence.get("stage") or run.get("stage")
        at = f", first in {stage}" if stage and stage != "compare" else ""
        yield error(
            f"{_with(run)} runs but finds the wrong faces{at}",
            about=run["name"],
            evidence=evidence,
            effect="faces are missed, invented or misplaced without any error",
            cause=run.get("reason") or "",
            fix=f"do not trust {run['name']} on this machine; remove what patches it "
            "(sitecustomize, plug-ins), then reinstall it in a fresh environment",
            requires=_roots(run),
        )


@check("backend-nondeterministic", family="runs", title="repeated runs agree", level=3)
def backend_nondeterministic(
    settings: Mapping[str, Any], nondeterministic: Mapping[str, Any] | None = None
) -> Findings:
    """Whether repeated runs on the same image give the same faces to the last bit.

    ## What it checks
    At level 3 each image runs three times in one process; any difference is reported.

    ## Why it matters
    Results cannot be reproduced, and a race condition may hide behind it.

    ## How to fix it
    Run with one thread (OMP_NUM_THREADS=1). On a GPU, ask the framework for deterministic
    algorithms.

    ## Sources
    - https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    for name, images in (nondeterministic or {}).items():
        yield warning(
            f"{name} gives different results on repeated runs",
            about=name,
            evidence={image["image"]: f"{image['distinct']} different answers" for image in images},
            effect="results cannot be reproduced exactly",
            fix="run with OMP_NUM_THREADS=1; on a GPU ask for deterministic algorithms",
        )


@check("backend-missing", family="runs", title="the backends asked for are installed", level=2)
def backend_missing(runs: Runs, settings: Mapping[str, Any]) -> Findings:
    """Whether the backends named on the command line are installed in the target.

    ## What it checks
    Backends given with `--backend`. Backends that nobody asked for may be absent.

    ## Why it matters
    A report about something else than what was asked for would be a false calm.

    ## How to fix it
    Install the framework into the target, or name the interpreter that has it with `--python`.

    ## Sources
    - https://packaging.python.org/en/latest/tutorials/installing-packages/
    """
    asked = settings.get("backends_requested") or ()
    for run in _of(runs, "not-installed"):
        if run["name"] in asked:
            yield error(
                f"{run['name']} is not installed in this interpreter",
                about=run["name"],
                effect="the backend that was asked for could not be examined",
                fix=f"install {run['name']} there, or name another interpreter with --python",
            )


@check("numpy-missing", family="packages", title="NumPy is there", level=2)
def numpy_missing(runs: Runs, packages: Mapping[str, Any]) -> Findings:
    """Whether the frameworks in the target have the NumPy that they pass images through.

    ## What it checks
    A framework is installed and NumPy is not.

    ## Why it matters
    Every MTCNN package hands images and boxes around as NumPy arrays.

    ## How to fix it
    Install NumPy, in a version that the framework supports.

    ## Sources
    - https://numpy.org/install/
    """
    numpy = (packages.get("modules") or {}).get("numpy") or {}
    others = [run["name"] for run in runs if run["outcome"] != "not-installed"]
    if not numpy.get("found") and others:
        yield error(
            f"NumPy is not installed, which {' and '.join(others)} need",
            about="numpy",
            effect="no MTCNN can run in this interpreter",
            fix="install NumPy",
            commands=("pip install numpy",),
        )


@check("python-startup", family="interpreter", title="the interpreter starts", level=1)
def python_startup(startup: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """Whether the target interpreter reaches the first line of a program.

    ## What it checks
    The interpreter runs when started without `site` and environment (`python -E -s -S`), and
    dies, hangs or exits when started the ordinary way.

    ## Why it matters
    Nothing else can be examined, and no program can run.

    ## How to fix it
    Look for a `sitecustomize.py` or `usercustomize.py`, a `.pth` file with code in
    site-packages, and the variables PYTHONPATH, PYTHONHOME and LD_PRELOAD.

    ## Sources
    - https://docs.python.org/3/library/site.html
    """
    if not startup:
        return
    if startup.get("timed_out"):
        how = "hangs"
    elif startup.get("signal"):
        how = f"dies of {startup['signal']} (exit {startup['exit_code']})"
    else:
        how = f"ends with exit code {startup['exit_code']}"
    frames = [
        f"{frame['file']}:{frame['line']} {frame['function']}"
        for frame in startup.get("python_traceback") or ()
        if "<frozen" not in frame["file"]
    ]
    said = [line for line in (startup.get("stderr_tail") or "").splitlines() if line.strip()]
    evidence: dict[str, Any] = {}
    if frames:
        evidence["python frames"] = frames[:4]
    elif said:
        evidence["last words"] = said[-1][:300]
    yield error(
        f"the interpreter {how} before it runs a program",
        about="python",
        evidence=evidence,
        effect="nothing can run in this interpreter, and nothing else could be examined",
        cause="it starts without site and environment (python -E -s -S), so its site "
        "customisation or its environment variables are at fault",
        fix="look into sitecustomize.py, usercustomize.py, .pth files in site-packages, "
        "PYTHONPATH, PYTHONHOME and LD_PRELOAD",
    )


@check("probe-failed", family="doctor", title="every probe answered")
def probe_failed(probes: Mapping[str, Any]) -> Findings:
    """Whether each probe could collect its facts.

    ## What it checks
    Probes that raised, died or ran out of time.

    ## Why it matters
    The report is incomplete: checks that need those facts were skipped.

    ## How to fix it
    Run again; if it stays, report it with the output of `--format json`. A GPU probe that hangs
    usually means a hanging driver: try `nvidia-smi`.

    ## Sources
    - CONTRIBUTING.md of this project
    """
    for failed in probes.get("failed") or ():
        yield warning(
            f"the probe {failed['probe']} could not collect its facts",
            about=failed["probe"],
            evidence={"reason": failed["reason"]},
            effect="the report is incomplete",
            fix="run again; if it stays, report it with the output of --format json",
        )


@check("check-failed", family="doctor", title="no check failed")
def check_failed() -> Findings:
    """Whether a check raised an exception of its own.

    ## What it checks
    The registry catches what a check raises and reports it under this id.

    ## Why it matters
    What the check would have found is not known.

    ## How to fix it
    Report it to whoever wrote the check, built-in ones to this project. `--ignore ID` leaves
    the check out.

    ## Sources
    - CONTRIBUTING.md of this project
    """
    return ()


@check("plugin-failed", family="doctor", title="every plug-in loaded")
def plugin_failed() -> Findings:
    """Whether the checks of other packages and of configured files could be loaded.

    ## What it checks
    Entry points of the group `mtcnn_doctor.checks` and the files named under `plugins`.

    ## Why it matters
    Their checks were not made.

    ## How to fix it
    Mend or remove the plug-in.

    ## Sources
    - CONTRIBUTING.md of this project
    """
    return ()
