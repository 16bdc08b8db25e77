"""Whether the frameworks see the devices that the driver shows."""

from __future__ import annotations

from collections.abc import Iterator

from mtcnn_doctor.facts import Environment, Gpu, Loaded, Settings
from mtcnn_doctor.model import Findings, check, error, warning

from ._cuda import devices_text, hides_all, visible_setting
from ._installed import given

_ROOTS = (
    "gpu-driver-missing",
    "gpu-driver-too-old",
    "gpu-libraries-missing",
    "gpu-arch-unsupported",
    "cuda-visible-devices",
)


@check("gpu-not-visible", family="gpu", title="the frameworks see the GPU", level=2)
def gpu_not_visible(
    gpu: Gpu,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    environment: Environment | None = None,
) -> Findings:
    """Find CUDA builds that see no device although the driver does.

    ## What it checks
    Whether a CUDA build of torch or TensorFlow finds the device that the driver shows.

    ## Why it matters
    The framework goes on on the CPU, many times slower, without an error.

    ## How to fix it
    Read what the framework said (in the evidence): most often the driver is older than the CUDA
    of the build, CUDA libraries are missing, or another copy of them is found first through
    LD_LIBRARY_PATH.

    ## Sources
    - https://github.com/tensorflow/tensorflow/issues/63362
    - https://github.com/pytorch/pytorch/issues/111469
    """
    if not gpu.get("devices") or hides_all(visible_setting(environment)):
        return
    rows = []
    build = (torch or {}).get("build") or {}
    if build.get("cuda") and build.get("cuda_available") is False:
        said = "; ".join(build.get("warnings") or [])
        rows.append(("torch", f"torch (CUDA {build['cuda']})", said))
    build = (tensorflow or {}).get("build") or {}
    if build.get("is_cuda_build") and build.get("devices") == []:
        said = ((tensorflow or {}).get("stderr_tail") or "")[-400:]
        rows.append(("tensorflow", f"TensorFlow (CUDA {build.get('cuda_version', '?')})", said))
    for name, text, said in rows:
        evidence = given(
            devices=devices_text(gpu),
            driver=gpu.get("driver_version"),
            CUDA_of_the_driver=gpu.get("cuda_driver_version"),
            it_says=said or None,
        )
        yield error(
            f"{text} does not see {devices_text(gpu)}",
            about=name,
            evidence=evidence,
            effect=f"{name} computes on the CPU.",
            fix="Update the driver where it is older than the CUDA of the build; else install the"
            " framework again together with its CUDA libraries, and look for other copies of them"
            " on LD_LIBRARY_PATH.",
            commands=['pip install "tensorflow[and-cuda]"'] if name == "tensorflow" else [],
            requires=_ROOTS,
        )


def _unknown_entry(entry: str, gpu: Gpu) -> str | None:
    """Return what is wrong with an entry of CUDA_VISIBLE_DEVICES, None if nothing is."""
    devices = gpu.get("devices") or []
    if entry.isdigit():
        if int(entry) < len(devices):
            return None
        return f"{entry} is not among the indices 0 to {len(devices) - 1}"
    if entry.startswith("GPU-"):
        if any((device.get("uuid") or "").startswith(entry) for device in devices):
            return None
        return f"no device has the UUID {entry}"
    if entry.startswith("MIG-"):
        parts = [uuid for device in devices for uuid in device.get("mig_uuids") or []]
        # Drivers before R470 name instances after their card: MIG-GPU-<uuid>/<gi>/<ci>.
        if entry.startswith("MIG-GPU-") or any(uuid.startswith(entry) for uuid in parts):
            return None
        return f"no MIG instance has the UUID {entry}"
    return f"{entry!r} is neither an index nor a UUID"


def _faults(value: str, gpu: Gpu) -> Iterator[tuple[int, str]]:
    for position, entry in enumerate(value.split(",")):
        fault = _unknown_entry(entry.strip(), gpu)
        if fault:
            yield position, fault


@check(
    "cuda-visible-devices",
    family="gpu",
    title="CUDA_VISIBLE_DEVICES names devices that exist",
)
def cuda_visible_devices(
    gpu: Gpu, environment: Environment, settings: Settings | None = None
) -> Findings:
    """Judge the variable CUDA_VISIBLE_DEVICES.

    ## What it checks
    Whether CUDA_VISIBLE_DEVICES hides all devices, or names one that does not exist.

    ## Why it matters
    CUDA reads the list up to the first entry that it does not know and hides everything from
    there on. An empty value and -1 hide all devices: a way to ask for the CPU, and a common left
    over of an earlier experiment.

    ## How to fix it
    Unset the variable, or set it to indices or UUIDs that ``nvidia-smi -L`` lists.

    ## Sources
    - https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#env-vars
    """
    value = visible_setting(environment)
    if value is None or not gpu.get("devices"):
        return
    expected = bool(settings and settings.get("expect_gpu"))
    evidence = {"CUDA_VISIBLE_DEVICES": value, "devices": len(gpu["devices"])}
    fix = "Unset the variable, or set it to what `nvidia-smi -L` lists."
    if hides_all(value):
        kind = error if expected else warning
        yield kind(
            f'CUDA_VISIBLE_DEVICES="{value}" hides every GPU',
            evidence=evidence,
            effect="All frameworks compute on the CPU.",
            fix=f"If that is not what you want: {fix[0].lower()}{fix[1:]}",
        )
        return
    faults = list(_faults(value, gpu))
    if not faults:
        return
    position, text = faults[0]
    kind = error if position == 0 else warning
    yield kind(
        f'CUDA_VISIBLE_DEVICES="{value}": {text}',
        evidence=evidence,
        effect="All frameworks compute on the CPU."
        if position == 0
        else f"Only the first {position} of the list are seen.",
        cause="CUDA hides every device from the first unknown entry on.",
        fix=fix,
    )
