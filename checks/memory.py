"""Memory and disk: whether what is asked for fits into what may be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor.facts import ImageFile, Memory, Packages, Settings
from mtcnn_doctor.knowledge import memory as knowledge
from mtcnn_doctor.knowledge.memory import Model, Room, Workload
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._installed import FRAMEWORKS, given, installed, joined

_MIB = 1 << 20
_GIB = 1 << 30

#: Without images of the user the bundled ones are run; this is the largest of them.
BUNDLED = (1280, 720)

#: What the prediction may be wrong by, and somewhat more must be left.
_MARGIN = 0.15

#: A worker that hands over one full-HD image as float32 needs 25 MB of shared memory.
_SMALL_SHM = 32 * _MIB
#: What Docker gives a container that asks for nothing.
_DOCKER_SHM = 64 * _MIB

_FULL_DISK = 256 * _MIB
_FEW_FILES = 1000

#: Outcomes of a run after which nothing has to be predicted.
_PROVEN = ("ok", "wrong-result")
_NOT_RUN = ("not-installed", "not-loadable")


def size_text(amount: float) -> str:
    """Return bytes in words: whole MiB below one GiB, else GiB."""
    return f"{amount / _GIB:.1f} GiB" if amount >= _GIB else f"{amount / _MIB:.0f} MiB"


def _contenders(packages: Packages, settings: Settings) -> Iterator[Model]:
    """Yield what would be run and was measured: backends asked for or there, and packages."""
    there = installed(packages)
    requested = settings.get("backends_requested") or []
    if "numpy" in there:
        for name in settings.get("backends") or FRAMEWORKS:
            model = knowledge.model_of(name)
            if model is not None and FRAMEWORKS.get(name, frozenset()) & there.keys():
                yield model
    if requested:
        return
    for name in ("mtcnn", "facenet-pytorch"):
        if name in there:
            model = knowledge.model_of(name, there[name].get("version"))
            if model is not None:
                yield model


def _workloads(images: Sequence[ImageFile], settings: Settings) -> list[Workload]:
    cascade = settings.get("cascade") or {}
    sizes = [
        (image["width"], image["height"])
        for image in images
        if image.get("width") and image.get("height") and not image.get("error")
    ]
    return [
        Workload(
            width,
            height,
            float(cascade.get("min_face_size") or 20.0),
            float(cascade.get("scale_factor") or 0.709),
        )
        for width, height in sizes or [BUNDLED]
    ]


def _lasted(runs: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return the outcome of each run by its name."""
    return {str(run.get("name")): str(run.get("outcome")) for run in runs or ()}


@check(
    "ram-headroom",
    family="machine",
    title="the images and detectors asked for fit into the memory that may be used",
)
def ram_headroom(
    memory: Memory,
    packages: Packages,
    settings: Settings,
    images: list[ImageFile] | None = None,
    runs: list[dict[str, Any]] | None = None,
) -> Findings:
    """Compare the predicted peak of memory with what a process may take here.

    ## What it checks
    For each backend that is run and each installed MTCNN package that was measured, the peak of
    resident memory on the largest image given (the bundled ones otherwise), by a model fitted to
    measurements, against the least of: what the machine has left with its swap, what any control
    group up the tree leaves, the commit limit, and the resource limits. Under `ulimit -v` the
    address space counts, of which frameworks reserve far more than they use. An error where it
    does not fit, a warning where less than 15 % would be left, and nothing for a detector that
    has just been run on these images and came through. A crowd of hundreds of faces takes more
    than predicted.

    ## Why it matters
    The kernel kills a process beyond a control group's limit without a traceback (exit code 137);
    beyond a resource limit an allocation fails, and code that does not check it crashes.

    ## How to fix it
    Scale large images down before detection, look for larger faces only (`min_face_size`), run
    fewer processes side by side, use a backend that takes less, close what holds the memory, or
    raise the limit. `mtcnn-doctor plan --suggest` works out what fits.

    ## Sources
    - https://docs.kernel.org/admin-guide/cgroup-v2.html
    - https://man7.org/linux/man-pages/man2/getrlimit.2.html
    """
    space = knowledge.room(memory)
    if space is None:
        return
    works = _workloads(images or (), settings)
    outcomes = _lasted(runs)
    tight: list[tuple[Model, Workload, float]] = []
    roomy: list[Model] = []
    told = True
    for model in _contenders(packages, settings):
        outcome = outcomes.get(model.contender)
        work = max(works, key=lambda work, model=model: model.peak(work))  # type: ignore[misc]
        share = space.need_over_room(model, work)
        if outcome in _PROVEN or outcome in _NOT_RUN:
            continue
        if share * (1 + _MARGIN) <= 1:
            roomy.append(model)
            continue
        tight.append((model, work, share))
        # What died of it has its own error, with the certificate.
        told &= share <= 1 or outcome == "out-of-memory"
    if not tight:
        return
    yield _too_tight(tight, roomy, space, memory, worst=not told)


def _too_tight(
    tight: Sequence[tuple[Model, Workload, float]],
    roomy: Sequence[Model],
    space: Room,
    memory: Memory,
    *,
    worst: bool,
) -> Any:
    over = [row for row in tight if row[2] > 1]
    model, work, _ = max(tight, key=lambda row: row[2])
    need, there, bound = space.tightest(model, work)
    names = joined(row[0].contender for row in over or tight)
    makes = error if worst else warning
    verb = "need more memory than" if len(over or tight) > 1 else "needs more memory than"
    if not over:
        verb = "would take nearly all of" if len(tight) == 1 else "would each take nearly all of"
    title = (
        f"{names} {verb} may be used: {size_text(there)}"
        if over
        else f"{names} {verb} the memory that may be used: {size_text(there)}"
    )
    holders = [
        f"{process.get('name')} {size_text(process.get('rss') or 0)}"
        for process in memory.get("processes") or ()
    ]
    machine = bound == "what the machine has left"
    return makes(
        title,
        evidence=given(
            image=f"{work.width}x{work.height}",
            min_face_size=work.min_face_size,
            may_be_used=f"{size_text(there)} ({bound})",
            **{f"{row[0].contender}": _fitting(row[0], row[1], space) for row in tight},
            other_programs=joined(holders) if machine and holders else None,
        ),
        effect="The process is killed without a traceback, or an allocation fails."
        if over
        else "A somewhat larger image, or another program, and it does not fit any more.",
        cause=f"By measurements of {model.measured}, {model.contender} takes about"
        f" {size_text(need)} here (within {max(15.0, model.worst_percent):.0f} %).",
        fix=_remedy(tight, roomy, space, machine=machine),
    )


def _fitting(model: Model, work: Workload, space: Room) -> str:
    """Say what one detector needs, and what would fit."""
    need, _, bound = space.tightest(model, work)
    what = " of address space" if bound.startswith("RLIMIT_AS") else ""
    words = [f"about {size_text(need)}{what}"]
    image = knowledge.largest_image(model, work, space)
    if image is None:
        return f"{words[0]}; no image fits"
    if image[0] < work.width:
        words.append(f"fits up to {image[0]}x{image[1]}")
    face = knowledge.smallest_face(model, work, space)
    if face is not None and face > work.min_face_size:
        words.append(f"or with min_face_size {face:g} and more")
    count = knowledge.workers(model, work, space)
    if count:
        words.append(f"{count} {'process' if count == 1 else 'processes'} at a time")
    return ", ".join(words)


def _remedy(
    tight: Sequence[tuple[Model, Workload, float]],
    roomy: Sequence[Model],
    space: Room,
    *,
    machine: bool,
) -> str:
    """Return what truly helps, the cheapest first."""
    ways = []
    if any(
        image is not None and image[0] < work.width
        for model, work, _ in tight
        for image in [knowledge.largest_image(model, work, space)]
    ):
        ways.append("scale the image down to the size named (small faces shrink with it)")
    if any(
        face is not None and face > work.min_face_size
        for model, work, _ in tight
        for face in [knowledge.smallest_face(model, work, space)]
    ):
        ways.append("raise min_face_size (smaller faces are then not looked for)")
    if roomy:
        least = min(roomy, key=lambda model: model.base_mib)
        ways.append(f"use a detector that takes less ({least.contender})")
    ways.append("close programs that hold memory" if machine else "raise the limit")
    words = ", or ".join(ways)
    return f"{words[0].upper()}{words[1:]}."


@check("shm-size", family="machine", title="shared memory is large enough for worker processes")
def shm_size(memory: Memory, packages: Packages) -> Findings:
    """Look at the size of /dev/shm.

    ## What it checks
    Whether /dev/shm can be written to and has at least 32 MiB free, which is one full-HD image as
    float32; and, as information where PyTorch is installed, whether it has only the 64 MiB that
    Docker gives by default.

    ## Why it matters
    The workers of a PyTorch DataLoader hand their images over in shared memory, and programs use
    it through `multiprocessing.shared_memory`. Where it is full they die of a bus error (exit code
    135) or of "No space left on device", although memory is left.

    ## How to fix it
    Start the container with `--shm-size=1g` (Kubernetes: mount an emptyDir of medium Memory on
    /dev/shm), or work without worker processes (`num_workers=0`). Where it is full, remove what
    ended programs left there.

    ## Sources
    - https://docs.pytorch.org/docs/stable/multiprocessing.html
    - https://docs.docker.com/reference/cli/docker/container/run/
    """
    total, free = memory.get("shm_total"), memory.get("shm_free")
    if total is None or free is None:
        return
    evidence = given(size=size_text(total), free=size_text(free))
    effect = "Worker processes die of a bus error or of 'No space left on device'."
    enlarge = "Start the container with a larger one (--shm-size=1g), or use no worker processes."
    if memory.get("shm_writable") is False:
        yield warning(
            "/dev/shm cannot be written to",
            evidence=evidence,
            effect="Programs that share memory between processes fail to start their workers.",
            fix="Give this user the right to write there (it is usually of mode 1777).",
        )
    elif total < _SMALL_SHM:
        yield warning(
            f"/dev/shm has {size_text(total)}, too little for worker processes",
            evidence=evidence,
            effect=effect,
            fix=enlarge,
        )
    elif free < _SMALL_SHM:
        yield warning(
            f"/dev/shm is nearly full: {size_text(free)} of {size_text(total)} are free",
            evidence=evidence,
            effect=effect,
            fix="End the programs that use it, or remove what ended ones left there"
            " (ls -l /dev/shm).",
        )
    elif total <= _DOCKER_SHM and "torch" in installed(packages):
        yield info(
            f"/dev/shm has {size_text(total)}; a DataLoader with several workers may need more",
            evidence=evidence,
            fix=enlarge,
        )


@check("disk-space", family="machine", title="temporary and cache folders have free space")
def disk_space(memory: Memory) -> Findings:
    """Look at the free space of the folders for temporary and cached files.

    ## What it checks
    Whether the folder for temporary files (TMPDIR), the cache folder (XDG_CACHE_HOME) and, where
    set, TORCH_HOME and KERAS_HOME have at least 256 MiB and a thousand files free. Folders on one
    file system are told once.

    ## Why it matters
    pip unpacks wheels in the temporary folder (PyTorch and TensorFlow take more than a gigabyte),
    packages cache weights and compiled code. A file cut short by a full disk is found much later,
    as a broken installation or weights that cannot be read.

    ## How to fix it
    Free some space (`pip cache purge` where pip's cache is large), or name another folder in
    TMPDIR or XDG_CACHE_HOME.

    ## Sources
    - https://docs.python.org/3/library/tempfile.html
    - https://pip.pypa.io/en/stable/topics/caching/
    """
    seen = set()
    for folder in memory.get("folders") or ():
        free, files = folder.get("free"), folder.get("files_free")
        full = free is not None and free < _FULL_DISK
        if not full and not (files is not None and files < _FEW_FILES):
            continue
        device = folder.get("device") or folder.get("path")
        if device in seen:
            continue
        seen.add(device)
        left = size_text(free or 0) if full else f"room for {files} more files"
        yield warning(
            f"the folder for {folder.get('role')} has {left} left"
            if folder.get("role") == "temporary files"
            else f"the folder of the {folder.get('role')} has {left} left",
            about=str(folder.get("path")),
            evidence=given(
                folder=folder.get("path"),
                free=size_text(free) if free is not None else None,
                size=size_text(folder["total"]) if folder.get("total") else None,
                files_free=files,
            ),
            effect="Installations and downloads end in the middle, and leave files cut short.",
            fix="Free some space there, or name a folder with more in "
            + ("TMPDIR." if folder.get("role") == "temporary files" else "XDG_CACHE_HOME."),
        )
