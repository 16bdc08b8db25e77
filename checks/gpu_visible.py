"""Whether the frameworks see the devices that the driver shows."""

from __future__ import annotations

from mtcnn_doctor.facts import Environment, Gpu, Loaded, Settings
from mtcnn_doctor.model import Findings, check, error, warning

from ._cuda import chosen, devices_text, hides_all, variable, visible_setting
from ._installed import given

#: Root causes: those of all frameworks, and those of the one that does not see the device.
_ROOTS = ("gpu-driver-missing", "cuda-visible-devices")
_OWN_ROOTS = (
    "gpu-driver-too-old:{}",
    "gpu-libraries-missing:{}",
    "gpu-libraries-missing:{} (LD_LIBRARY_PATH)",
    "gpu-cudnn-mismatch:{}",
)


def _obstacle(gpu: Gpu, environment: Environment | None) -> tuple[str, str]:
    """Return what keeps CUDA from devices that the driver shows, and the remedy; "" if unknown."""
    devices = gpu.get("devices") or []
    capabilities = variable(environment, "NVIDIA_DRIVER_CAPABILITIES")
    if capabilities and not {"compute", "all"} & {one.strip() for one in capabilities.split(",")}:
        return (
            f"The container was started with NVIDIA_DRIVER_CAPABILITIES={capabilities}, without"
            " CUDA's part of the driver.",
            "Start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility.",
        )
    if (gpu.get("driver_libraries") or {}).get("libcuda.so.1") == "":
        return (
            "The loader does not find libcuda.so.1, CUDA's part of the driver.",
            "Bring /usr/lib/wsl/lib into the loader's configuration (ldconfig)."
            if gpu.get("wsl")
            else "Install the driver whole, with its libraries for computing.",
        )
    nodes = gpu.get("device_nodes") or []
    if "/dev/nvidiactl" in nodes and "/dev/nvidia-uvm" not in nodes:
        return (
            "There is no /dev/nvidia-uvm, through which CUDA manages memory; NVML does not need"
            " it.",
            "Load its kernel module on the host (nvidia-modprobe -u -c=0, or modprobe nvidia-uvm)"
            " and give the container the device.",
        )
    if devices and all(one.get("mig") and one.get("mig_uuids") == [] for one in devices):
        return (
            "MIG mode is on and no instance was made, so there is nothing to compute on.",
            "Make an instance (nvidia-smi mig -cgi ... -C), or switch MIG mode off.",
        )
    if devices and all(one.get("compute_mode") == "prohibited" for one in devices):
        return (
            "The compute mode of the devices is Prohibited.",
            "Set the mode back: nvidia-smi -c DEFAULT (as root).",
        )
    return "", ""


@check("gpu-not-visible", family="gpu", title="the frameworks see the GPU", level=2)
def gpu_not_visible(
    gpu: Gpu,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    environment: Environment | None = None,
) -> Findings:
    """Find CUDA builds that see no device although the driver does.

    ## What it checks
    Whether a CUDA build of torch or TensorFlow finds the device that the driver shows; and where
    it does not, whether CUDA's library, /dev/nvidia-uvm, an instance of MIG or a compute mode that
    allows computing is missing.

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
        cause, fix = _obstacle(gpu, environment)
        yield error(
            f"{text} does not see {devices_text(gpu)}",
            about=name,
            evidence=evidence,
            effect=f"{name} computes on the CPU.",
            cause=cause,
            fix=fix
            or "Update the driver where it is older than the CUDA of the build; else install the"
            " framework again together with its CUDA libraries, and look for other copies of them"
            " on LD_LIBRARY_PATH.",
            commands=['pip install "tensorflow[and-cuda]"']
            if name == "tensorflow" and not cause
            else [],
            requires=[*_ROOTS, *(root.format(name) for root in _OWN_ROOTS)],
        )


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
    Whether CUDA_VISIBLE_DEVICES hides all devices, or names one that does not exist: indices,
    UUIDs or their beginnings, instances of MIG; entries that are there twice or fit two devices.

    ## Why it matters
    CUDA reads the list up to the first entry that it does not know and hides everything from
    there on. An empty value and -1 hide all devices: a way to ask for the CPU, and a common left
    over of an earlier experiment.

    ## How to fix it
    Unset the variable, or set it to indices or UUIDs that ``nvidia-smi -L`` lists.

    ## Sources
    - https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html
    - https://github.com/pytorch/pytorch/blob/main/torch/cuda/__init__.py
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
    seen, text, position = chosen(value, gpu)
    if not text:
        return
    kind = error if not seen else warning
    yield kind(
        f'CUDA_VISIBLE_DEVICES="{value}": {text}',
        evidence=evidence,
        effect="All frameworks compute on the CPU."
        if not seen
        else f"Only the first {position} of the list are seen.",
        cause=""
        if " twice" in text
        else "CUDA hides every device from the first unknown entry on.",
        fix=fix,
    )
