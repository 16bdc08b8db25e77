import pytest
from mtcnn_doctor.checks.gpu_fit import (
    gpu_arch_unsupported,
    gpu_cudnn_mismatch,
    gpu_driver_too_old,
    gpu_libraries_missing,
)

from mtcnn_doctor.knowledge.gpus import cuda_of_driver, has_code_for, runs
from mtcnn_doctor.model import Severity


def card(driver="550.54.15", cuda="12.4", capability="8.9", **more):
    device = {"index": 0, "name": "NVIDIA L4", "compute_capability": capability, **more}
    return {
        "nvml": "ok",
        "driver_version": driver,
        "cuda_driver_version": cuda,
        "devices": [device],
    }


NONE = {"nvml": "no-library", "devices": []}


def torch(cuda="12.8", sees=True, **build):
    return {
        "state": "ok",
        "version": f"2.9.0+cu{cuda.replace('.', '')}",
        "build": {"cuda": cuda, "cuda_available": sees, **build},
    }


@pytest.mark.parametrize(
    ("driver", "build", "answer"),
    [
        ("12.4", "12.8", True),  # minor-version compatibility
        ("13.0", "11.8", True),  # older builds always run
        ("12.4", "13.0", False),
        ("11.4", "12.1", False),
        ("10.1", "10.2", False),  # before CUDA 11 the minor release counted
        ("10.2", "10.1", True),
        ("", "12.8", True),  # nothing known, nothing said
    ],
)
def test_which_driver_runs_which_build(driver, build, answer):
    assert runs(driver, build) is answer


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [
        ("450.80.02", "11.0"),
        ("536.40", "12.2"),
        ("610.43.02", "13.3"),
        ("390.1", None),
        (None, None),
    ],
)
def test_cuda_by_the_branch_of_a_driver(driver, cuda):
    assert cuda_of_driver(driver) == cuda


def test_a_driver_of_an_older_major_release(problems):
    [finding] = problems(gpu_driver_too_old, gpu=card(), torch=torch("13.0", sees=False))
    assert finding.severity is Severity.ERROR
    assert "580.65.06" in finding.remedy.text
    # A build that this driver runs, by its index.
    assert "whl/cu12" in finding.remedy.commands[0]


def test_the_driver_is_told_without_importing(problems, installed):
    packages = installed("torch==2.12.0+cu130")
    gpu = {**card(), "cuda_driver_version": None}
    [finding] = problems(gpu_driver_too_old, gpu=gpu, packages=packages)
    assert finding.evidence["CUDA of the driver"] == "12.4"


def test_the_cuda_of_a_torch_without_a_label(judge, problems, installed):
    """From PyPI its version does not say; the libraries that came with it do."""
    brought = "torch==2.13.0: nvidia-cudnn-cu13==9.20.0.48 ; platform_system == 'Linux'"
    with_libraries = installed(brought, "nvidia-cudnn-cu13==9.20.0.48")
    [finding] = problems(gpu_driver_too_old, gpu=card(), packages=with_libraries)
    assert finding.evidence["CUDA of the build"] == "13.0"
    old = card("580.65.06", "13.0", capability="6.1")
    [finding] = problems(gpu_arch_unsupported, gpu=old, packages=with_libraries)
    assert "6.1" in finding.title
    # The same metadata where the marker did not hold: no CUDA came with it.
    assert judge(gpu_driver_too_old, gpu=card(), packages=installed(brought)) == []
    # What the build says of itself goes before what lies beside it.
    own = {"state": "ok", "version": "2.13.0", "build": {"cuda": None}}
    assert judge(gpu_driver_too_old, gpu=card(), packages=with_libraries, torch=own) == []


def test_code_that_is_translated_for_no_newer_card(problems):
    build = torch("12.8", sees=True, arch_list=["sm_90a", "compute_90a"])
    gpu = card("580.65.06", "13.0", capability="12.0")
    [finding] = problems(gpu_arch_unsupported, gpu=gpu, torch=build)
    assert "12.0" in finding.title


def test_drivers_that_will_do(judge):
    assert judge(gpu_driver_too_old, gpu=card(), torch=torch("12.8", sees=False)) == []
    # Compatibility packages let an old driver run newer builds: what is seen works.
    assert judge(gpu_driver_too_old, gpu=card(), torch=torch("13.0", sees=True)) == []
    assert judge(gpu_driver_too_old, gpu=NONE, torch=torch("13.0", sees=False)) == []


def test_tensorflow_for_a_newer_driver(problems):
    tensorflow = {
        "state": "ok",
        "version": "2.21.0",
        "build": {"is_cuda_build": True, "cuda_version": "12.5.1", "devices": []},
    }
    gpu = card("470.57.02", "11.4")
    [finding] = problems(gpu_driver_too_old, gpu=gpu, tensorflow=tensorflow)
    assert finding.about == "tensorflow"
    assert "525.60.13" in finding.remedy.text


@pytest.mark.parametrize(
    ("capability", "compiled", "ptx", "answer"),
    [
        ("8.6", ("8.0",), (), True),
        ("8.0", ("8.6",), (), False),
        ("9.0", ("8.0", "8.6"), (), False),
        ("12.0", ("8.0", "9.0"), ("9.0",), True),
        ("6.1", ("7.0", "8.0"), ("7.0",), False),
        ("10.3", ("10.0",), (), True),
        ("", ("8.0",), (), True),
    ],
)
def test_which_device_runs_which_code(capability, compiled, ptx, answer):
    assert has_code_for(capability, compiled, ptx) is answer


def test_a_card_newer_than_the_build(problems):
    arch = ["sm_50", "sm_60", "sm_70", "sm_80", "sm_86", "sm_90a"]
    gpu = card(capability="12.0")
    [finding] = problems(gpu_arch_unsupported, gpu=gpu, torch=torch(arch_list=arch))
    assert "12.0" in finding.title
    assert finding.evidence["known by"] == "torch itself"
    assert "whl/cu" in finding.remedy.commands[0]


def test_a_card_that_new_releases_dropped(problems, installed):
    packages = installed("torch==2.11.0+cu128")
    gpu = card(capability="7.0")
    [finding] = problems(gpu_arch_unsupported, gpu=gpu, packages=packages)
    assert "cu126" in finding.remedy.commands[0]


def test_cards_that_the_build_knows(judge, installed):
    arch = ["sm_80", "sm_90", "compute_90"]
    for capability in ("8.0", "8.9", "9.0", "12.0"):
        gpu = card(capability=capability)
        assert judge(gpu_arch_unsupported, gpu=gpu, torch=torch(arch_list=arch)) == []
    packages = installed("torch==2.11.0+cu128")
    assert judge(gpu_arch_unsupported, gpu=card(), packages=packages) == []
    # A release of which nothing is known.
    packages = installed("torch==9.9.0+cu128")
    assert judge(gpu_arch_unsupported, gpu=card(capability="7.0"), packages=packages) == []


def test_tensorflow_says_what_it_was_compiled_for(problems):
    build = {"is_cuda_build": True, "cuda_compute_capabilities": ["sm_60", "sm_70", "compute_80"]}
    tensorflow = {"state": "ok", "version": "2.15.1", "build": build}
    [finding] = problems(gpu_arch_unsupported, gpu=card(capability="5.2"), tensorflow=tensorflow)
    assert finding.evidence["compiled for"] == "6.0, 7.0, 8.0 (PTX)"
    assert problems(gpu_arch_unsupported, gpu=card(), tensorflow=tensorflow) == []


def test_torch_that_does_not_find_a_library(problems):
    error = "libcudnn.so.9: cannot open shared object file: No such file or directory"
    fact = {"state": "not-loadable", "error": {"type": "ImportError", "message": error}}
    [finding] = problems(gpu_libraries_missing, gpu=NONE, torch=fact)
    assert finding.title == "torch does not find libcudnn.so.9"
    assert finding.effect == "torch cannot be imported."


DLOPEN = (
    "2026-11-01 10:00:00: W external/local_xla/xla/tsl/dlopen.cc:34] Could not load dynamic library"
    " 'libcudnn.so.8'; dlerror: libcudnn.so.8: cannot open shared object file: No such file\n"
)


def test_tensorflow_that_does_not_find_a_library(problems, judge):
    build = {"is_cuda_build": True, "devices": []}
    fact = {"state": "ok", "version": "2.13.0", "build": build, "stderr_tail": DLOPEN}
    [finding] = problems(gpu_libraries_missing, gpu=card(), tensorflow=fact)
    assert "libcudnn.so.8" in finding.title
    assert finding.remedy.commands == ('pip install "tensorflow[and-cuda]"',)
    # The same words on a machine without a GPU are no fault of anybody.
    assert judge(gpu_libraries_missing, gpu=NONE, tensorflow=fact) == []


def test_onnxruntime_whose_provider_does_not_load(problems):
    said = "libcublasLt.so.12: cannot open shared object file: No such file or directory"
    fact = {"state": "ok", "version": "1.22.0", "build": {"cuda_provider": said}}
    [finding] = problems(gpu_libraries_missing, gpu=card(), onnxruntime=fact)
    assert "libcublasLt.so.12" in finding.title
    fact["build"]["cuda_provider"] = "ok"
    assert problems(gpu_libraries_missing, gpu=card(), onnxruntime=fact) == []


def test_without_the_drivers_own_library_it_is_another_finding(judge):
    said = "Could not load dynamic library 'libcuda.so.1'; dlerror: cannot open shared object file"
    fact = {"state": "ok", "build": {"is_cuda_build": True, "devices": []}, "stderr_tail": said}
    assert judge(gpu_libraries_missing, gpu=card(), tensorflow=fact) == []


def test_libraries_that_another_folder_brings(problems, judge):
    mapped = [
        "/usr/local/cuda-11.8/lib64/libcublas.so.11.11.3.6",
        "/venv/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
        "/usr/lib/x86_64-linux-gnu/libcuda.so.550.54.15",
    ]
    environment = {"variables": {"LD_LIBRARY_PATH": "/usr/local/cuda-11.8/lib64:/usr/lib"}}
    fact = torch(sees=False, cuda_libraries=mapped)
    [finding] = problems(gpu_libraries_missing, gpu=card(), torch=fact, environment=environment)
    assert finding.severity is Severity.ERROR
    assert finding.evidence["taken"] == mapped[0]
    seen = torch(sees=True, cuda_libraries=mapped)
    [finding] = problems(gpu_libraries_missing, gpu=card(), torch=seen, environment=environment)
    assert finding.severity is Severity.WARNING
    assert judge(gpu_libraries_missing, gpu=card(), torch=fact, environment={}) == []
    # A build that uses the system's CUDA on purpose.
    fact = torch(cuda_libraries=mapped[:1])
    assert judge(gpu_libraries_missing, gpu=card(), torch=fact, environment=environment) == []


def test_cudnn_that_torch_refuses(problems, judge):
    said = "cuDNN version incompatibility: compiled against (8, 9, 2) but found (8, 5, 0)"
    [finding] = problems(gpu_cudnn_mismatch, torch=torch(cudnn_error=said))
    assert finding.evidence["it says"] == said
    [finding] = problems(gpu_cudnn_mismatch, torch=torch(cudnn=8902, cudnn_compiled=90100))
    assert "8902" in finding.evidence["it says"]
    assert judge(gpu_cudnn_mismatch, torch=torch(cudnn=91002, cudnn_compiled=90100)) == []


def test_cudnn_that_tensorflow_refuses_in_its_run(problems, judge):
    said = "Loaded runtime CuDNN library: 9.1.0 but source was compiled with: 9.3.0.  CuDNN"
    runs = [{"name": "tensorflow", "outcome": "error", "stderr_tail": said}]
    [finding] = problems(gpu_cudnn_mismatch, tensorflow={"state": "ok"}, runs=runs)
    assert finding.about == "tensorflow"
    assert judge(gpu_cudnn_mismatch, tensorflow={"state": "ok"}, runs=[]) == []
