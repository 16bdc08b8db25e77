"""One line a family with its values: what a healthy part of the machine looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mtcnn_doctor.model import Outcome, Report, Run

#: Distributions shown on the packages line, where installed.
_SHOWN = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "mtcnn",
    "facenet-pytorch",
    "keras",
)
_FRAMEWORKS = (
    "torch",
    "torchvision",
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-intel",
    "tensorflow-macos",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "ai-edge-litert",
    "tflite-runtime",
)


def values(family: str, report: Report) -> list[str]:
    """Return the values worth showing beside the name of a family."""
    maker = _MAKERS.get(family)
    return maker(report) if maker is not None else []


def _interpreter(report: Report) -> list[str]:
    python = report.facts.get("python") or {}
    version = python.get("version")
    name = f"{python.get('implementation', 'Python')} {version}" if version else ""
    return [text for text in (name, python.get("libc") or "", python.get("machine") or "") if text]


def _versions(report: Report, names: Sequence[str]) -> list[str]:
    packages = report.facts.get("packages") or {}
    installed = {d.get("key"): d.get("version") for d in packages.get("distributions") or ()}
    return [f"{name} {installed[name]}" for name in names if name in installed]


def _packages(report: Report) -> list[str]:
    return _versions(report, _SHOWN)


def _frameworks(report: Report) -> list[str]:
    return _versions(report, _FRAMEWORKS) or ["none installed"]


def _gpu(report: Report) -> list[str]:
    gpu = report.facts.get("gpu")
    if not gpu:
        return []
    devices = gpu.get("devices") or []
    if not devices:
        silent = gpu.get("nvml") in ("error", "no-answer")
        return ["the NVIDIA driver does not answer" if silent else "no NVIDIA GPU"]
    driver = gpu.get("driver_version")
    named = [f"{device.get('name')} {_gib(device.get('memory_total'))}" for device in devices]
    return named + ([f"driver {driver}"] if driver else [])


def _gib(count: float | None) -> str:
    return "" if count is None else f"{count / 2**30:.1f} GiB"


def _machine(report: Report) -> list[str]:
    cpu, memory = report.facts.get("cpu") or {}, report.facts.get("memory") or {}
    found = []
    usable = cpu.get("affinity") or cpu.get("logical")
    if usable:
        found.append(f"{usable} CPUs" if usable > 1 else "1 CPU")
    total, limit = memory.get("total"), memory.get("cgroup_limit")
    if total:
        available = memory.get("available")
        found.append(f"{_gib(available)} of {_gib(total)} free" if available else _gib(total))
    if limit:
        found.append(f"limited to {_gib(limit)}")
    return found


def _jupyter(report: Report) -> list[str]:
    if "jupyter" not in report.facts:
        return []
    kernels = report.facts["jupyter"].get("kernels") or ()
    if not kernels:
        return ["no kernels"]
    own = sum(bool(kernel.get("is_target")) for kernel in kernels)
    found = "1 kernel" if len(kernels) == 1 else f"{len(kernels)} kernels"
    return [found, f"{own} of this interpreter" if own else "none of this interpreter"]


def _input(report: Report) -> list[str]:
    images: Sequence[Mapping[str, Any]] = report.facts.get("images") or ()
    return [
        f"{PurePath(str(image.get('path', ''))).name} "
        f"{image.get('width')}×{image.get('height')} {image.get('format')}"
        for image in images
    ]


def _weights(report: Report) -> list[str]:
    names = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
    found = []
    for file in report.facts.get("weights") or ():
        networks = file.get("networks") or {}
        own = [names[name] for name, facts in networks.items() if not facts.get("published")]
        words = f"{', '.join(own)} of one's own" if own else "the published networks"
        found.append(f"{file.get('name')}: {words}" if networks else str(file.get("name")))
    tried = (report.facts.get("weights_trial") or {}).get("images") or ()
    rows = [row for row in tried if "given" in row]
    if rows:
        total = sum(row["published"]["faces"] for row in rows)
        found.append(f"{sum(row['kept']['onet'] for row in rows)} of {total} faces")
    return found


def _runs(report: Report) -> list[str]:
    backends = [run for run in report.runs if run.kind == "backend"]
    found = [_run(run) for run in backends if run.outcome is not Outcome.NOT_INSTALLED]
    fine = [run for run in backends if run.outcome is Outcome.OK]
    known = [run.agreement for run in fine if run.agreement]
    if known:
        same = "the" if len(known) == 1 else "the same"
        found.append(f"{same} {known[0]['expected']} faces on {known[0]['images']} images")
    return found + (_users_images(report, fine[0]) if fine else [])


def _subjects(report: Report) -> list[str]:
    return [
        _run(run, f"{run.name} {run.version}" if run.version else run.name)
        for run in report.runs
        if run.kind == "subject" and run.outcome is not Outcome.NOT_INSTALLED
    ]


def _users_images(report: Report, run: Run) -> list[str]:
    """Return what one backend found on the user's own images."""
    paths = [str(image.get("path", "")) for image in report.facts.get("images") or ()]
    run_on = {image["image"] for image in run.images}
    # An image goes by its file name, and by its path where another has that name.
    names = {path if path in run_on else PurePath(path).name for path in paths}
    return [
        f"{PurePath(image['image']).name}: {_faces(image['faces'])} found"
        for image in run.images
        if image["image"] in names
    ]


def _faces(count: int) -> str:
    # Not "there is none": that nothing was found does not say that nothing is there.
    return "no face" if count == 0 else "1 face" if count == 1 else f"{count} faces"


def _run(run: Run, name: str = "") -> str:
    name = name or run.name
    if run.outcome is not Outcome.OK:
        return f"{name} {run.outcome.value}"
    median = run.timings_ms.get("median")
    return f"{name} {median:.0f} ms" if median is not None else name


_MAKERS = {
    "interpreter": _interpreter,
    "packages": _packages,
    "frameworks": _frameworks,
    "gpu": _gpu,
    "machine": _machine,
    "jupyter": _jupyter,
    "input": _input,
    "weights": _weights,
    "runs": _runs,
    "subjects": _subjects,
}
