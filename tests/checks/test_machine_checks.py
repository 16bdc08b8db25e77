import pytest
from mtcnn_doctor.checks.machine import (
    container_memory_limit,
    cpu_instructions,
    thread_oversubscription,
)

from mtcnn_doctor.model import Severity

GIB = 1024**3
OLD = {"machine": "x86_64", "model": "QEMU Virtual CPU", "flags": ["sse", "sse2", "pni", "cx16"]}
V2 = {**OLD, "flags": ["sse2", "ssse3", "sse4_1", "sse4_2", "popcnt"]}


def test_processor_without_avx(problems, installed):
    [finding] = problems(cpu_instructions, cpu=V2, packages=installed("tensorflow==2.20.0"))
    assert finding.severity is Severity.ERROR
    assert "AVX" in finding.title


def test_processor_without_x86_64_v2(problems, installed):
    packages = installed("numpy==2.4.6", "torch==2.9.0")
    [finding] = problems(cpu_instructions, cpu=OLD, packages=packages)
    assert finding.about == "numpy"
    assert problems(cpu_instructions, cpu=OLD, packages=installed("numpy==2.3.5")) == []


def test_what_was_imported_runs(problems, installed):
    packages = installed("numpy==2.4.6")
    assert problems(cpu_instructions, cpu=OLD, packages=packages, numpy={"state": "ok"}) == []


@pytest.mark.parametrize(
    "cpu",
    [
        {**V2, "flags": [*V2["flags"], "avx"]},
        {"machine": "x86_64", "flags": ["sse2", "ssse3", "sse4.1", "sse4.2", "avx1.0"]},
        {"machine": "aarch64", "flags": ["fp", "asimd"]},
        {"machine": "AMD64", "flags": []},
        {"machine": "x86_64"},
    ],
    ids=["avx", "macos", "arm", "windows-unknown", "unknown"],
)
def test_processors_that_suffice_or_are_unknown(problems, installed, cpu):
    packages = installed("tensorflow==2.20.0", "numpy==2.4.6")
    assert problems(cpu_instructions, cpu=cpu, packages=packages) == []


def _threads(**environment):
    return {"environment": environment}


def test_more_threads_than_the_quota(problems):
    cpu = {"logical": 64, "affinity": 64, "quota": 1.5}
    [finding] = problems(thread_oversubscription, cpu=cpu, threads=_threads(OMP_NUM_THREADS="8"))
    assert finding.title == "OMP_NUM_THREADS=8 on 2 processors"
    assert finding.remedy.commands == ("export OMP_NUM_THREADS=2",)


def test_more_threads_than_the_affinity(problems):
    cpu = {"logical": 8, "affinity": 2, "quota": None}
    found = problems(thread_oversubscription, cpu=cpu, threads=_threads(MKL_NUM_THREADS="4,2"))
    assert found[0].evidence["because"] == "the affinity mask allows 2"


def test_thread_settings_within_bounds(problems):
    cpu = {"logical": 8, "affinity": 8, "quota": 4.0}
    for value in ("4", "1", "0", "", "many", "2,2"):
        threads = _threads(OMP_NUM_THREADS=value, OMP_DYNAMIC="100")
        assert problems(thread_oversubscription, cpu=cpu, threads=threads) == []
    assert problems(thread_oversubscription, cpu={}, threads=_threads(OMP_NUM_THREADS="9")) == []


@pytest.mark.parametrize(
    ("total", "limit"),
    [(64 * GIB, 1 * GIB), (64 * GIB, 3 * GIB), (3 * GIB, 1.5 * GIB)],
)
def test_tight_memory_limits(problems, total, limit):
    memory = {"total": total, "cgroup_limit": int(limit), "cgroup_usage": GIB // 4}
    [finding] = problems(container_memory_limit, memory=memory)
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("total", "limit"),
    [(64 * GIB, 24 * GIB), (64 * GIB, 4 * GIB), (6 * GIB, 3.5 * GIB), (GIB, GIB), (64 * GIB, None)],
)
def test_ordinary_memory_limits(problems, total, limit):
    memory = {"total": total, "cgroup_limit": int(limit) if limit else None}
    assert problems(container_memory_limit, memory=memory) == []


def test_resource_limit(problems):
    memory = {"total": 64 * GIB, "rlimits": {"RLIMIT_AS": GIB, "RLIMIT_STACK": 8 << 20}}
    [finding] = problems(container_memory_limit, memory=memory)
    assert "RLIMIT_AS" in finding.title
