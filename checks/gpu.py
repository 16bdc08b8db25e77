"""Accelerators: whether there is one, and whether the frameworks can use it."""

from __future__ import annotations

from mtcnn_doctor.facts import Environment, Gpu, Loaded, Packages, Python, Settings
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._cuda import cuda_builds, devices_text, variable
from ._installed import given, installed, label, local_label

_NO_DRIVER = ("no-driver", "no-library")
_SILENT = ("error", "no-answer")


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
    if gpu.get("device_nodes") or gpu.get("nvml") in _SILENT:
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
    environment: Environment | None = None,
) -> Findings:
    """Tell a missing or broken driver.

    ## What it checks
    Whether the NVIDIA management library answers, where a framework is a CUDA build or a card is
    on the bus. The driver is asked in a process of its own with a time limit; one that hangs, or
    kills that process, is told with the function that it was asked last.

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
    builds = cuda_builds(packages, torch, tensorflow)
    names = ", ".join(build.name for build in builds)
    evidence = given(
        driver=gpu.get("nvml_error"), CUDA_builds=names or None, card_on_the_bus=has_card
    )
    if state == "no-answer":
        kind = error if builds or expected else warning
        yield kind(
            f"the NVIDIA driver gives no answer: {gpu.get('nvml_error', '')}",
            evidence=evidence,
            effect="A program that asks the GPU may hang or die like this one.",
            cause="The driver waits for a device that is lost or being reset, or its library and"
            " kernel module do not fit together.",
            fix="See what the kernel says (dmesg: NVRM, Xid); restart the machine, or the driver's"
            " services. CUDA_VISIBLE_DEVICES=-1 keeps programs off the GPU until then.",
        )
    elif state == "error":
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
        cause, fix = _without_driver(gpu, environment)
        yield error(
            "an NVIDIA card is there and its driver is not",
            evidence=evidence,
            effect="CUDA builds compute on the CPU.",
            cause=cause,
            fix=fix,
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


def _without_driver(gpu: Gpu, environment: Environment | None) -> tuple[str, str]:
    """Return why a card may be there without a driver, and what to do about it."""
    hidden = variable(environment, "NVIDIA_VISIBLE_DEVICES")
    if gpu.get("wsl"):
        return (
            "WSL gets the driver's libraries from Windows, in /usr/lib/wsl/lib.",
            "Install the NVIDIA driver in Windows, and none in the distribution; keep"
            " /usr/lib/wsl/lib in the loader's configuration (ldconfig).",
        )
    if gpu.get("container"):
        told = f" (NVIDIA_VISIBLE_DEVICES={hidden})" if hidden in ("void", "none", "") else ""
        return (
            f"The container was started without access to the driver of its host{told}.",
            "Start it with the NVIDIA container toolkit: docker run --gpus all.",
        )
    if gpu.get("jetson"):
        return (
            "This is a Jetson: its driver is part of JetPack.",
            "Install JetPack's packages, and the frameworks' builds for it, not those of PyPI.",
        )
    return "", "Install the NVIDIA driver, and restart the machine."


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
    another = bool(cuda_builds(packages, torch, tensorflow))
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
            f"{text} is a CPU build, and {devices_text(gpu)} is here",
            about=name,
            evidence={"devices": devices_text(gpu), "build": text},
            effect=f"{name} computes on the CPU.",
            fix="Install the CUDA build, unless the CPU is what you want.",
            commands=commands,
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
