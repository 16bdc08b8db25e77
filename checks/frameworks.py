"""The frameworks and the MTCNN packages against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtcnn_doctor.facts import Distribution, Loaded, Packages, Python
from mtcnn_doctor.knowledge import companion_series
from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._installed import (
    PROVIDERS,
    given,
    installed,
    is_loaded,
    joined,
    label,
    local_label,
    older,
    version_of,
)

_SYSTEM_LIBRARY = re.compile(r"(lib[\w.+-]+\.so(?:\.\d+)*): cannot open shared object file")
# Libraries of the desktop, and which packages of Debian/Ubuntu and Fedora/RHEL bring them.
_PACKAGES = {
    "libGL": ("libgl1", "mesa-libGL"),
    "libEGL": ("libegl1", "mesa-libEGL"),
    "libgthread-2.0": ("libglib2.0-0", "glib2"),
    "libglib-2.0": ("libglib2.0-0", "glib2"),
    "libSM": ("libsm6", "libSM"),
    "libICE": ("libice6", "libICE"),
    "libXext": ("libxext6", "libXext"),
    "libXrender": ("libxrender1", "libXrender"),
    "libX11": ("libx11-6", "libX11"),
    "libxcb": ("libxcb1", "libxcb"),
}


@check("opencv-duplicates", family="frameworks", title="one OpenCV distribution is installed")
def opencv_duplicates(packages: Packages, opencv: Loaded | None = None) -> Findings:
    """Count the OpenCV distributions.

    ## What it checks
    Whether more than one of opencv-python, opencv-contrib-python and their headless variants is
    installed.

    ## Why it matters
    All of them own the same folder ``cv2``. Which files are there is decided by the order of
    installation, and uninstalling one deletes files of the other. An error where their releases
    differ and cv2 was not imported; else a warning, since nothing fails until the next change.

    ## How to fix it
    Uninstall all of them, then install exactly one: the headless one on servers and in
    containers.

    ## Sources
    - https://github.com/opencv/opencv-python/issues/962
    - https://github.com/opencv/opencv-python/issues/370
    """
    present = installed(packages)
    found = [present[key] for key in sorted(PROVIDERS["cv2"] & present.keys())]
    if len(found) < 2:
        return
    alike = len({row.get("version") for row in found}) == 1
    kind = warning if is_loaded(opencv) or alike else error
    yield kind(
        f"{len(found)} OpenCV distributions share one folder: {joined(map(label, found))}",
        about="opencv",
        evidence={row.get("name", "?"): row.get("version") for row in found},
        effect="Which files are there depends on the order of installation; uninstalling one"
        " breaks the other.",
        cause="Packages ask for different variants, and pip knows nothing of their kinship.",
        fix="Uninstall all of them ("
        + " ".join(row.get("key", "?") for row in found)
        + "), then install exactly one.",
    )


@check(
    "opencv-system-library",
    family="frameworks",
    title="OpenCV finds the system libraries it needs",
    level=2,
)
def opencv_system_library(opencv: Loaded, packages: Packages | None = None) -> Findings:
    """Name the system library that OpenCV does not find.

    ## What it checks
    Whether the import of cv2 failed for a shared library of the system.

    ## Why it matters
    The desktop builds of OpenCV are linked with graphics libraries that slim container images,
    WSL and servers lack.

    ## How to fix it
    Use opencv-python-headless in place of the desktop build, or install the libraries with the
    package manager of the system.

    ## Sources
    - https://github.com/opencv/opencv-python/issues/370
    """
    if opencv.get("state") != "not-loadable":
        return
    details = opencv.get("error") or {}
    text = f"{details.get('message') or ''}\n{details.get('last_line') or ''}"
    match = _SYSTEM_LIBRARY.search(text)
    if match is None:
        return
    library = match[1]
    debian, fedora = _PACKAGES.get(library.partition(".so")[0], ("", ""))
    commands = []
    if debian:
        names = sorted({debian, "libglib2.0-0"})
        commands.append("apt-get install -y " + " ".join(names))
    present = installed(packages) if packages else {}
    desktop = [key for key in sorted(PROVIDERS["cv2"] & present.keys()) if "headless" not in key]
    ways = []
    if debian:
        ways.append(f"Install {debian} (Debian, Ubuntu) or {fedora} (Fedora, RHEL)")
    else:
        ways.append(f"Install the system package that brings {library}")
    if desktop:
        ways.append(f"or uninstall {desktop[0]} and install opencv-python-headless in its place")
    yield error(
        f"cv2 needs {library}, which this system does not have",
        about="opencv",
        evidence=given(library=library, distribution=joined(desktop) or None),
        effect="`import cv2` fails.",
        cause="The desktop build of OpenCV is linked with graphics libraries of the system.",
        fix=", ".join(ways) + ".",
        commands=commands,
    )


@check(
    "torchvision-mismatch",
    family="frameworks",
    title="torchvision and torchaudio match torch",
)
def torchvision_mismatch(packages: Packages, python: Python | None = None) -> Findings:
    """Compare torchvision and torchaudio with torch.

    ## What it checks
    Whether their releases belong to the release of torch, and whether they are builds of the same
    kind (CPU, CUDA).

    ## Why it matters
    Their compiled parts are made for one torch. With another one they cannot be loaded, and the
    import ends with "operator torchvision::nms does not exist", in facenet-pytorch too.

    ## How to fix it
    Install torch and its companions in one command and from one index.

    ## Sources
    - https://github.com/pytorch/pytorch/issues/122494
    - https://github.com/pytorch/vision#installation
    """
    present = installed(packages)
    torch = present.get("torch")
    if torch is None:
        return
    for key in ("torchvision", "torchaudio"):
        companion = present.get(key)
        if companion is not None:
            yield from _judge_companion(torch, companion, key, python)


def _judge_companion(
    torch: Distribution, companion: Distribution, key: str, python: Python | None
) -> Iterator[Finding]:
    torch_version, version = torch.get("version", ""), companion.get("version", "")
    wanted = companion_series(key, torch_version)
    parsed = version_of(version)
    torch_label, own_label = local_label(torch_version), local_label(version)
    evidence = {"torch": torch_version, key: version}
    index = f" --index-url https://download.pytorch.org/whl/{torch_label}" if torch_label else ""
    command = f"pip install --upgrade torch {key}{index}"
    if wanted and parsed is not None and f"{parsed.major}.{parsed.minor}" != wanted:
        yield error(
            f"{key} {version} is not made for torch {torch_version} (which goes with {wanted})",
            about=key,
            evidence=evidence,
            effect=f"`import {key}` fails, and facenet-pytorch with it."
            if key == "torchvision"
            else f"`import {key}` fails.",
            cause="One of the two was upgraded without the other.",
            fix=f"Install the {key} of this torch, or both anew in one command and from one index.",
            commands=[f'pip install "{key}=={wanted}.*"{index}', command],
            alternatives=True,
        )
        return
    linux = python is None or python.get("platform", "linux") == "linux"
    if torch_label == "cpu" and own_label != "cpu" and linux:
        # PyPI's Linux build of the companion has no label and is a CUDA build.
        yield error(
            f"{key} {version} is a CUDA build and torch {torch_version} a CPU build",
            about=key,
            evidence=evidence,
            effect=f"`import {key}` fails: operators of its compiled part are missing.",
            cause="The two come from different indexes.",
            fix="Install both in one command and from one index.",
            commands=[f'pip install --force-reinstall --no-deps "{key}=={version}+cpu"{index}']
            if not own_label
            else [command],
        )
    elif own_label == "cpu" and torch_label.startswith("cu"):
        yield warning(
            f"{key} {version} is a CPU build and torch {torch_version} a CUDA build",
            about=key,
            evidence=evidence,
            effect=f"Operators of {key} do not run on the GPU.",
            fix="Install both in one command and from one index.",
            commands=[command],
        )
    elif _cuda_major(torch_label) and _cuda_major(own_label) not in ("", _cuda_major(torch_label)):
        yield error(
            f"{key} {version} and torch {torch_version} are builds for different CUDA",
            about=key,
            evidence=evidence,
            effect=f"`import {key}` ends with a complaint about the CUDA major versions.",
            fix="Install both in one command and from one index.",
            commands=[command],
        )


def _cuda_major(label: str) -> str:
    """Return "12" for the label "cu126", "" for what is no CUDA label."""
    match = re.fullmatch(r"cu(\d+)\d", label)
    return match[1] if match else ""


@check("mtcnn-missing-backend", family="frameworks", title="mtcnn finds TensorFlow")
def mtcnn_missing_backend(packages: Packages) -> Findings:
    """Look for the TensorFlow that the package mtcnn needs.

    ## What it checks
    Whether TensorFlow is installed where the package mtcnn is.

    ## Why it matters
    No release of mtcnn since 0.1.0 installs TensorFlow, and all of them import it: installing
    mtcnn succeeds and importing it fails.

    ## How to fix it
    Install TensorFlow, or mtcnn together with its extra.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/76
    - https://github.com/ipazc/mtcnn/issues/68
    """
    present = installed(packages)
    mtcnn = present.get("mtcnn")
    if mtcnn is None or PROVIDERS["tensorflow"] & present.keys():
        return
    module = (packages.get("modules") or {}).get("tensorflow") or {}
    if module.get("found") and not module.get("namespace"):
        return  # a build that pip does not know of
    old = older(mtcnn.get("version"), "1.0")
    yield error(
        f"{label(mtcnn)} is installed and TensorFlow is not",
        about="mtcnn",
        evidence={"mtcnn": mtcnn.get("version"), "tensorflow": "not installed"},
        effect="`import mtcnn` ends with: No module named 'tensorflow'.",
        cause="mtcnn does not declare TensorFlow as a requirement.",
        fix="Install TensorFlow.",
        commands=["pip install tensorflow" if old else 'pip install "mtcnn[tensorflow]"'],
    )


@check("mtcnn-pkg-resources", family="frameworks", title="mtcnn 0.1 finds pkg_resources")
def mtcnn_pkg_resources(packages: Packages) -> Findings:
    """Look for the module pkg_resources that mtcnn 0.1 needs.

    ## What it checks
    Whether mtcnn 0.1.x or older is installed where pkg_resources is not.

    ## Why it matters
    These releases read their weights through pkg_resources and do not say so. setuptools 82
    removed the module, and environments of Python 3.12 and newer start without setuptools.

    ## How to fix it
    Install an older setuptools, or move to mtcnn 1.0, whose options are given to
    ``detect_faces`` rather than to the constructor.

    ## Sources
    - https://setuptools.pypa.io/en/stable/history.html#v82-0-0
    - https://github.com/pytorch/vision/issues/9380
    """
    present = installed(packages)
    mtcnn = present.get("mtcnn")
    if mtcnn is None or not older(mtcnn.get("version"), "1.0"):
        return
    setuptools = present.get("setuptools")
    version = setuptools.get("version") if setuptools else None
    module = (packages.get("modules") or {}).get("pkg_resources")
    if module is not None:
        is_missing = not module.get("found")
    else:
        is_missing = version is None or not older(version, "82")
    if is_missing:
        yield error(
            f"{label(mtcnn)} needs pkg_resources, which "
            + (f"setuptools {version} no longer has" if version else "is not installed"),
            about="mtcnn",
            evidence={"mtcnn": mtcnn.get("version"), "setuptools": version or "not installed"},
            effect="`import mtcnn` ends with: No module named 'pkg_resources'.",
            cause="mtcnn 0.1 uses setuptools at run time without declaring it.",
            fix="Install an older setuptools, or move to mtcnn 1.0.",
            commands=['pip install "setuptools<81"'],
        )
