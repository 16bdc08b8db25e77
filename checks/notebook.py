"""A living notebook kernel: what it has imported, and whether that is still what is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mtcnn_doctor.facts import Imported, Notebook
from mtcnn_doctor.model import Finding, Findings, check, warning

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
