"""A living notebook kernel: what it has imported, and whether that is still what is on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mtcnn_doctor.facts import Imported, LastCrash, Notebook
from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._frames import frame_lines
from ._installed import older

#: Who must not come before whom, up to which release of the second: torch 0.2 to 1.9 were seen to
#: kill a TensorFlow of their time that was imported after them, and nothing newer was.
_BEFORE = (("torch", "tensorflow", "2.5"), ("torchvision", "tensorflow", "2.5"))
#: Descended from one code base, and each ends a process in which it finds another of the two.
_KMP = ("libiomp5", "libomp.", "libomp5")


@check(
    "notebook-stale-module",
    family="jupyter",
    title="the kernel's modules are those on disk",
)
def notebook_stale_module(notebook: Notebook) -> Findings:
    """Compare what a living kernel has imported with what is installed now.

    ## What it checks
    Told by ``%load_ext mtcnn_doctor`` from inside the kernel: for each package that is imported,
    its version then against the version that the metadata on disk say now, and whether its own
    files were written after it was imported.

    ## Why it matters
    ``%pip install --upgrade`` changes the files and not the running kernel. What is already
    imported stays old, what is imported next is new, and the two are mixed: attributes are
    missing, compiled parts disagree with the Python around them, and it crashes.

    ## How to fix it
    Restart the kernel. ``importlib.reload`` and ``%autoreload`` are not enough for a package with
    compiled parts.

    ## Sources
    - https://ipython.readthedocs.io/en/stable/interactive/magics.html#magic-pip
    - https://docs.python.org/3/library/importlib.html#importlib.reload
    """
    for row in notebook.get("imported") or ():
        changed = _what_changed(row)
        if changed:
            yield warning(
                f"{row.get('module')} was {changed} after this kernel imported it",
                about=row.get("module", ""),
                evidence={
                    key: value
                    for key, value in (
                        ("imported", row.get("imported_version")),
                        ("on disk", row.get("disk_version")),
                        ("file", row.get("file")),
                    )
                    if value
                },
                effect="old and new parts of it are mixed in this kernel, and may crash it",
                fix="restart the kernel",
            )


def _what_changed(row: Imported) -> str | None:
    before, now = row.get("imported_version"), row.get("disk_version")
    if before and now and before != now:
        return "replaced on disk"
    if before and row.get("distribution") and "disk_version" in row and now is None:
        return "uninstalled"
    if row.get("changed"):
        return "written anew on disk"
    return None


@check(
    "notebook-import-order",
    family="jupyter",
    title="the kernel imported frameworks in a way that works",
)
def notebook_import_order(notebook: Notebook) -> Findings:
    """Judge in which order, and under which settings, a living kernel imported frameworks.

    ## What it checks
    Told by ``%load_ext mtcnn_doctor`` from inside the kernel: torch or torchvision imported before
    a TensorFlow older than 2.5; Intel's and LLVM's OpenMP runtimes both loaded; and variables that
    a framework reads when it is imported (OMP_NUM_THREADS, CUDA_VISIBLE_DEVICES, KERAS_BACKEND,
    TF_USE_LEGACY_KERAS and their kin) that were set after it was.

    ## Why it matters
    A notebook is run in any order, so its imports come in any order. Two native packages with
    their own copies of a library can kill the kernel in one order and not in the other. A
    variable that is set too late changes nothing, without a word.

    ## How to fix it
    Restart the kernel; set variables and import the framework in the first cell.

    ## Sources
    - https://github.com/tensorflow/tensorflow/issues/57669
    - https://github.com/tensorflow/tensorflow/issues/14812
    - https://github.com/joblib/threadpoolctl/blob/master/multiple_openmp.md
    """
    imported = notebook.get("imported") or []
    yield from _wrong_order(imported)
    runtimes = [
        path
        for path in notebook.get("openmp") or ()
        if path.replace("\\", "/").rpartition("/")[2].startswith(_KMP)
    ]
    if len(runtimes) > 1:
        yield warning(
            "two OpenMP runtimes of one kin are loaded in this kernel",
            about="openmp",
            evidence={"openmp libraries": runtimes},
            effect="each ends the process when it finds the other (OMP: Error #15), or they crash",
            fix="restart the kernel and import only one of the packages that bring them, or "
            "install all of them from one source",
        )
    yield from _too_late(notebook)


def _wrong_order(imported: Sequence[Imported]) -> Iterator[Finding]:
    rows: Mapping[str, Imported] = {row.get("module", ""): row for row in imported}
    for first, second, fixed in _BEFORE:
        one, other = rows.get(first), rows.get(second)
        if one is None or other is None or not older(other.get("imported_version"), fixed):
            continue
        if one.get("position", 0) < other.get("position", 0):
            yield warning(
                f"{first} was imported before {second} {other.get('imported_version')}",
                about=f"{first} {second}",
                evidence={
                    "order": f"{first} {one.get('imported_version')}, "
                    f"{second} {other.get('imported_version')}"
                },
                effect="this order is known to end in a segmentation fault with such releases",
                cause="each brings copies of the same C++ libraries",
                fix=f"restart the kernel and import {second} first",
            )


def _too_late(notebook: Notebook) -> Iterator[Finding]:
    for row in notebook.get("changed_variables") or ():
        name, module = row.get("name", ""), row.get("read_by")
        if not module:
            continue
        yield warning(
            f"{name} was changed after {module} was imported",
            about=name,
            evidence={
                "when it was imported": row.get("before") or "not set",
                "now": row.get("now") or "not set",
            },
            effect=f"{module} read it once, at import, and does not see the change",
            fix="restart the kernel and set it in the first cell, before the import",
        )


#: Import name: the backend that the search for a mitigation is to run.
_BACKENDS = {
    "torch": "torch",
    "tensorflow": "tensorflow",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "cv2": "opencv",
    "ai_edge_litert": "litert",
}
_MOST_FRAMES, _MOST_LINES = 6, 5
#: The file that ipykernel gives a cell out as, in the folder for temporary files.
_CELL = re.compile(r"[/\\]ipykernel_\d+[/\\]")


@check("kernel-died", family="jupyter", title="no notebook kernel died")
def kernel_died(last_crash: LastCrash) -> Findings:
    """Say why a notebook kernel died, from what it left behind.

    ## What it checks
    The traces of the last kernel that had loaded the extension and did not end on purpose: the
    fault handler's report, the cell it was running, the packages it had imported, the memory it
    held, and whether the system has killed for memory since.

    ## Why it matters
    "The kernel appears to have died. It will restart automatically." is all that a notebook says,
    whatever the reason.

    ## How to fix it
    Run the cell under ``%%mtcnn_guard``, so that it can be repeated without losing the notebook,
    and let ``bench --bisect`` search for the change that makes the fault go away.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html
    - https://jupyter-client.readthedocs.io/en/stable/messaging.html
    """
    if not last_crash.get("pid"):
        return
    cell, memory = last_crash.get("cell") or {}, last_crash.get("memory") or {}
    running = cell.get("state") == "running"
    how, cause = _how_it_died(last_crash, running)
    code = [line for line in str(cell.get("code") or "").splitlines() if line.strip()]
    suspect = _suspect(last_crash)
    imported = [f"{name} {version or ''}".strip() for name, version in _imported(last_crash)]
    held = memory.get("rss_mb")
    evidence = {
        "notebook": last_crash.get("notebook") or last_crash.get("folder"),
        "python frames": _frames(last_crash),
        "cell": code[:_MOST_LINES] if running else None,
        "imported": ", ".join(imported),
        "memory": f"{held:.0f} MiB at the last look, {memory.get('available_mb', 0):.0f} MiB free"
        if held is not None
        else None,
        "traces": last_crash.get("traces"),
    }
    yield error(
        f"the kernel (process {last_crash.get('pid')}) {how}",
        about=str(last_crash.get("pid", "")),
        evidence={key: value for key, value in evidence.items() if value},
        effect="its variables are lost; the notebook says no more than that it died",
        cause=cause,
        fix="run that cell under %%mtcnn_guard, and search for what makes the fault go away"
        if running
        else "find out who ended it: a restart, a limit of the container or batch system",
        commands=[f"mtcnn-doctor bench --backend {suspect} --bisect"] if suspect else [],
    )


def _how_it_died(death: LastCrash, running: bool) -> tuple[str, str]:
    where = "while a cell ran" if running else "while no cell ran"
    signal = death.get("signal")
    if signal or death.get("fatal"):
        return f"died of {signal or death.get('fatal')} {where}", str(death.get("fatal") or "")
    kills = death.get("oom_kills_since") or {}
    if kills:
        group = "its control group" if "cgroup" in kills else "this machine"
        return (
            f"was probably killed for want of memory {where}",
            f"the system has killed for memory in {group} since its last sign of life",
        )
    return (
        f"ended without a word {where}",
        "killed from outside (SIGKILL), or os._exit() was called: neither leaves a trace",
    )


def _imported(death: LastCrash) -> list[tuple[str, str | None]]:
    """Return what was imported when the cell began, and what was seen to be afterwards."""
    before = (death.get("cell") or {}).get("imported")
    found: dict[str, str | None] = dict(before) if isinstance(before, Mapping) else {}
    for name in (death.get("memory") or {}).get("modules") or ():
        found.setdefault(name, None)
    return list(found.items())


def _frames(death: LastCrash) -> list[str]:
    """Return the frames from the innermost to the last of a cell; below is IPython."""
    frames = list(death.get("python_traceback") or ())
    cells = [at for at, frame in enumerate(frames) if _CELL.search(str(frame.get("file")))]
    return frame_lines(frames[: cells[-1] + 1] if cells else frames)[:_MOST_FRAMES]


def _suspect(death: LastCrash) -> str | None:
    """Return the backend of the package that the innermost frames are in, else the only one."""
    for frame in death.get("python_traceback") or ():
        file = str(frame.get("file", "")).replace("\\", "/")
        for module, backend in _BACKENDS.items():
            if f"/{module}/" in file:
                return backend
    loaded = [m for m, _ in _imported(death) if m in _BACKENDS]
    return _BACKENDS[loaded[0]] if len(loaded) == 1 else None
