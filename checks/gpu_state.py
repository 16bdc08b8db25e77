"""How the devices are: their memory, who holds it, and their health."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtcnn_doctor.facts import Environment, Gpu, GpuDevice, Loaded, Packages, Settings
from mtcnn_doctor.model import Finding, Findings, check, error, info, warning

from ._cuda import cuda_builds, hides_all, variable, visible_setting
from ._installed import given, joined

_GIB = 2**30
#: A CUDA context with the libraries of a framework takes 0.3 to 0.6 GiB before the first image.
_NO_ROOM, _LITTLE_ROOM = int(0.5 * _GIB), int(1.0 * _GIB)
#: What the driver calls the reasons for slower clocks that somebody should look into.
_SLOWED = {
    "hardware-thermal": "it is too hot",
    "software-thermal": "it is too hot",
    "hardware-power-brake": "the power supply asks for it",
    "hardware-slowdown": "heat or power, as the hardware sees it",
}


def _name(device: GpuDevice) -> str:
    return f"GPU {device.get('index', '?')} ({device.get('name') or 'unnamed'})"


def _holders(device: GpuDevice) -> list[str]:
    """Return the processes that hold memory of a device, the largest first."""
    return [
        f"{row.get('name') or 'process'} {row.get('pid')}"
        + (f" ({row['memory'] / _GIB:.1f} GiB)" if row.get("memory") else "")
        for row in device.get("processes") or []
    ]


@check("gpu-memory-low", family="gpu", title="the GPU has memory to spare")
def gpu_memory_low(
    gpu: Gpu,
    packages: Packages | None = None,
    environment: Environment | None = None,
    settings: Settings | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
) -> Findings:
    """Compare the free memory of the devices with what a run needs at least.

    ## What it checks
    Whether a device has less than 0.5 GiB free (a CUDA context and the libraries of a framework
    alone take 0.3 to 0.6 GiB), or less than 1 GiB, where a framework is a CUDA build. Names the
    processes that hold the memory, as far as the driver tells: in a container it does not.

    ## Why it matters
    The run ends with CUDA out of memory at its first allocation, or with an initialisation error
    of cuBLAS or cuDNN that does not speak of memory.

    ## How to fix it
    End the processes that hold the memory (a notebook's kernel holds it until it is shut down),
    choose another device with CUDA_VISIBLE_DEVICES, or compute on the CPU.

    ## Sources
    - https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
    """
    expected = bool(settings and settings.get("expect_gpu"))
    if not expected and not cuda_builds(packages, torch, tensorflow):
        return
    value = visible_setting(environment)
    if hides_all(value):
        return
    chosen = {part.strip() for part in value.split(",")} if value else set()
    for device in gpu.get("devices") or []:
        free = device.get("memory_free")
        index, uuid = str(device.get("index")), device.get("uuid") or ""
        if free is None or free >= _LITTLE_ROOM or device.get("mig"):
            continue
        if chosen and index not in chosen and not any(uuid.startswith(one) for one in chosen):
            continue
        holders = _holders(device)
        kind = error if free < _NO_ROOM else warning
        yield kind(
            f"{_name(device)} has {free / _GIB:.2f} GiB of memory free",
            about=index,
            evidence=given(
                total=_gib(device.get("memory_total")),
                held_by=joined(holders, 5) or None,
                the_driver_says=(device.get("unanswered") or {}).get("processes"),
            ),
            effect="A run needs 0.3 to 0.6 GiB before its first image, and ends with an"
            " out-of-memory error, or one of cuBLAS or cuDNN.",
            fix=(f"End what holds the memory: {joined(holders, 3)}; or " if holders else "")
            + "choose another device with CUDA_VISIBLE_DEVICES, or compute on the CPU.",
        )


def _gib(count: int | None) -> str | None:
    return None if count is None else f"{count / _GIB:.1f} GiB"


@check("gpu-memory-growth", family="gpu", title="TensorFlow leaves GPU memory to others", level=2)
def gpu_memory_growth(
    gpu: Gpu,
    tensorflow: Loaded,
    packages: Packages | None = None,
    environment: Environment | None = None,
    torch: Loaded | None = None,
) -> Findings:
    """Say when TensorFlow will take all of a card that others use, too.

    ## What it checks
    Whether TensorFlow sees a device, would take nearly all of its free memory (neither
    TF_FORCE_GPU_ALLOW_GROWTH nor TF_GPU_ALLOCATOR says otherwise), and another process holds
    memory of it (a warning) or a CUDA build of torch is installed beside it (only told).

    ## Why it matters
    TensorFlow takes the memory of the whole card with its first operation and keeps it. Whoever
    comes after, torch in the same program for instance, meets an out-of-memory error.

    ## How to fix it
    Set TF_FORCE_GPU_ALLOW_GROWTH=true, or call ``tf.config.experimental.set_memory_growth`` for
    each device before the first operation.

    ## Sources
    - https://www.tensorflow.org/guide/gpu#limiting_gpu_memory_growth
    """
    builds = {build.name: build for build in cuda_builds(packages, torch, tensorflow)}
    if "tensorflow" not in builds or not builds["tensorflow"].sees_devices:
        return
    growth = (variable(environment, "TF_FORCE_GPU_ALLOW_GROWTH") or "").lower()
    if growth in ("true", "1") or variable(environment, "TF_GPU_ALLOCATOR") == "cuda_malloc_async":
        return
    held = [holder for device in gpu.get("devices") or [] for holder in _holders(device)]
    if not held and "torch" not in builds:
        return
    kind = warning if held else info
    yield kind(
        "TensorFlow takes the memory of the whole GPU, and "
        + (f"{joined(held, 2)} uses it, too" if held else "torch is here, too"),
        about="tensorflow",
        evidence=given(others=joined(held, 5) or builds["torch"].text),
        effect="Whoever asks for memory after TensorFlow's first operation gets none.",
        fix="Set TF_FORCE_GPU_ALLOW_GROWTH=true, or call tf.config.experimental.set_memory_growth"
        " for each device before the first operation.",
        commands=["export TF_FORCE_GPU_ALLOW_GROWTH=true"],
    )


@check("gpu-fault", family="gpu", title="the GPUs are in good health")
def gpu_fault(gpu: Gpu) -> Findings:
    """Find devices that are broken, or slowed down by heat or power.

    ## What it checks
    Devices that the driver cannot describe ("GPU is lost"); uncorrected memory errors since the
    driver was loaded; rows or pages of memory that wait to be replaced, or could not be; clocks
    that are held back by heat or the power supply at this moment. Errors that were corrected, and
    a card at its power limit, are normal.

    ## Why it matters
    Uncorrected errors end programs, or make their results wrong. A card that is too hot computes
    at a fraction of its speed.

    ## How to fix it
    Reset the GPU or restart the machine where memory waits to be replaced; have the card examined
    where it cannot be. Mend the cooling where it is too hot.

    ## Sources
    - https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html
    - https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html
    """
    for device in gpu.get("devices") or []:
        yield from _broken(device)
        yield from _slowed(device)


def _broken(device: GpuDevice) -> Iterator[Finding]:
    index = str(device.get("index"))
    ecc = device.get("ecc_errors") or {}
    rows: dict[str, Any] = device.get("remapped_rows") or {}
    pages: dict[str, Any] = device.get("retired_pages") or {}
    uncorrected = ecc.get("uncorrected_volatile") or 0
    evidence = given(
        uncorrected_errors=uncorrected or None,
        uncorrected_errors_ever=ecc.get("uncorrected_aggregate") or None,
        replaced_rows=rows.get("uncorrected") or None,
        retired_pages=pages.get("double_bit") or None,
    )
    if device.get("error"):
        yield error(
            f"the driver cannot describe {_name(device)}: {device['error']}",
            about=index,
            effect="Programs that use it fail or hang.",
            fix="See what the kernel says (dmesg: NVRM, Xid); reset the GPU, or restart.",
        )
    elif rows.get("failed"):
        yield error(
            f"{_name(device)} has bad memory that could not be replaced",
            about=index,
            evidence=evidence,
            effect="Programs die of memory errors, or their results are wrong.",
            fix="Have the card examined; it is a case for its warranty.",
        )
    elif uncorrected:
        yield error(
            f"{_name(device)} met {uncorrected} uncorrected memory errors since its driver was"
            " loaded",
            about=index,
            evidence=evidence,
            effect="Programs die of memory errors.",
            fix="Reset the GPU or restart the machine; have the card examined if they come back.",
        )
    elif rows.get("pending") or pages.get("pending"):
        yield warning(
            f"{_name(device)} waits for a reset to take bad memory out of use",
            about=index,
            evidence=evidence,
            effect="Until then programs may meet that memory.",
            fix="Reset the GPU (nobody may be using it) or restart the machine.",
        )


def _slowed(device: GpuDevice) -> Iterator[Finding]:
    reasons = [reason for reason in device.get("throttle_reasons") or [] if reason in _SLOWED]
    if not reasons:
        return
    yield warning(
        f"{_name(device)} slows itself down: {_SLOWED[reasons[0]]}",
        about=f"{device.get('index')} (clocks)",
        evidence=given(
            reasons=", ".join(reasons),
            temperature=device.get("temperature"),
            slows_down_from=device.get("temperature_slowdown"),
        ),
        effect="It computes at a fraction of its speed, and measurements mean little.",
        fix="Mend the cooling or the power supply, or wait until it has cooled down.",
    )
