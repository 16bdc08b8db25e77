"""A healthy environment, recorded: nothing may warn."""

import importlib
import inspect

import pytest

from mtcnn_doctor.model import Check

from .conftest import judge_facts

MODULES = (
    "interpreter",
    "packages",
    "requirements",
    "abi",
    "paths",
    "known",
    "imports",
    "frameworks",
    "matrices",
    "protobuf",
    "keras",
    "facenet",
    "mtcnn_use",
    "gpu",
    "gpu_fit",
    "gpu_state",
    "gpu_visible",
    "machine",
    "jupyter",
    "notebook",
    "memory",
    "images",
)


def _checks():
    found = []
    for name in MODULES:
        module = importlib.import_module(f"mtcnn_doctor.checks.{name}")
        found += [value for value in vars(module).values() if isinstance(value, Check)]
    return found


CHECKS = _checks()
WANTED = {
    "python-version",
    "python-architecture",
    "requirement-conflict",
    "broken-install",
    "module-shadowed",
    "numpy-abi",
    "import-failure",
    "opencv-duplicates",
    "opencv-system-library",
    "torchvision-mismatch",
    "mtcnn-missing-backend",
    "mtcnn-pkg-resources",
    "path-pollution",
    "known-bad-release",
    "tensorflow-version-matrix",
    "torch-version-matrix",
    "protobuf-mismatch",
    "keras-version",
    "facenet-pins",
    "mtcnn-api-change",
    "mtcnn-silent-empty",
    "cpu-instructions",
    "thread-oversubscription",
    "container-memory-limit",
    "ram-headroom",
    "shm-size",
    "disk-space",
    "gpu-none",
    "gpu-cpu-only-build",
    "gpu-driver-missing",
    "gpu-not-visible",
    "gpu-driver-too-old",
    "gpu-arch-unsupported",
    "gpu-libraries-missing",
    "gpu-cudnn-mismatch",
    "gpu-memory-low",
    "gpu-memory-growth",
    "gpu-fault",
    "cuda-visible-devices",
    "pynvml-deprecated",
    "kernel-missing-interpreter",
    "kernel-no-ipykernel",
    "kernel-interpreter-mismatch",
    "notebook-stale-module",
    "notebook-import-order",
    "kernel-died",
    "image-unreadable",
    "image-grayscale",
    "image-alpha",
    "image-dtype",
    "image-orientation",
    "image-size",
}


def test_every_check_is_there_once():
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))
    assert set(ids) == WANTED


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_healthy_environment_gives_no_problem(check, recorded):
    findings = judge_facts(check, {"calls": {"found": []}, **recorded("healthy-all")})
    assert findings is not None
    assert [finding for finding in findings if finding.is_problem] == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_documentation_has_its_sections(check):
    text = inspect.cleandoc(check.documentation)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## What it checks",
        "## Why it matters",
        "## How to fix it",
        "## Sources",
    ]
    assert text.splitlines()[-1].startswith("- https://")


EMPTY = {
    "python": {},
    "packages": {},
    "cpu": {},
    "memory": {},
    "threads": {},
    "gpu": {},
    "environment": {},
    "settings": {},
    "jupyter": {},
    "notebook": {},
    "last_crash": {},
    "calls": {},
    "images": [{}],
    "numpy": {},
    "opencv": {},
    "torch": {},
    "tensorflow": {},
    "onnxruntime": {},
    "openvino": {},
    "litert": {},
}
SPARSE = {
    **EMPTY,
    "packages": {"distributions": [{}, {"name": "torch"}, {"key": "numpy", "version": "?"}]},
    "gpu": {"devices": [{}], "nvml": "ok"},
    "environment": {"variables": {"CUDA_VISIBLE_DEVICES": "0"}},
    "torch": {"state": "not-loadable", "error": None},
    "jupyter": {"kernels": [{}, {"state": "ok"}, {"state": "missing"}], "examined": "x"},
    "last_crash": {"pid": 1, "cell": {"imported": None}, "memory": {"rss_mb": 1.0}},
    "notebook": {"imported": [{}], "changed_variables": [{}]},
    "opencv": {"state": "not-loadable"},
    "images": [{"path": "a.png", "format": "png"}],
    "calls": {"found": [{}]},
}


@pytest.mark.parametrize("facts", [EMPTY, SPARSE], ids=["empty", "sparse"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_absent_keys_are_tolerated(check, facts):
    assert judge_facts(check, facts) is not None


def test_destructive_commands_are_never_proposed():
    source = "".join(inspect.getsource(inspect.getmodule(check.function)) for check in CHECKS)
    for line in source.splitlines():
        if "commands" in line or "pip install" in line:
            assert "pip uninstall" not in line
            assert "rm -" not in line
