"""Accelerators: whether there is one, and whether the frameworks can use it."""

from __future__ import annotations

from collections.abc import Iterator

from mtcnn_doctor.facts import Environment, Gpu, Loaded, Packages, Python, Settings
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._installed import given, installed, label, local_label

_NO_DRIVER = ("no-driver", "no-library")
_HIDE_ALL = ("", "-1", "none", "nodevfiles")


def _devices_text(gpu: Gpu) -> str:
    names = [device.get("name") or "unnamed" for device in gpu.get("devices") or []]
    return ", ".join(dict.fromkeys(names))


def _visible_setting(environment: Environment | None) -> str | None:
    """Return CUDA_VISIBLE_DEVICES, None where it is not set."""
    variables = (environment or {}).get("variables") or {}
    value = variables.get("CUDA_VISIBLE_DEVICES")
    return None if value is None else value.strip()


def _hides_all(value: str | None) -> bool:
    return value is not None and value.lower() in _HIDE_ALL


def _cuda_builds(
    packages: Packages | None, torch: Loaded | None, tensorflow: Loaded | None
) -> list[tuple[str, str]]:
    """Return the frameworks that are CUDA builds, each with its CUDA release where known."""
    found = []
    torch_build = (torch or {}).get("build") or {}
    tensorflow_build = (tensorflow or {}).get("build") or {}
    present = installed(packages) if packages else {}
    if "cuda" in torch_build:
        if torch_build["cuda"]:
            found.append(("torch", str(torch_build["cuda"])))
    elif "torch" in present and local_label(present["torch"].get("version")).startswith("cu"):
        found.append(("torch", local_label(present["torch"].get("version"))))
    if tensorflow_build.get("is_cuda_build"):
        found.append(("tensorflow", str(tensorflow_build.get("cuda_version") or "")))
    if "onnxruntime-gpu" in present:
        found.append(("onnxruntime-gpu", ""))
    return found


def _cpu_builds(
    packages: Packages | None, torch: Loaded | None, tensorflow: Loaded | None
) -> list[tuple[str, str]]:
    """Return the frameworks that are known to be CPU builds, each with its name and version."""
    found = []
    present = installed(packages) if packages else {}
    build = (torch or {}).get("build") or {}
    version = (torch or {}).get("version") or present.get("torch", {}).get("version")
    if "cuda" in build:
        if not build["cuda"] and not build.get("hip"):
            found.append(("torch", f"torch {version}"))
    elif "torch" in present and local_label(version) == "cpu":
        found.append(("torch", f"torch {version}"))
    build = (tensorflow or {}).get("build") or {}
    if build.get("is_cuda_build") is False and not build.get("is_rocm_build"):
        found.append(("tensorflow", f"TensorFlow {(tensorflow or {}).get('version')}"))
    elif "is_cuda_build" not in build and "tensorflow-cpu" in present:
        found.append(("tensorflow", label(present["tensorflow-cpu"])))
    return found


@check("gpu-none", family="gpu", title="an accelerator is there")
def gpu_none(
    gpu: Gpu,
    settings: Settings | None = None,
    torch: Loaded | None = None,
    python: Python | None = None,
) -> Findings:
    """Say when there is no accelerator.

    ## What it checks
    Whether the NVIDIA driver, the PCI bus or the device nodes show an accelerator, or torch has
    one of Apple's.

    ## Why it matters
    MTCNN runs well on a CPU, so this is only told. It is an error where a GPU was expected
    (``--expect-gpu``).

    ## How to fix it
    Nothing needs to be done. Where a GPU was expected: check that the machine has one and that a
    container was started with access to it (``--gpus all``).

    ## Sources
    - https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    """
    if gpu.get("devices") or {"nvidia", "amd"} & set(gpu.get("pci_vendors") or []):
        return
    build = (torch or {}).get("build") or {}
    if build.get("cuda_available") or (build.get("mps") or {}).get("available"):
        return
    if gpu.get("device_nodes") or gpu.get("nvml") == "error":
        return  # something is there that does not answer: another check's case
    is_apple = python is not None and python.get("platform") == "darwin"
    if is_apple and python is not None and python.get("machine") == "arm64":
        return  # every Apple processor of this kind has a GPU
    expected = bool(settings and settings.get("expect_gpu"))
    if expected:
        yield error(
            "no GPU was found, and one was expected",
            evidence=given(driver=gpu.get("nvml"), answer=gpu.get("nvml_error")),
            effect="Everything runs on the CPU.",
            cause="The machine has none, or the container was started without access to it.",
            fix="Check nvidia-smi on the host; start the container with --gpus all.",
        )
    else:
        yield info(
            "no GPU: everything runs on the CPU",
            evidence=given(driver=gpu.get("nvml")),
        )


@check("gpu-driver-missing", family="gpu", title="the GPU driver answers")
def gpu_driver_missing(
    gpu: Gpu,
    settings: Settings | None = None,
    packages: Packages | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
) -> Findings:
    """Tell a missing or broken driver.

    ## What it checks
    Whether the NVIDIA management library answers, where a framework is a CUDA build or a card is
    on the bus.

    ## Why it matters
    Without a driver a CUDA build computes on the CPU, and says so only when a device is asked
    for by name. An error where a card is there or a GPU was expected; where there is none, it is
    only told that the build is larger than it need be.

    ## How to fix it
    Install the driver of the card. After an upgrade of the driver restart the machine, or load
    the kernel module anew: library and module must be of one release. In WSL install the driver
    in Windows only.

    ## Sources
    - https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    """
    state = gpu.get("nvml")
    expected = bool(settings and settings.get("expect_gpu"))
    has_card = "nvidia" in (gpu.get("pci_vendors") or []) or bool(
        [node for node in gpu.get("device_nodes") or [] if "nvidia" in node]
    )
    builds = _cuda_builds(packages, torch, tensorflow)
    names = ", ".join(name for name, _ in builds)
    evidence = given(
        driver=gpu.get("nvml_error"), CUDA_builds=names or None, card_on_the_bus=has_card
    )
    if state == "error":
        kind = error if builds or expected else info
        yield kind(
            f"the NVIDIA driver does not answer: {gpu.get('nvml_error', 'unknown error')}",
            evidence=evidence,
            effect="No framework can use the GPU.",
            cause="Library and kernel module of the driver are of different releases, or the"
            " device is lost."
            if "mismatch" in (gpu.get("nvml_error") or "").lower()
            else "",
            fix="Restart the machine; if that does not help, install the driver again.",
        )
    elif state in _NO_DRIVER and has_card and (builds or expected):
        yield error(
            "an NVIDIA card is there and its driver is not",
            evidence=evidence,
            effect="CUDA builds compute on the CPU.",
            fix="Install the NVIDIA driver, or give the container access to the one of the host.",
        )
    elif state in _NO_DRIVER and has_card:
        yield info(
            "an NVIDIA card is there and its driver is not; no CUDA build needs it",
            evidence=evidence,
        )
    elif state in _NO_DRIVER and builds and not expected:
        yield info(
            f"{names} is a CUDA build and there is no NVIDIA driver: it runs on the CPU",
            evidence=evidence,
            effect="Nothing fails; a CPU build would be smaller.",
        )


@check("gpu-cpu-only-build", family="gpu", title="the frameworks are builds for the GPU")
def gpu_cpu_only_build(
    gpu: Gpu,
    packages: Packages | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    settings: Settings | None = None,
) -> Findings:
    """Find CPU builds on a machine with a GPU.

    ## What it checks
    Whether torch and TensorFlow are CPU builds although the driver shows an NVIDIA device.

    ## Why it matters
    A CPU build never uses the device, whatever the code asks for. It is installed silently: on
    Windows PyPI has no other torch, and an index for the CPU stays in the configuration of pip.
    Where another framework does use the GPU this is only told.

    ## How to fix it
    Install the CUDA build, unless the CPU is what you want.

    ## Sources
    - https://www.technolynx.com/post/torch-version-cuda-explained
    - https://www.tensorflow.org/install/pip
    """
    if not gpu.get("devices"):
        return
    another = bool(_cuda_builds(packages, torch, tensorflow))
    expected = bool(settings and settings.get("expect_gpu"))
    kind = info if another and not expected else warning
    for name, text in _cpu_builds(packages, torch, tensorflow):
        commands = (
            [
                "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126"
            ]
            if name == "torch"
            else ['pip install "tensorflow[and-cuda]"']
        )
        yield kind(
            f"{text} is a CPU build, and {_devices_text(gpu)} is here",
            about=name,
            evidence={"devices": _devices_text(gpu), "build": text},
            effect=f"{name} computes on the CPU.",
            fix="Install the CUDA build, unless the CPU is what you want.",
            commands=commands,
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
    if not gpu.get("devices") or _hides_all(_visible_setting(environment)):
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
            devices=_devices_text(gpu),
            driver=gpu.get("driver_version"),
            CUDA_of_the_driver=gpu.get("cuda_driver_version"),
            it_says=said or None,
        )
        yield error(
            f"{text} does not see {_devices_text(gpu)}",
            about=name,
            evidence=evidence,
            effect=f"{name} computes on the CPU.",
            fix="Update the driver where it is older than the CUDA of the build; else install the"
            " framework again together with its CUDA libraries, and look for other copies of them"
            " on LD_LIBRARY_PATH.",
            commands=['pip install "tensorflow[and-cuda]"'] if name == "tensorflow" else [],
            requires=["gpu-driver-missing", "gpu-driver-too-old", "cuda-visible-devices"],
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
    value = _visible_setting(environment)
    if value is None or not gpu.get("devices"):
        return
    expected = bool(settings and settings.get("expect_gpu"))
    evidence = {"CUDA_VISIBLE_DEVICES": value, "devices": len(gpu["devices"])}
    fix = "Unset the variable, or set it to what `nvidia-smi -L` lists."
    if _hides_all(value):
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


@check("pynvml-deprecated", family="gpu", title="NVML is reached through nvidia-ml-py")
def pynvml_deprecated(packages: Packages) -> Findings:
    """Find the deprecated binding of NVML.

    ## What it checks
    Whether the distribution pynvml is installed, and whether beside nvidia-ml-py.

    ## Why it matters
    Up to 11.5 pynvml was a package of its own that writes a module of the same name as
    nvidia-ml-py; with both installed it is chance which one is imported. Later releases are
    empty shells, for which torch prints a warning: that is only told.

    ## How to fix it
    Uninstall pynvml and install nvidia-ml-py, whose module has the same name.

    ## Sources
    - https://github.com/mlco2/codecarbon/issues/933
    """
    present = installed(packages)
    old = present.get("pynvml")
    if old is None:
        return
    both = "nvidia-ml-py" in present
    own_module = (old.get("version") or "").split(".")[0] in ("8", "11")
    kind = warning if both and own_module else info
    yield kind(
        f"{label(old)} is deprecated"
        + (" and overwrites the module of nvidia-ml-py" if both and own_module else ""),
        about="pynvml",
        evidence={
            "pynvml": old.get("version"),
            "nvidia-ml-py": present.get("nvidia-ml-py", {}).get("version", "not installed"),
        },
        effect="Which of the two is imported depends on the order of installation."
        if both and own_module
        else "torch prints a FutureWarning when it is imported.",
        fix="Uninstall pynvml, then install nvidia-ml-py.",
        commands=["pip install --force-reinstall nvidia-ml-py"],
    )
