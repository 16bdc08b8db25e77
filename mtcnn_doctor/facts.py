"""The facts that probes collect and checks judge, one TypedDict a subject.

A fact is plain JSON without an opinion. Each top-level key of the facts document is a name a
check can take as a parameter. Keys that a probe could not fill are absent: checks use ``.get``.
"""

from __future__ import annotations

from typing import Any, TypedDict

from mtcnn_doctor.facts_gpu import Gpu as Gpu
from mtcnn_doctor.facts_gpu import GpuDevice as GpuDevice


class Python(TypedDict, total=False):
    """The target interpreter (probe ``python``)."""

    executable: str
    prefix: str
    base_prefix: str
    version: str  # "3.11.7"
    version_info: list[Any]  # [3, 11, 7, "final", 0]
    implementation: str  # "CPython"
    bits: int
    machine: str  # platform.machine(), e.g. "x86_64"
    platform: str  # sys.platform
    system: str  # platform.platform()
    libc: str  # "glibc 2.36", "" where unknown
    rosetta: bool  # an x86-64 process translated on Apple silicon
    free_threaded: bool
    abi_tags: list[str]  # e.g. ["cp311", "abi3", "none"]
    markers: dict[str, str]  # PEP 508 marker environment
    sys_path: list[str]
    user_site: str | None  # folder, None when disabled


class Distribution(TypedDict, total=False):
    """One installed distribution (part of :class:`Packages`)."""

    name: str  # as in METADATA
    key: str  # normalised (PEP 503)
    version: str
    requires: list[str]  # Requires-Dist lines
    requires_python: str | None
    wheel_tags: list[str]
    location: str  # folder that holds the dist-info; absent for what is only to be installed
    metadata_folder: str
    installer: str
    editable: bool
    files_checked: int  # 0 unless the distribution is of interest
    files_missing: list[str]  # at most 20 names, relative to location
    files_missing_count: int
    files_truncated: list[str]
    files_truncated_count: int
    backends: dict[str, str]  # plug-in backends: name to "module:function"
    subjects: dict[str, str]  # plug-in subjects: name to "module:class"


class Module(TypedDict, total=False):
    """Where an import would find a module (part of :class:`Packages`)."""

    found: str | None  # file or folder, None when nowhere
    in_site: bool  # found in a site-packages of the environment
    namespace: bool  # a folder without __init__.py
    shadow: str | None  # a file or folder of the working directory or PYTHONPATH that wins
    shadow_from: str  # "working directory" or "PYTHONPATH"
    local: str  # a file of the working directory with this name, nothing else being found
    hides: str  # what it hides: the path of the installed package or "the standard library"


class Packages(TypedDict, total=False):
    """What is installed in the target, read from metadata and files (probe ``packages``)."""

    distributions: list[Distribution]
    unreadable: list[str]  # dist-info folders without usable metadata
    leftovers: list[str]  # "~umpy" and kin, full paths
    modules: dict[str, Module]
    numpy_abi: list[NumpyBuild]


class NumpyBuild(TypedDict, total=False):
    """For which NumPy C-API a binary was compiled (part of :class:`Packages`)."""

    distribution: str
    version: str
    file: str
    supports_numpy2: bool


class Cpu(TypedDict, total=False):
    """The processor (host probe ``cpu``)."""

    model: str
    machine: str
    flags: list[str]  # as the system names them, lower case
    logical: int
    physical: int | None
    affinity: int | None
    quota: float | None  # CPUs allowed by the cgroup, None when unlimited


class Memory(TypedDict, total=False):
    """Memory of the machine and what of it may be used, in bytes (host probe ``memory``)."""

    total: int
    available: int
    swap_total: int
    swap_free: int
    cgroup_version: int | None
    cgroup_limit: int | None  # tightest limit up the tree, None when unlimited
    cgroup_path: str | None
    cgroup_usage: int | None
    cgroup_headroom: int  # least that any limited group up the tree still allows
    cgroup_headroom_path: str
    cgroup_swap: int | None  # swap which that group may still take, None when all there is
    rlimits: dict[str, int | None]  # RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK; None when unlimited
    commit_left: int  # only where the kernel promises no more memory than it has
    shm_total: int | None
    shm_free: int | None
    shm_writable: bool
    oom_kills: int | None
    processes: list[Process]  # the largest ones, first first
    folders: list[Folder]


class Process(TypedDict, total=False):
    """A process that holds much memory (part of :class:`Memory`)."""

    name: str
    pid: int
    rss: int


class Folder(TypedDict, total=False):
    """Free space of a folder in bytes (part of :class:`Memory`)."""

    role: str  # "temporary files", "cache", "torch models", "Keras models"
    path: str  # itself, or the nearest one above it that exists
    device: int
    writable: bool
    total: int
    free: int
    files_free: int  # how many more files the file system can name


class Threads(TypedDict, total=False):
    """Thread settings of the environment (probe ``threads``)."""

    environment: dict[str, str]  # OMP_NUM_THREADS and kin, where set


class Environment(TypedDict, total=False):
    """Environment variables of the target that matter, values redacted (probe ``environment``)."""

    variables: dict[str, str]
    working_directory: str
    ld_preload: str | None


class Call(TypedDict, total=False):
    """One call of the package mtcnn in a program (part of :class:`Calls`)."""

    file: str
    line: int
    function: str  # "MTCNN" or "detect_faces"
    arguments: dict[str, Any]  # given by name; the value where it is a number, else None
    positional: int  # how many are given by place


class Calls(TypedDict, total=False):
    """How programs of the working directory call the package mtcnn (probe ``calls``)."""

    found: list[Call]


class Loaded(TypedDict, total=False):
    """How a module answered its import in a child of the target (level 2 facts)."""

    state: str  # "ok", "not-installed", "not-loadable", "crash", "timeout", "out-of-memory"
    version: str | None
    file: str | None
    error: dict[str, Any] | None  # {"type", "message", "last_line"}
    stderr_tail: str
    exit_code: int | None
    signal: str | None
    stage: str | None
    python_traceback: list[dict[str, Any]]  # of a death or a hang, innermost first
    import_ms: float
    build: dict[str, Any]  # what the framework says of itself: CUDA, cuDNN, BLAS, devices
    numpy_bridge: str  # torch only: "ok" or the error of torch.from_numpy


class ImageFile(TypedDict, total=False):
    """An image file given by the user, read from its header (probe ``image``)."""

    path: str
    format: str  # "png", "jpeg", ..., "html", "git-lfs", "empty", "unknown"
    size_bytes: int
    width: int
    height: int
    channels: int
    bit_depth: int
    cmyk: bool
    palette: bool  # stored as indexes into a list of colours
    orientation: int  # EXIF 1..8
    decoder: str | None  # which library decoded it, None when none could
    error: str | None  # why decoding failed
    equal_channels: bool  # R, G and B are the same everywhere
    name: str  # what it is called among others; the file name unless that is taken


class ImageArray(TypedDict, total=False):
    """What somebody gives to a detector (probe ``array``, and ``inspect``)."""

    name: str
    kind: str  # "array", "nothing" (None), or the name of another type
    shape: list[int]
    dtype: str  # as NumPy names it; "object", and "records" for structured types
    swapped: bool  # not in this machine's byte order
    layout: str  # "contiguous", "rows" (a crop), "negative", "scattered"
    minimum: float | None  # of the finite values
    maximum: float | None
    nonfinite: int  # how many values are NaN or infinite
    equal_channels: bool  # all three channels are the same everywhere


class Recording(TypedDict, total=False):
    """A video, camera or stream that pictures were to be taken from (``inspect``)."""

    name: str  # without passwords
    kind: str  # "video", "camera", "stream"
    frames: int  # pictures that came
    asked: int
    error: str  # why none came, or why it broke off
    cause: str
    fix: str
    opencv: str  # its version
    backends: list[str]  # that this OpenCV build has for this kind of source
    needs: str  # the backend that this kind of source takes
    backend: str  # that opened it
    width: int
    height: int
    fps: float
    codec: str


class Decoding(TypedDict, total=False):
    """What one library makes of an image file (``inspect``; part of the fact ``decodings``)."""

    name: str
    decoder: str  # "cv2", "PIL", "tensorflow"
    call: str  # the line that was run
    array: ImageArray | None
    warnings: list[str]
    error: str | None


class Look(TypedDict, total=False):
    """What the reference finds on an image, mended where needed (``inspect``)."""

    name: str
    error: str | None
    refused: str | None  # why the reference does not take the array as it was given
    repairs: list[str]  # expressions over `image` that were run first
    decoder: str  # of an image file
    width: int
    height: int
    faces: list[dict[str, Any]]
    faces_swapped: int  # with the channels in reverse
    faces_published: int  # where ``faces`` are those of the user's own networks
    colours: dict[str, Any]  # see target/tasks/colours.py
    order: str  # "RGB", "BGR", "cannot tell", by the colours
    turned: dict[str, Any] | None  # {"quarters", "faces"}: found only when turned
    others: dict[str, dict[str, Any]]  # other decoders' pictures, compared with this one
    drawn: str  # the file with boxes


class Told(TypedDict, total=False):
    """What an interpreter told of itself (part of :class:`Jupyter`, probe ``kernel``)."""

    executable: str
    prefix: str
    base_prefix: str
    version: str
    versions: dict[str, str]  # of what matters to MTCNN and to a kernel, by normalised name
    modules: dict[str, bool]  # whether the modules that kernels start are there


class Kernel(TypedDict, total=False):
    """One kernelspec as Jupyter resolves it (part of :class:`Jupyter`)."""

    name: str
    display_name: str
    spec: str | None  # path of kernel.json; None: Jupyter offers it without a file
    launchers: list[str]  # whose Jupyter finds it: "target", "shell", "doctor"
    python: str | None  # the interpreter it starts, None where that cannot be told
    module: str | None  # what that runs: "ipykernel_launcher"
    is_target: bool
    state: str  # "ok", "missing", "not-python", "too-old", "crash", "timeout", "unreadable",
    # "unknown" (a tool or another machine chooses the interpreter)
    reason: str  # why it is not ok
    told: Told


class ShellCommand(TypedDict, total=False):
    """A command of the shell and its interpreter (part of :class:`Jupyter`)."""

    path: str
    python: str | None
    is_target: bool
    state: str  # as of a kernel; absent where nothing was to be compared
    told: Told


class Jupyter(TypedDict, total=False):
    """The Jupyter kernels of the machine (collected beside the metadata)."""

    kernels: list[Kernel]
    shell: dict[str, ShellCommand]  # "python", "pip", "jupyter", where they exist
    examined: str | None  # the kernel named by --kernel
    launchers: list[dict[str, str]]  # python, prefix and role of each Jupyter looked at


class Imported(TypedDict, total=False):
    """A package of interest that a living kernel has imported (part of :class:`Notebook`)."""

    module: str
    position: int  # in the order of importing, from 0
    distribution: str | None  # normalised name
    imported_version: str | None  # as the module says
    disk_version: str | None  # as the metadata on disk say now; None: gone
    file: str | None
    changed: bool  # its file on disk is newer than the process


class ChangedVariable(TypedDict, total=False):
    """A variable set after the module that reads it at import (part of :class:`Notebook`)."""

    name: str
    before: str | None  # when the extension was loaded, or the process started
    now: str | None
    read_by: str  # the module that was imported before the change


class Notebook(TypedDict, total=False):
    """A living kernel, told from inside by ``%load_ext mtcnn_doctor``."""

    pid: int
    executable: str
    prefix: str
    started: float  # seconds since the epoch
    imported: list[Imported]
    changed_variables: list[ChangedVariable]
    rss_mb: float | None
    peak_rss_mb: float | None
    threads: int | None
    openmp: list[str]  # OpenMP runtimes mapped into the process
    gpu_reserved_mb: float | None  # what torch holds of the GPU for this kernel


class WeightNetwork(TypedDict, total=False):
    """One network in a weight file (part of :class:`WeightFile`)."""

    layout: str  # in whose manner: "mtcnn-1.0", "facenet-pytorch", "caffe", ...
    assumed: bool  # that manner is a guess, which the numbers could correct
    arrays: int
    expected: int
    dtypes: list[str]  # NumPy codes, "<f4"
    missing: list[str]  # canonical names, "conv1.weight"
    wrong: list[dict[str, Any]]  # layer, expected and found shape
    extra: list[str]  # what belongs to no layer, with its shape
    heads: list[str]  # "face", "box", "landmarks" in the file's order
    expected_heads: list[str]
    positional: bool  # a list, without names
    prefix: str  # what stands before the layers' names
    resembles: str | None  # the network whose shapes these are
    complete: bool
    nonfinite: dict[str, int]  # array to how many of its numbers are NaN or infinite
    dead: dict[str, int]  # kernel to how many of its channels are zero
    ranges: dict[str, list[float]]  # array to least, greatest, standard deviation
    slopes_equal: float | None  # the one value of all PReLU slopes
    orientation: str  # "as expected" or "otherwise"
    transposed: bool  # what the numbers speak for
    flatten: str  # "xyc", "cyx", ...
    digest: str  # SHA-256 of the canonical list
    published: bool
    repaired_published: bool  # the published one, if read as the numbers speak for
    layers: list[dict[str, Any]]  # name, equal, correlation, alternative, ...


class WeightFile(TypedDict, total=False):
    """A weight file, taken apart without running anything in it (task ``weights-files``)."""

    path: str
    name: str
    state: str  # "read", or why not: see target/reference/files/raw.py
    reason: str
    package: str  # what is needed to read it
    bytes: int
    sha256: str
    format: str  # the container
    structure: dict[str, Any]  # the outermost object: top, length, keys, of
    globals: list[str]  # names that its pickle asks for
    refused: list[str]  # those that no weight file needs
    calls: list[str]  # those of these that loading would call
    arrays: int
    claims: str | None  # the network that its name speaks of
    unassigned: list[str]
    networks: dict[str, WeightNetwork]


class WeightTrial(TypedDict, total=False):
    """What the networks of weight files find beside the published ones (task ``weights-files``)."""

    images: list[dict[str, Any]]  # faces, candidates, and what each stage kept of the faces
    offsets: dict[str, dict[str, Any] | None]  # network to count, mean and std of its offsets
    unreadable: list[str]
    networks: list[str]  # those that came from the files; the others are the published ones


class LastCrash(TypedDict, total=False):
    """What a dead notebook kernel left behind (``jupyter last-crash``)."""

    pid: int
    executable: str
    version: str
    notebook: str | None
    folder: str
    traces: str  # the folder of its traces
    last_sign: float  # of life, seconds since the epoch
    signal: str | None  # "SIGSEGV"; None where the fault handler had no say
    fatal: str | None  # what the fault handler called it
    python_traceback: list[dict[str, Any]]  # innermost first
    cell: dict[str, Any]  # state ("running", "idle"), number, code, at, imported
    memory: dict[str, Any]  # rss_mb, peak_rss_mb, available_mb, modules; looked at each second
    oom_kills_since: dict[str, int]  # by "cgroup" and "system", where the count has risen


class Settings(TypedDict, total=False):
    """What the user asked for; a fact like any other, so that facts files can be judged later."""

    level: int
    backends: list[str]  # examined
    backends_requested: list[str]  # named on the command line, [] by default
    expect_gpu: bool
    timeout_s: float
    cascade: dict[str, Any]  # min_face_size, scale_factor, thresholds
    # Of `bench` only:
    runs: int
    warmup: int
    device: str
    threads: int | None
    lanes: int | None
    size: list[int] | None  # width, height
    exact_size: bool
    weights: str | None


class Search(TypedDict, total=False):
    """What ``bench --repeat`` and ``--bisect`` found; its keys are in ``report/schema.json``."""

    budget_s: float
    spent_s: float
    interrupted: bool
    repeats: list[dict[str, Any]]
    backends: list[dict[str, Any]]
