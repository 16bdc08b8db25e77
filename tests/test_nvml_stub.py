"""The real binding of NVML on a library of ours that answers as real drivers do, or worse."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Answer, Doctor

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="compiles a library for Linux"
)
SOURCE = Path(__file__).parent / "probes" / "nvml_stub.c"

Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Compile the library as drivers of today and of yesterday have it."""
    found = {}
    for name, options in (("new", []), ("old", ["-DOLD_DRIVER"])):
        folder = tmp_path_factory.mktemp(name)
        subprocess.run(
            ["cc", "-shared", "-fPIC", *options, "-o", folder / "libnvidia-ml.so.1", SOURCE],
            check=True,
        )
        found[name] = folder
    return found


@pytest.fixture
def ask(doctor: Doctor, libraries: dict[str, Path]) -> Ask:
    def run(*arguments: str, driver: str = "new", **settings: str) -> Answer:
        environment = {f"STUB_{name.upper()}": value for name, value in settings.items()}
        return doctor(
            "check", "--level", "1", "--format", "json", "--select", "gpu", *arguments,
            environment={**environment, "LD_LIBRARY_PATH": str(libraries[driver])},
        )  # fmt: skip

    return run


def gpu_of(answer: Answer) -> dict[str, Any]:
    return answer.report["facts"]["gpu"]


def of_gpus(answer: Answer) -> dict[str, dict[str, Any]]:
    """The findings about GPUs but those about CPU builds, which the tests' frameworks are."""
    return {f["id"]: f for f in answer.findings() if f["id"] != "gpu-cpu-only-build"}


def test_two_healthy_devices(ask: Ask) -> None:
    answer = ask()
    gpu = gpu_of(answer)
    assert (gpu["nvml"], gpu["driver_version"], gpu["cuda_driver_version"]) == (
        "ok", "580.65.06", "13.0",
    )  # fmt: skip
    assert [device["name"] for device in gpu["devices"]] == ["NVIDIA L4", "NVIDIA L4"]
    assert gpu["devices"][1]["compute_capability"] == "8.9"
    assert gpu["devices"][0]["throttle_reasons"] == ["idle"]
    assert of_gpus(answer) == {}
    assert "gpu-none" not in {f["id"] for f in answer.report["findings"] if f["severity"] == "info"}


def test_an_old_driver_that_lacks_functions(ask: Ask) -> None:
    gpu = gpu_of(ask(driver="old", reasons="0x40"))
    device = gpu["devices"][0]
    # By its older name.
    assert device["throttle_reasons"] == ["hardware-thermal"]
    assert device["memory_total"] == 23034 * 2**20
    assert "remapped_rows" in device["unanswered"]


def test_instances_of_mig(ask: Ask) -> None:
    answer = ask(mig="2")
    device = gpu_of(answer)["devices"][0]
    assert device["mig"] is True
    assert len(device["mig_uuids"]) == 2
    assert all(uuid.startswith("MIG-") for uuid in device["mig_uuids"])
    assert of_gpus(answer) == {}


def test_broken_memory(ask: Ask) -> None:
    found = of_gpus(ask(ecc="5,2,9,3", rows="1,1,1,0"))
    assert found["gpu-fault"]["severity"] == "error"
    assert found["gpu-fault"]["evidence"]["uncorrected errors"] == 2


def test_who_holds_the_memory(ask: Ask) -> None:
    answer = ask("--expect-gpu", processes="77:/usr/bin/python3:22000,78:/bin/other:-1",
                 memory="23034,100")  # fmt: skip
    first = gpu_of(answer)["devices"][0]
    assert [row["pid"] for row in first["processes"]] == [77, 78]
    assert "memory" not in first["processes"][1]  # the driver does not know
    [low] = [f for f in answer.findings() if (f["id"], f["about"]) == ("gpu-memory-low", "0")]
    assert low["severity"] == "error"
    assert "python3 77" in low["remedy"]["text"]


def test_a_driver_that_is_not_loaded(ask: Ask) -> None:
    gpu = gpu_of(ask(fail="nvmlInitWithFlags=9"))
    assert gpu["nvml"] == "no-driver"


def test_one_lost_device_hides_no_other(ask: Ask) -> None:
    answer = ask(fail="nvmlDeviceGetHandleByIndex_v2@0=15")
    lost, other = gpu_of(answer)["devices"]
    assert "lost" in lost["error"]
    assert other["name"] == "NVIDIA L4"
    assert "GPU is lost" in of_gpus(answer)["gpu-fault"]["title"]


@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetMemoryInfo"])
def test_a_driver_that_kills_who_asks(ask: Ask, function: str) -> None:
    answer = ask(crash=function)
    finding = of_gpus(answer)["gpu-driver-missing"]
    assert "SIGSEGV" in finding["title"]
    assert answer.report["verdict"] != "pass"
    assert any("SIGSEGV" in reason for reason in answer.report["incomplete"])
    if function == "nvmlDeviceGetMemoryInfo":
        # What was known by then is not lost.
        assert gpu_of(answer)["driver_version"] == "580.65.06"
        assert "nvmlDeviceGetMemoryInfo" in finding["title"]


def test_a_driver_that_hangs(ask: Ask) -> None:
    answer = ask("--timeout", "2", hang="nvmlDeviceGetTemperature")
    finding = of_gpus(answer)["gpu-driver-missing"]
    assert "nvmlDeviceGetTemperature did not return within 2 s" in finding["title"]
    gpu = gpu_of(answer)
    assert gpu["devices"][0]["name"] == "NVIDIA L4"
    # The rest of the report is there.
    assert answer.report["facts"]["packages"]["distributions"]
    assert answer.report["incomplete"]
