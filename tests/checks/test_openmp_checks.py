"""The check of OpenMP runtimes, by recorded libraries."""

from __future__ import annotations

from typing import Any

import pytest
from mtcnn_doctor.checks.openmp import openmp_duplicates

from mtcnn_doctor.model import Severity
from mtcnn_doctor.sandbox.libraries import describe

GNU = "/env/lib/python3.11/site-packages/torch/lib/libgomp.so.1"
OTHER_GNU = "/env/lib/python3.11/site-packages/scikit_learn.libs/libgomp-a34b3233.so.1.0.0"
INTEL = "/env/lib/libiomp5.so"
LLVM = "/env/lib/python3.11/site-packages/faiss_cpu.libs/libomp-12.so"


def found(*paths: str, outcome: str = "ok", **more: Any) -> list[Any]:
    libraries = describe([*paths, "/lib/libc.so.6", "/env/lib/libopenblas.so.0"])
    run = {"kind": "backend", "name": "torch", "outcome": outcome, "native_libraries": libraries}
    return list(openmp_duplicates.function([{**run, **more}]) or ())


@pytest.mark.parametrize("paths", [(), (GNU,), (INTEL,), (GNU, OTHER_GNU)])
def test_silent(paths: tuple[str, ...]) -> None:
    assert found(*paths) == []
    assert found(*paths, outcome="crash", signal="SIGSEGV") == []


@pytest.mark.parametrize(
    "paths", [(GNU, INTEL), (GNU, LLVM), (INTEL, LLVM), (INTEL, "/else/libiomp5.so")]
)
def test_pairs(paths: tuple[str, str]) -> None:
    (warned,) = found(*paths)
    assert warned.severity is Severity.WARNING
    assert sorted(path for given in warned.evidence.values() for path in given) == sorted(paths)
    (crashed,) = found(*paths, outcome="crash", signal="SIGSEGV", stage="pnet")
    assert crashed.severity is Severity.ERROR
    assert "suspect" in crashed.effect


def test_the_runtime_of_each_file() -> None:
    names = {GNU: "GNU", OTHER_GNU: "GNU", INTEL: "Intel", LLVM: "LLVM"}
    for path, name in names.items():
        (library,) = describe([path])
        assert (library["kind"], library["runtime"]) == ("openmp", f"{name} OpenMP")
    # Not the offloading library, which is no runtime of its own.
    assert describe(["/env/lib/libomptarget.so"]) == []
