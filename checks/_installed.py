"""What several checks ask of the installed distributions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.facts import Distribution, Loaded, Packages, Python

#: Distributions of which each provides the same import package: any one of a row will do.
PROVIDERS: dict[str, frozenset[str]] = {
    "cv2": frozenset(
        (
            "opencv-python",
            "opencv-python-headless",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
            "opencv-python-rolling",
            "opencv-python-headless-rolling",
        )
    ),
    "tensorflow": frozenset(
        (
            "tensorflow",
            "tensorflow-cpu",
            "tensorflow-gpu",
            "tensorflow-intel",
            "tensorflow-macos",
            "tensorflow-rocm",
            "tensorflow-cpu-aws",
            "tensorflow-aarch64",
            "intel-tensorflow",
            "intel-tensorflow-avx512",
            "tf-nightly",
            "tf-nightly-cpu",
        )
    ),
    "onnxruntime": frozenset(
        (
            "onnxruntime",
            "onnxruntime-gpu",
            "onnxruntime-directml",
            "onnxruntime-openvino",
            "onnxruntime-silicon",
            "onnxruntime-training",
            "ort-nightly",
            "ort-nightly-gpu",
        )
    ),
    "openvino": frozenset(("openvino", "openvino-nightly")),
    "PIL": frozenset(("pillow", "pillow-simd")),
    "pynvml": frozenset(("nvidia-ml-py", "pynvml")),
}

#: Distributions that MTCNN detectors are made of.
CORE = frozenset(
    (
        "numpy",
        "torch",
        "torchvision",
        "torchaudio",
        "keras",
        "tf-keras",
        "ml-dtypes",
        "h5py",
        "protobuf",
        "mtcnn",
        "facenet-pytorch",
        "pillow",
    )
)

#: The level 2 fact of each framework, and the distributions that it may come from.
FRAMEWORKS: dict[str, frozenset[str]] = {
    "numpy": frozenset(("numpy",)),
    "opencv": PROVIDERS["cv2"],
    "torch": frozenset(("torch",)),
    "tensorflow": PROVIDERS["tensorflow"],
    "onnxruntime": PROVIDERS["onnxruntime"],
    "openvino": PROVIDERS["openvino"],
    "litert": frozenset(("ai-edge-litert", "ai-edge-litert-nightly", "tflite-runtime")),
}


def of_interest(key: str) -> bool:
    """Whether a distribution is one that MTCNN detectors are made of."""
    return key in CORE or any(
        key in PROVIDERS[module] for module in ("cv2", "tensorflow", "onnxruntime")
    )


def installed(packages: Packages) -> dict[str, Distribution]:
    """Return the distributions by normalised name; the first on the path wins, as in imports."""
    found: dict[str, Distribution] = {}
    for distribution in packages.get("distributions", []):
        key = distribution.get("key") or canonicalize_name(distribution.get("name", ""))
        if key:
            found.setdefault(key, distribution)
    return found


def is_planned(distribution: Distribution) -> bool:
    """Whether a distribution is only named in a file of requirements, and not installed."""
    return not distribution.get("location") and not distribution.get("metadata_folder")


def version_of(text: str | None) -> Version | None:
    """Return a version, None for what is none."""
    try:
        return Version(text or "")
    except InvalidVersion:
        return None


def older(text: str | None, than: str) -> bool:
    """Whether a version is older than another, by release number; False where it is unreadable."""
    version = version_of(text)
    return version is not None and version.release < Version(than).release


def label(distribution: Distribution) -> str:
    """Return "name version"."""
    return f"{distribution.get('name', '?')} {distribution.get('version', '?')}"


def providers_of(key: str) -> frozenset[str]:
    """Return the distributions that can stand in for ``key``, itself included."""
    for row in PROVIDERS.values():
        if key in row:
            return row
    return frozenset((key,))


def series(python: Python) -> tuple[int, int] | None:
    """Return (major, minor) of the target interpreter."""
    info = python.get("version_info") or []
    if len(info) < 2:
        info = python.get("version", "").split(".")
    try:
        return int(info[0]), int(info[1])
    except (IndexError, ValueError, TypeError):
        return None


def is_loaded(fact: Loaded | None) -> bool | None:
    """Whether a framework's import succeeded; None where it was not tried."""
    if fact is None or "state" not in fact:
        return None
    return fact["state"] == "ok"


def given(**facts: Any) -> dict[str, Any]:
    """Return evidence without what is not known; underscores become blanks."""
    return {name.replace("_", " "): value for name, value in facts.items() if value is not None}


def joined(names: Iterable[str], most: int = 4) -> str:
    """Return names with commas between, the surplus as a count."""
    names = list(names)
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def local_label(version: str | None) -> str:
    """Return the local label of a version ("cpu", "cu126"), "" without one."""
    match = re.search(r"\+(.+)$", version or "")
    return match.group(1).lower() if match else ""
