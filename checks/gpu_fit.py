"""Whether driver, device and CUDA libraries go with what the frameworks were built for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mtcnn_doctor.facts import Environment, Gpu, Loaded, Packages, Python
from mtcnn_doctor.knowledge.gpus import (
    cuda_of_driver,
    driver_needed,
    has_code_for,
    runs,
    torch_wheel,
    torch_wheels,
)
from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._cuda import Build, cuda_builds, variable
from ._installed import given, joined, local_label

_CUDA_LIBRARY = re.compile(
    r"\b(lib(?:cuda|cudart|cublas|cublasLt|cudnn\w*|cufft|curand|cusolver|cusparse|cupti|nccl|nvrtc"
    r"|nvJitLink)\.so(?:\.\d+)*)"
)
_NOT_FOUND = re.compile(
    r"cannot open shared object file|Could not load dynamic library|Cannot dlopen some GPU"
)
#: How TensorFlow tells of a cuDNN that is older than the one it was compiled with.
_CUDNN_LOADED = re.compile(
    r"Loaded runtime CuDNN library: ([\d.]+) but source was compiled with: ([\d.]+)"
)


@check("gpu-driver-too-old", family="gpu", title="the driver is new enough for the frameworks")
def gpu_driver_too_old(
    gpu: Gpu,
    packages: Packages | None = None,
    python: Python | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
) -> Findings:
    """Compare the driver with the CUDA that the frameworks were built for.

    ## What it checks
    Whether the driver's own CUDA release (told by the driver, else by its branch) runs what torch
    and TensorFlow were built for. A driver runs builds of its own major release of CUDA, whatever
    their minor one, and of all older ones. A framework that sees the device is not questioned.

    ## Why it matters
    The framework says at most a warning ("The NVIDIA driver on your system is too old") and
    computes on the CPU, or fails with "CUDA driver version is insufficient for CUDA runtime
    version" at the first call.

    ## How to fix it
    Update the driver, or install a build for the older CUDA.

    ## Sources
    - https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    - https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html
    """
    driver = gpu.get("driver_version")
    own = gpu.get("cuda_driver_version") or cuda_of_driver(driver)
    if not gpu.get("devices") or not own:
        return
    windows = bool(gpu.get("wsl")) or (python or {}).get("platform") == "win32"
    for build in cuda_builds(packages, torch, tensorflow):
        if build.sees_devices or runs(own, build.cuda):
            continue
        needed = driver_needed(build.cuda, windows)
        yield error(
            f"driver {driver or '?'} (CUDA {own}) is too old for {build.text}, built for CUDA"
            f" {build.cuda}",
            about=build.name,
            evidence=given(driver=driver, CUDA_of_the_driver=own, CUDA_of_the_build=build.cuda),
            effect=f"{build.name} computes on the CPU, or fails at its first call to the GPU.",
            fix=(f"Update the driver to {needed} or newer" if needed else "Update the driver")
            + f", or install a build for CUDA {own.split('.')[0]}.",
            commands=_older_build(build, own),
            alternatives=True,
        )


def _older_build(build: Build, own: str) -> list[str]:
    """Return the command for a torch that the driver runs."""
    if build.name != "torch":
        return []
    for wheel in torch_wheels():
        for variant in wheel.variants:
            if runs(own, f"{variant[2:-1]}.{variant[-1]}"):
                return [_install(wheel.releases, variant)]
    return []


def _install(releases: str, variant: str) -> str:
    return f'pip install "torch{releases}" --index-url https://download.pytorch.org/whl/{variant}'


@check(
    "gpu-arch-unsupported",
    family="gpu",
    title="the frameworks hold code for the GPU's architecture",
)
def gpu_arch_unsupported(
    gpu: Gpu,
    packages: Packages | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
) -> Findings:
    """Compare the compute capability of the devices with what was compiled into the frameworks.

    ## What it checks
    The compute capability of each device against the list that torch (``get_arch_list()``) and
    TensorFlow (``get_build_info()``) give, or, where torch was not imported, against what is
    known of its build. Code runs on devices of the same major capability and the same or a higher
    minor one; PTX code on everything newer.

    ## Why it matters
    The device is seen and the first computation fails: "no kernel image is available for
    execution on the device" (PyTorch), often long after the start. It happens with cards newer
    than the release, and with old ones that newer releases have dropped.

    ## How to fix it
    Install a build that holds code for the card: a newer release for a new card, an older release
    or the build for an older CUDA for an old one.

    ## Sources
    - https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#binary-compatibility
    - https://github.com/pytorch/pytorch/blob/main/RELEASE.md
    """
    for build in cuda_builds(packages, torch, tensorflow):
        compiled, ptx, known_by = _compiled(build)
        if not compiled:
            continue
        for device in gpu.get("devices") or []:
            capability = str(device.get("compute_capability") or "")
            if not capability or has_code_for(capability, compiled, ptx):
                continue
            fix, commands = _for_card(build, capability)
            yield error(
                f"{build.text} holds no code for {device.get('name') or 'the GPU'}"
                f" (compute capability {capability})",
                about=f"{build.name}:{device.get('index', 0)}",
                evidence=given(
                    compute_capability=capability,
                    compiled_for=", ".join((*compiled, *(f"{one} (PTX)" for one in ptx))),
                    known_by=known_by,
                ),
                effect="The first computation on it fails: no kernel image is available for"
                " execution on the device.",
                fix=fix,
                commands=commands,
            )


def _compiled(build: Build) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return the capabilities that were compiled, those of PTX code, and who says so."""
    told = build.facts.get("arch_list") or build.facts.get("cuda_compute_capabilities")
    if isinstance(told, (list, tuple)) and told:
        found: dict[str, list[str]] = {"sm": [], "compute": []}
        for name in told:
            # "sm_86", "sm_90a", "compute_90"; "compute_90a" is translated for no newer card.
            match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", str(name))
            if match and not (match[1] == "compute" and match[4]):
                found[match[1]].append(f"{match[2]}.{match[3]}")
        return tuple(found["sm"]), tuple(found["compute"]), f"{build.name} itself"
    if build.name != "torch" or not build.cuda:
        return (), (), ""
    label = local_label(build.version) or f"cu{build.cuda.replace('.', '')}"
    wheel = torch_wheel(build.version, label)
    return (wheel.capabilities, wheel.ptx, wheel.source) if wheel else ((), (), "")


def _for_card(build: Build, capability: str) -> tuple[str, list[str]]:
    """Return what to do about a card without code, and the command where one is known."""
    if build.name == "torch":
        for wheel in torch_wheels():
            if has_code_for(capability, wheel.capabilities, wheel.ptx) and wheel.variants:
                variant = wheel.variants[0]
                return (
                    f"Install a torch with code for it: {wheel.releases}, built for {variant}.",
                    [_install(wheel.releases, variant)],
                )
    return (
        "Install a release with code for this card (a newer one for a new card, an older one for"
        " an old card), or compute on the CPU.",
        [],
    )


@check("gpu-libraries-missing", family="gpu", title="the frameworks find their CUDA libraries")
def gpu_libraries_missing(
    gpu: Gpu,
    packages: Packages | None = None,
    environment: Environment | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
) -> Findings:
    """Find CUDA libraries that a framework could not load, or that come from elsewhere.

    ## What it checks
    What the loader said when torch was imported, when TensorFlow looked for its GPU libraries and
    when the library of ONNX Runtime's CUDA provider was loaded; and from where the CUDA libraries
    in the process really came: a folder of LD_LIBRARY_PATH goes before those that pip installed.

    ## Why it matters
    TensorFlow and ONNX Runtime go on on the CPU, many times slower, and say so in one line among
    many; torch does not load at all. A foreign copy of another release gives errors that point
    anywhere.

    ## How to fix it
    Install the framework together with its CUDA libraries; take folders with other copies out of
    LD_LIBRARY_PATH.

    ## Sources
    - https://www.tensorflow.org/install/pip
    - https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
    """
    here = bool(gpu.get("devices"))
    for name, fact, said in (
        ("torch", torch, ((torch or {}).get("error") or {}).get("message") or ""),
        ("tensorflow", tensorflow, (tensorflow or {}).get("stderr_tail") or ""),
        ("onnxruntime-gpu", onnxruntime, _provider_said(onnxruntime)),
    ):
        # Without a device only an import that fails is a fault.
        loads = (fact or {}).get("state") == "ok"
        missing = _missing(said)
        if fact is None or not missing or (loads and not here) or _sees(fact):
            continue
        yield error(
            f"{name} does not find {joined(missing)}",
            about=name,
            evidence=given(it_says=_line_with(said, missing[0])),
            effect=f"{name} computes on the CPU." if loads else f"{name} cannot be imported.",
            fix="Install the framework again together with its CUDA libraries.",
            commands=_with_libraries(name),
            requires=["broken-install:" + name, "gpu-driver-missing"],
        )
    for name, fact in (("torch", torch), ("tensorflow", tensorflow)):
        yield from _foreign(name, fact, environment)


def _provider_said(onnxruntime: Loaded | None) -> str:
    told = ((onnxruntime or {}).get("build") or {}).get("cuda_provider") or ""
    return "" if told == "ok" else str(told)


def _sees(fact: Loaded) -> bool:
    build = fact.get("build") or {}
    return bool(build.get("cuda_available") or build.get("devices"))


def _missing(said: str) -> list[str]:
    """Return the CUDA libraries that a text says could not be opened."""
    found: dict[str, None] = {}
    for line in said.splitlines():
        if _NOT_FOUND.search(line):
            found.update(dict.fromkeys(_CUDA_LIBRARY.findall(line) or ["some of its libraries"]))
    named = [name for name in found if not name.startswith("some")]
    # libcuda is the driver's own: without it there is another finding.
    return [name for name in named or found if not name.startswith("libcuda.so")]


def _line_with(said: str, name: str) -> str:
    lines = [line for line in said.splitlines() if name in line or _NOT_FOUND.search(line)]
    return lines[0].strip()[:300] if lines else ""


def _with_libraries(name: str) -> list[str]:
    return {
        "tensorflow": ['pip install "tensorflow[and-cuda]"'],
        "onnxruntime-gpu": ['pip install "onnxruntime-gpu[cuda,cudnn]"'],
    }.get(name, [])


def _foreign(name: str, fact: Loaded | None, environment: Environment | None) -> Iterator[Finding]:
    """Find CUDA libraries that LD_LIBRARY_PATH put before those of the environment."""
    folders = [f for f in (variable(environment, "LD_LIBRARY_PATH") or "").split(":") if f]
    mapped = ((fact or {}).get("build") or {}).get("cuda_libraries") or []
    if not folders or fact is None:
        return
    foreign = [path for path in mapped if _is_in(path, folders) and "/stubs" not in path]
    # The driver's own library belongs to the system, and comes from wherever that has it.
    foreign = [path for path in foreign if not posixpath.basename(path).startswith("libcuda.so")]
    own = [path for path in mapped if "/site-packages/" in path]
    if not foreign or not own:
        return
    kind = warning if _sees(fact) else error
    yield kind(
        f"{name} took {joined(map(posixpath.basename, foreign), 3)} from LD_LIBRARY_PATH",
        about=f"{name} (LD_LIBRARY_PATH)",
        evidence=given(taken=joined(foreign, 6), LD_LIBRARY_PATH=":".join(folders)),
        effect="Libraries of two releases of CUDA are in one process: errors may point anywhere.",
        fix="Take these folders out of LD_LIBRARY_PATH; pip installed copies of its own.",
        commands=[f"env -u LD_LIBRARY_PATH python -c 'import {name}'"],
    )


def _is_in(path: str, folders: Sequence[str]) -> bool:
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders)


@check(
    "gpu-cudnn-mismatch", family="gpu", title="cuDNN is the one that was compiled against", level=2
)
def gpu_cudnn_mismatch(
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    runs: list[dict[str, Any]] | None = None,
) -> Findings:
    """Find a cuDNN that does not go with the framework.

    ## What it checks
    Whether torch refused the cuDNN that was loaded, whether its major release is another than
    that torch was compiled with, and whether TensorFlow said that the loaded one is too old.

    ## Why it matters
    The first convolution fails (CUDNN_STATUS_NOT_INITIALIZED, "DNN library is not found"), and
    nothing before it.

    ## How to fix it
    Remove the other cuDNN from LD_LIBRARY_PATH, and install the one that the framework asks for.

    ## Sources
    - https://github.com/pytorch/pytorch/pull/81881
    - https://github.com/tensorflow/tensorflow/issues/60913
    """
    build = (torch or {}).get("build") or {}
    said = str(build.get("cudnn_error") or "")
    loaded, compiled = build.get("cudnn"), build.get("cudnn_compiled")
    if not said and loaded and compiled and _major(loaded) != _major(compiled):
        said = f"cuDNN {loaded} is loaded, and torch was compiled with {compiled}"
    if said:
        yield _cudnn("torch", said, build.get("cuda_libraries") or [])
    texts = [str((tensorflow or {}).get("stderr_tail") or "")]
    texts += [
        str(run.get("stderr_tail") or "") for run in runs or () if run.get("name") == "tensorflow"
    ]
    for text in texts:
        match = _CUDNN_LOADED.search(text)
        if match:
            mapped = ((tensorflow or {}).get("build") or {}).get("cuda_libraries") or []
            yield _cudnn("tensorflow", match[0], mapped)
            return


def _major(number: int) -> int:
    """Return the major release of cuDNN's number: 8902 is 8, 90100 is 9."""
    return number // 10000 if number >= 90000 else number // 1000


def _cudnn(name: str, said: str, mapped: Sequence[str]) -> Finding:
    places = [path for path in mapped if "libcudnn" in path]
    return error(
        f"{name} meets a cuDNN that it was not compiled with",
        about=name,
        evidence=given(it_says=said[:300], loaded_from=joined(places, 3) or None),
        effect="The first convolution on the GPU fails.",
        fix="Take other copies of cuDNN out of LD_LIBRARY_PATH, and install the one that the"
        " framework's requirements name.",
        commands=['pip install "tensorflow[and-cuda]"'] if name == "tensorflow" else [],
    )
