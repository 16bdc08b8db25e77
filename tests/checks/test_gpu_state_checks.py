import pytest
from mtcnn_doctor.checks.gpu import gpu_driver_missing
from mtcnn_doctor.checks.gpu_state import gpu_fault, gpu_memory_growth, gpu_memory_low

from mtcnn_doctor.model import Severity

GIB = 2**30
TORCH = {"state": "ok", "version": "2.9.0+cu128", "build": {"cuda": "12.8", "cuda_available": True}}
TENSORFLOW = {
    "state": "ok",
    "version": "2.20.0",
    "build": {"is_cuda_build": True, "devices": [{"name": "NVIDIA L4"}]},
}
KERNEL = {"pid": 4711, "kind": "compute", "memory": 21 * GIB, "name": "python3"}


def card(**device):
    return {
        "nvml": "ok",
        "devices": [{"index": 0, "name": "NVIDIA L4", "uuid": "GPU-1", **device}],
    }


def test_memory_that_another_process_holds(problems):
    gpu = card(memory_total=22 * GIB, memory_free=GIB // 4, processes=[KERNEL])
    [finding] = problems(gpu_memory_low, gpu=gpu, torch=TORCH)
    assert finding.severity is Severity.ERROR
    assert "python3 4711 (21.0 GiB)" in finding.remedy.text
    [finding] = problems(gpu_memory_low, gpu=card(memory_free=int(0.7 * GIB)), torch=TORCH)
    assert finding.severity is Severity.WARNING


def test_memory_of_a_device_that_is_not_used(judge):
    gpu = card(memory_free=0)
    cpu = {"state": "ok", "build": {"cuda": None, "cuda_available": False}}
    assert judge(gpu_memory_low, gpu=gpu, torch=cpu) == []
    for value in ("", "1", "GPU-2"):
        environment = {"variables": {"CUDA_VISIBLE_DEVICES": value}}
        assert judge(gpu_memory_low, gpu=gpu, torch=TORCH, environment=environment) == []
    environment = {"variables": {"CUDA_VISIBLE_DEVICES": "GPU-1"}}
    assert len(judge(gpu_memory_low, gpu=gpu, torch=TORCH, environment=environment)) == 1
    assert judge(gpu_memory_low, gpu=card(memory_free=8 * GIB), torch=TORCH) == []


def test_tensorflow_beside_another_process(problems, judge):
    gpu = card(processes=[{**KERNEL, "memory": GIB}])
    [finding] = problems(gpu_memory_growth, gpu=gpu, tensorflow=TENSORFLOW)
    assert finding.severity is Severity.WARNING
    for variables in (
        {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        {"TF_GPU_ALLOCATOR": "cuda_malloc_async"},
    ):
        environment = {"variables": variables}
        assert (
            judge(gpu_memory_growth, gpu=gpu, tensorflow=TENSORFLOW, environment=environment) == []
        )


def test_tensorflow_beside_torch_is_only_told(judge):
    [finding] = judge(gpu_memory_growth, gpu=card(), tensorflow=TENSORFLOW, torch=TORCH)
    assert finding.severity is Severity.INFO
    assert judge(gpu_memory_growth, gpu=card(), tensorflow=TENSORFLOW) == []


@pytest.mark.parametrize(
    ("device", "severity"),
    [
        ({"error": "GPU is lost"}, Severity.ERROR),
        ({"ecc": True, "ecc_errors": {"uncorrected_volatile": 2}}, Severity.ERROR),
        ({"remapped_rows": {"uncorrected": 8, "failed": True}}, Severity.ERROR),
        ({"remapped_rows": {"uncorrected": 1, "pending": True}}, Severity.WARNING),
        ({"retired_pages": {"double_bit": 1, "pending": True}}, Severity.WARNING),
        ({"throttle_reasons": ["hardware-thermal"], "temperature": 97}, Severity.WARNING),
        ({"throttle_reasons": ["hardware-power-brake"]}, Severity.WARNING),
    ],
)
def test_a_broken_device(problems, device, severity):
    [finding] = problems(gpu_fault, gpu=card(**device))
    assert finding.severity is severity


def test_what_is_normal(judge):
    healthy = card(
        ecc=True,
        ecc_errors={"corrected_volatile": 3, "uncorrected_volatile": 0, "uncorrected_aggregate": 1},
        remapped_rows={"corrected": 2, "uncorrected": 0, "pending": False, "failed": False},
        retired_pages={"single_bit": 1, "double_bit": 0, "pending": False},
        throttle_reasons=["idle", "power-cap", "applications-clocks"],
        temperature=70,
    )
    assert judge(gpu_fault, gpu=healthy) == []


def test_a_driver_without_an_answer(judge):
    gpu = {"nvml": "no-answer", "nvml_error": "nvmlInit did not return within 20 s", "devices": []}
    [finding] = judge(gpu_driver_missing, gpu=gpu)
    assert finding.severity is Severity.WARNING
    [finding] = judge(gpu_driver_missing, gpu=gpu, torch=TORCH)
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"container": "docker"}, "--gpus all"),
        ({"wsl": True}, "/usr/lib/wsl/lib"),
        ({"jetson": {"model": "NVIDIA Jetson Orin Nano"}}, "JetPack"),
        ({}, "Install the NVIDIA driver"),
    ],
)
def test_a_card_without_a_driver_by_place(problems, more, words):
    gpu = {"nvml": "no-library", "devices": [], "pci_vendors": ["nvidia"], **more}
    [finding] = problems(gpu_driver_missing, gpu=gpu, torch=TORCH)
    assert words in finding.remedy.text
