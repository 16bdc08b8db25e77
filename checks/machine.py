"""The machine: processor, threads, memory."""

from __future__ import annotations

import math

from mtcnn_doctor.facts import Cpu, Loaded, Memory, Packages, Python, Threads
from mtcnn_doctor.knowledge import cpu_needs
from mtcnn_doctor.model import Findings, check, error, warning

from ._installed import FRAMEWORKS, given, installed, is_loaded, label

_GIB = 1024**3
_X86 = ("x86_64", "amd64", "x64")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def _flags(cpu: Cpu) -> set[str]:
    """Return the processor's features under the names Linux gives them."""
    flags = {flag.lower().replace(".", "_") for flag in cpu.get("flags") or []}
    if "avx1_0" in flags:  # macOS
        flags.add("avx")
    return flags


@check("cpu-instructions", family="machine", title="the processor has what the packages need")
def cpu_instructions(
    cpu: Cpu,
    packages: Packages,
    python: Python | None = None,
    numpy: Loaded | None = None,
    tensorflow: Loaded | None = None,
) -> Findings:
    """Compare the instruction sets of the processor with what the packages need.

    ## What it checks
    On x86-64, whether the processor offers AVX where TensorFlow is installed, and x86-64-v2
    (SSE4.2) where NumPy 2.4 or newer is.

    ## Why it matters
    The program dies of an illegal instruction at import, without a traceback; NumPy refuses with
    a message. It happens on small processors (Atom, Celeron), in virtual machines that offer a
    generic processor, and under translation.

    ## How to fix it
    Let the virtual machine pass the host's processor through, use another machine, or a
    framework with lower needs (ONNX Runtime, torch, OpenCV).

    ## Sources
    - https://www.tensorflow.org/install/pip
    - https://numpy.org/devdocs/building/cpu_simd.html
    - https://github.com/tensorflow/tensorflow/issues/17411
    """
    flags = _flags(cpu)
    machine = (cpu.get("machine") or (python or {}).get("machine") or "").lower()
    # A list without SSE2, which every x86-64 processor has, is no list of features.
    if machine not in _X86 or not flags & {"sse2", "sse4_1", "sse4_2", "avx"}:
        return
    loaded = {"numpy": is_loaded(numpy), "tensorflow": is_loaded(tensorflow)}
    for key, distribution in installed(packages).items():
        needed, name, source = cpu_needs(key, distribution.get("version", ""))
        missing = [flag for flag in needed if flag not in flags]
        framework = next((f for f, keys in FRAMEWORKS.items() if key in keys), "")
        if not missing or loaded.get(framework):
            continue
        yield error(
            f"{label(distribution)} needs a processor with {name}",
            about=key,
            evidence=given(processor=cpu.get("model"), missing=", ".join(missing)),
            effect=f"`import {framework or key}` dies of an illegal instruction or refuses.",
            cause="The published wheels are compiled for newer processors; virtual machines often"
            f" hide features of their host ({source}).",
            fix="Let the virtual machine pass the host's processor through, or use an older"
            " release or another framework.",
            commands=['pip install "numpy<2.4"'] if key == "numpy" else [],
            requires=["python-architecture"],
        )


def _allowed(cpu: Cpu) -> tuple[int, str] | None:
    """Return how many CPUs may be used and what sets the bound."""
    bounds = []
    quota = cpu.get("quota")
    if quota:
        bounds.append((max(1, math.ceil(quota)), f"the control group allows {quota:g}"))
    affinity = cpu.get("affinity")
    if affinity:
        bounds.append((affinity, f"the affinity mask allows {affinity}"))
    logical = cpu.get("logical")
    if logical:
        bounds.append((logical, f"the machine has {logical}"))
    return min(bounds) if bounds else None


@check(
    "thread-oversubscription",
    family="machine",
    title="thread settings stay within the processors allowed",
)
def thread_oversubscription(cpu: Cpu, threads: Threads) -> Findings:
    """Compare thread settings with the processors that may be used.

    ## What it checks
    Whether OMP_NUM_THREADS and its kin ask for more threads than the control group's quota, the
    affinity mask or the machine allow.

    ## Why it matters
    Threads that share a processor wait for each other at every barrier. Under a quota the whole
    process is stopped until the next period: the run gets many times slower and its times jump.

    ## How to fix it
    Set the variables to the number of processors allowed, or unset them.

    ## Sources
    - https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    bound = _allowed(cpu)
    if bound is None:
        return
    allowed, reason = bound
    over = {}
    for name in _THREAD_VARIABLES:
        value = (threads.get("environment") or {}).get(name, "").split(",")[0].strip()
        if value.isdigit() and int(value) > allowed:
            over[name] = int(value)
    if over:
        names = ", ".join(f"{name}={value}" for name, value in over.items())
        noun = "processor" if allowed == 1 else "processors"
        yield warning(
            f"{names} on {allowed} {noun}",
            evidence={**over, "allowed": allowed, "because": reason},
            effect="Threads wait for each other; runs get slower and their times jump.",
            fix=f"Set {' and '.join(over)} to {allowed}, or unset.",
            commands=[f"export {name}={allowed}" for name in over],
        )


@check(
    "container-memory-limit",
    family="machine",
    title="memory is not limited far below what the machine has",
)
def container_memory_limit(memory: Memory) -> Findings:
    """Compare limits on memory with what the machine has.

    ## What it checks
    Whether the control group (a container's limit) or a resource limit allows less than 2 GiB,
    or less than 4 GiB and less than half of what the machine has.

    ## Why it matters
    Tools that show the memory of the machine do not show the limit. A process that exceeds it is
    killed without a traceback (exit code 137), or, under a resource limit, cannot allocate and
    may crash. TensorFlow needs about half a GiB before it has seen an image.

    ## How to fix it
    Raise the limit (``docker run -m 4g``, the memory limit of the pod, ``ulimit -v``), or use a
    framework with a smaller footprint (ONNX Runtime, OpenCV).

    ## Sources
    - https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    total, usage = memory.get("total"), memory.get("cgroup_usage")
    limits = []
    swap = memory.get("cgroup_swap")
    if memory.get("cgroup_limit"):
        limits.append((int(memory["cgroup_limit"] or 0), "the control group"))
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        value = (memory.get("rlimits") or {}).get(name)
        if value:
            limits.append((int(value), name))
    if not limits:
        return
    limit, source = min(limits)
    if total and limit >= total:
        return
    half = total is not None and limit < total / 2
    if limit < 2 * _GIB or (half and limit < 4 * _GIB):
        has = f", of {total / _GIB:.1f} GiB that the machine has" if total else ""
        yield warning(
            f"{source} allows {limit / _GIB:.1f} GiB of memory{has}",
            evidence=given(
                limit=f"{limit / _GIB:.2f} GiB",
                set_by=source,
                used=f"{usage / _GIB:.2f} GiB" if usage and source == "the control group" else None,
                swap_allowed=f"{swap / _GIB:.2f} GiB"
                if swap and source == "the control group"
                else None,
                killed_before=memory.get("oom_kills") or None,
            ),
            effect="A run that needs more is killed without a traceback."
            if source == "the control group"
            else "Allocations beyond it fail, and libraries that do not check crash.",
            fix="Raise the limit, scale images down, or use one framework a process.",
        )
