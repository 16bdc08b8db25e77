import pytest
from mtcnn_doctor.checks.gpu import (
    gpu_cpu_only_build,
    gpu_driver_missing,
    gpu_none,
    pynvml_deprecated,
)
from mtcnn_doctor.checks.gpu_visible import cuda_visible_devices, gpu_not_visible

from mtcnn_doctor.model import Severity

CARD = {
    "nvml": "ok",
    "driver_version": "580.65.06",
    "cuda_driver_version": "13.0",
    "devices": [
        {"index": 0, "name": "NVIDIA L4", "uuid": "GPU-1111-2222", "compute_capability": "8.9"},
        {"index": 1, "name": "NVIDIA L4", "uuid": "GPU-3333-4444", "compute_capability": "8.9"},
    ],
    "device_nodes": ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"],
    "pci_vendors": ["nvidia"],
    "wsl": False,
}
NONE = {"nvml": "no-library", "devices": [], "device_nodes": [], "pci_vendors": [], "wsl": False}
CUDA_TORCH = {
    "state": "ok",
    "version": "2.9.0+cu128",
    "build": {"cuda": "12.8", "cuda_available": True},
}
CPU_TORCH = {
    "state": "ok",
    "version": "2.9.0+cpu",
    "build": {"cuda": None, "cuda_available": False},
}


def test_no_gpu_is_only_told(judge):
    [finding] = judge(gpu_none, gpu=NONE)
    assert finding.severity is Severity.INFO


def test_no_gpu_where_one_was_expected(judge):
    [finding] = judge(gpu_none, gpu=NONE, settings={"expect_gpu": True})
    assert finding.severity is Severity.ERROR


def test_a_gpu_of_some_kind(judge):
    assert judge(gpu_none, gpu=CARD) == []
    assert judge(gpu_none, gpu={**NONE, "pci_vendors": ["amd"]}) == []
    mps = {"build": {"mps": {"built": True, "available": True}}}
    assert judge(gpu_none, gpu=NONE, torch=mps) == []


def test_cuda_build_without_a_card_is_only_told(judge):
    [finding] = judge(gpu_driver_missing, gpu=NONE, torch=CUDA_TORCH)
    assert finding.severity is Severity.INFO
    assert judge(gpu_driver_missing, gpu=NONE, torch=CPU_TORCH) == []


def test_card_without_a_driver(problems, installed):
    card = {**NONE, "pci_vendors": ["nvidia"]}
    [finding] = problems(gpu_driver_missing, gpu=card, packages=installed("torch==2.9.0+cu128"))
    assert finding.severity is Severity.ERROR
    assert problems(gpu_driver_missing, gpu=card, torch=CPU_TORCH) == []


def test_driver_and_library_of_different_releases(problems):
    broken = {**CARD, "nvml": "error", "nvml_error": "Driver/library version mismatch"}
    broken["devices"] = []
    [finding] = problems(gpu_driver_missing, gpu=broken, torch=CUDA_TORCH)
    assert "Restart the machine" in finding.remedy.text


def test_working_driver(judge):
    assert judge(gpu_driver_missing, gpu=CARD, torch=CUDA_TORCH) == []


def test_cpu_builds_beside_a_gpu(problems, installed):
    tensorflow = {"version": "2.20.0", "build": {"is_cuda_build": False, "devices": []}}
    found = problems(gpu_cpu_only_build, gpu=CARD, torch=CPU_TORCH, tensorflow=tensorflow)
    assert [finding.about for finding in found] == ["torch", "tensorflow"]
    assert {finding.severity for finding in found} == {Severity.WARNING}
    packages = installed("torch==2.9.0+cpu", "tensorflow-cpu==2.20.0")
    assert len(problems(gpu_cpu_only_build, gpu=CARD, packages=packages)) == 2


def test_cpu_build_beside_a_framework_that_uses_the_gpu(judge, installed):
    [finding] = judge(
        gpu_cpu_only_build,
        gpu=CARD,
        torch=CUDA_TORCH,
        packages=installed("torch==2.9.0+cu128", "tensorflow-cpu==2.20.0"),
    )
    assert finding.severity is Severity.INFO


def test_builds_for_the_gpu_or_no_gpu(judge):
    assert judge(gpu_cpu_only_build, gpu=CARD, torch=CUDA_TORCH) == []
    assert judge(gpu_cpu_only_build, gpu=NONE, torch=CPU_TORCH) == []
    rocm = {"build": {"cuda": None, "hip": "6.2"}}
    assert judge(gpu_cpu_only_build, gpu=CARD, torch=rocm) == []


BLIND = {
    "state": "ok",
    "build": {
        "cuda": "13.0",
        "cuda_available": False,
        "warnings": ["The NVIDIA driver on your system is too old (found version 12040)."],
    },
}


def test_gpu_that_torch_does_not_see(problems):
    [finding] = problems(gpu_not_visible, gpu=CARD, torch=BLIND)
    assert "too old" in finding.evidence["it says"]
    assert "cuda-visible-devices" in finding.requires


def test_gpu_that_tensorflow_does_not_see(problems):
    tensorflow = {"build": {"is_cuda_build": True, "cuda_version": "12.5.1", "devices": []}}
    [finding] = problems(gpu_not_visible, gpu=CARD, tensorflow=tensorflow)
    assert finding.about == "tensorflow"


def test_gpu_that_is_seen_or_hidden_on_purpose(judge):
    assert judge(gpu_not_visible, gpu=CARD, torch=CUDA_TORCH) == []
    assert judge(gpu_not_visible, gpu=CARD, torch=CPU_TORCH) == []
    hidden = {"variables": {"CUDA_VISIBLE_DEVICES": ""}}
    assert judge(gpu_not_visible, gpu=CARD, torch=BLIND, environment=hidden) == []


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("", Severity.WARNING),
        ("-1", Severity.WARNING),
        ("2", Severity.ERROR),
        ("0,5", Severity.WARNING),
        ("cuda:0", Severity.ERROR),
        ("GPU-9999", Severity.ERROR),
        ("MIG-1234", Severity.ERROR),
    ],
)
def test_cuda_visible_devices_that_hides(problems, value, severity):
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": value}}
    [finding] = problems(cuda_visible_devices, gpu=CARD, environment=environment)
    assert finding.severity is severity


@pytest.mark.parametrize("value", ["0", "1", "1,0", "0, 1", "GPU-1111", "GPU-3333-4444,0"])
def test_cuda_visible_devices_that_names_devices(judge, value):
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": value}}
    assert judge(cuda_visible_devices, gpu=CARD, environment=environment) == []


@pytest.mark.parametrize(
    ("value", "severity", "text"),
    [
        ("0,0", Severity.ERROR, "twice"),
        ("1,0,1", Severity.ERROR, "twice"),
        ("GPU-1111,GPU-1111", Severity.ERROR, "twice"),
        ("GPU-1111,0", Severity.ERROR, "twice"),
        ("GPU-", Severity.ERROR, "2 devices have a UUID that begins with GPU-"),
        ('"0"', Severity.ERROR, "quotation marks"),
        ("-1,0", Severity.ERROR, "-1"),
        ("0,-1,1", Severity.WARNING, "-1"),
        ("MIG-GPU-9999/1/0", Severity.ERROR, "MIG"),
    ],
)
def test_cuda_visible_devices_of_every_form(problems, value, severity, text):
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": value}}
    [finding] = problems(cuda_visible_devices, gpu=CARD, environment=environment)
    assert finding.severity is severity
    assert text in finding.title


@pytest.mark.parametrize("value", ["0,", "1gpu", "+0", "MIG-GPU-1111-2222/1/0"])
def test_cuda_reads_more_than_it_says(judge, value):
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": value}}
    assert judge(cuda_visible_devices, gpu=CARD, environment=environment) == []


def test_two_instances_of_one_card(judge):
    mig = {**CARD, "devices": [{"mig": True, "mig_uuids": ["MIG-aaaa", "MIG-bbbb"]}]}
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": "MIG-aaaa,MIG-bbbb"}}
    assert judge(cuda_visible_devices, gpu=mig, environment=environment) == []


@pytest.mark.parametrize(
    ("change", "variables", "text"),
    [
        ({}, {"NVIDIA_DRIVER_CAPABILITIES": "utility"}, "NVIDIA_DRIVER_CAPABILITIES"),
        ({"driver_libraries": {"libcuda.so.1": ""}}, {}, "libcuda.so.1"),
        ({"device_nodes": ["/dev/nvidia0", "/dev/nvidiactl"]}, {}, "nvidia-uvm"),
        ({"devices": [{"mig": True, "mig_uuids": []}]}, {}, "no instance"),
        ({"devices": [{"compute_mode": "prohibited"}]}, {}, "Prohibited"),
    ],
)
def test_why_cuda_does_not_reach_the_device(problems, change, variables, text):
    nodes = [*CARD["device_nodes"], "/dev/nvidia-uvm"]
    whole = {**CARD, "device_nodes": nodes, "driver_libraries": {"libcuda.so.1": "/lib/libcuda"}}
    environment = {"variables": {"NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}}
    [finding] = problems(gpu_not_visible, gpu=whole, torch=BLIND, environment=environment)
    assert finding.cause == ""
    environment = {"variables": variables}
    gpu = {**whole, **change}
    [finding] = problems(gpu_not_visible, gpu=gpu, torch=BLIND, environment=environment)
    assert text in finding.cause
    assert finding.remedy.text


def test_libraries_that_another_framework_lacks_excuse_nothing(problems):
    [finding] = problems(gpu_not_visible, gpu=CARD, torch=BLIND)
    assert "gpu-libraries-missing:torch" in finding.requires
    assert "gpu-libraries-missing" not in finding.requires


def test_cuda_visible_devices_unset_or_without_a_gpu(judge):
    assert judge(cuda_visible_devices, gpu=CARD, environment={"variables": {}}) == []
    hidden = {"variables": {"CUDA_VISIBLE_DEVICES": "-1"}}
    assert judge(cuda_visible_devices, gpu=NONE, environment=hidden) == []
    [finding] = judge(
        cuda_visible_devices, gpu=CARD, environment=hidden, settings={"expect_gpu": True}
    )
    assert finding.severity is Severity.ERROR


def test_mig_instance(judge):
    mig = {**CARD, "devices": [{"mig": True, "mig_uuids": ["MIG-aaaa-bbbb"]}]}
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": "MIG-aaaa-bbbb"}}
    assert judge(cuda_visible_devices, gpu=mig, environment=environment) == []


def test_pynvml(judge, installed):
    [finding] = judge(pynvml_deprecated, packages=installed("pynvml==13.0.1"))
    assert finding.severity is Severity.INFO
    both = installed("pynvml==11.5.3", "nvidia-ml-py==12.560.30")
    [finding] = judge(pynvml_deprecated, packages=both)
    assert finding.severity is Severity.WARNING
    assert judge(pynvml_deprecated, packages=installed("nvidia-ml-py==12.560.30")) == []
