"""NumPy or its matrix library computes wrongly: the first stage of the cascade that is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Doctor

pytest.importorskip("numpy")

Patch = Callable[[str, str], dict[str, str]]


def traced(
    doctor: Doctor, environment: dict[str, str], *backends: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the divergence of the first backend's run and its finding."""
    names = backends or ("numpy",)
    asked = [part for name in names for part in ("--backend", name)]
    answer = doctor("check", *asked, "--format", "json", environment=environment)
    found = next(f for f in answer.findings() if f["about"] == names[0])
    assert found["id"] == "backend-wrong-result", found
    return answer.run(names[0])["divergence"], found


def test_resampling_by_a_broken_matmul(doctor: Doctor, patch_module: Patch) -> None:
    """Only the products of the pyramid are wrong: many rows times sixteen columns."""
    broken = patch_module(
        "numpy",
        """
        matmul = module.matmul
        def wrong(a, b, out=None, **more):
            result = matmul(a, b, out=out, **more)
            if a.ndim == 2 and b.shape[1] <= 16 and len(a) > 100:
                result[len(a) // 2] = 0.9
            return result
        module.matmul = wrong
        """,
    )
    divergence, found = traced(doctor, broken)
    assert (divergence["stage"], divergence["part"]) == ("pyramid", "pixels")
    assert 0.1 < divergence["max_error"] < 2
    assert "first in the pixels of the pyramid" in found["title"]
    assert "at row " in found["evidence"]["first difference"]
    assert found["evidence"]["compared with"].startswith("Python's own arithmetic")
    assert "do not trust numpy on this machine" in found["remedy"]["text"]


def test_a_layer_by_a_broken_matmul(doctor: Doctor, patch_module: Patch) -> None:
    """A matrix library that is wrong for the shape of O-Net's second convolution."""
    broken = patch_module(
        "numpy",
        """
        matmul = module.matmul
        def wrong(a, b, out=None, **more):
            result = matmul(a, b, out=out, **more)
            if a.shape == (64, 288):
                result[7] += 3
            return result
        module.matmul = wrong
        """,
    )
    divergence, found = traced(doctor, broken)
    assert (divergence["stage"], divergence["layer"]) == ("onet", "conv2")
    assert divergence["layer_error"] == pytest.approx(3, abs=0.01)
    assert "layer conv2 is off by up to 3" in found["evidence"]["first difference"]


def test_suppression_by_a_broken_argsort(doctor: Doctor, patch_module: Patch) -> None:
    """Wrong only where the best scores are to come first."""
    broken = patch_module(
        "numpy",
        """
        argsort = module.argsort
        def wrong(a, *more, **named):
            return argsort(-a if len(a) > 1 and a.max() < 0 else a, *more, **named)
        module.argsort = wrong
        """,
    )
    divergence, found = traced(doctor, broken)
    assert (divergence["stage"], divergence["part"]) == ("pyramid", "suppression")
    assert "first in suppression" in found["title"]
    assert "wrongly dropped" in found["evidence"]["first difference"]


def test_an_exception_that_comes_of_a_wrong_number(doctor: Doctor, patch_module: Patch) -> None:
    """A sort that is wrong everywhere ends in an IndexError while crops are cut."""
    broken = patch_module(
        "numpy",
        """
        argsort = module.argsort
        module.argsort = lambda a, *more, **named: argsort(-a, *more, **named)
        """,
    )
    answer = doctor("check", "--backend", "numpy", "--format", "json", environment=broken)
    (found,) = answer.findings()
    assert (found["id"], "IndexError" in found["title"]) == ("backend-error", True)
    assert found["evidence"]["first difference"].startswith("suppression (level 1)")


def test_boxes_by_a_broken_truncation(doctor: Doctor, patch_module: Patch) -> None:
    broken = patch_module(
        "numpy", "trunc = module.trunc\nmodule.trunc = lambda x: trunc(x + 40) if len(x) else x"
    )
    divergence, _ = traced(doctor, broken)
    assert divergence["part"] == "proposals"
    assert divergence["max_error"] == pytest.approx(40, abs=1)


def test_crops_by_a_broken_difference(doctor: Doctor, patch_module: Patch) -> None:
    """Only windows of crops are three-dimensional there."""
    broken = patch_module(
        "numpy",
        """
        diff = module.diff
        def wrong(a, axis=-1):
            result = diff(a, axis=axis)
            return result * 0.5 if a.ndim == 3 and axis == 1 and a.shape[1] == 49 else result
        module.diff = wrong
        """,
    )
    divergence, found = traced(doctor, broken)
    assert divergence["part"] == "onet-crops"
    assert "first in O-Net's crops" in found["title"]


def test_nan_is_traced_to_the_stage_that_makes_it(doctor: Doctor, patch_module: Patch) -> None:
    broken = patch_module(
        "numpy",
        """
        subtract = module.subtract
        def wrong(a, b, out=None, **more):
            result = subtract(a, b, out=out, **more)
            if out is not None and out.ndim == 3 and out.shape[1] == 40:
                out[1, 5, 5] = float("nan")
            return result
        module.subtract = wrong
        """,
    )
    divergence, found = traced(doctor, broken)
    assert (divergence["part"], divergence["finite"]) == ("pixels", False)
    assert "NaN or infinite at row 6, column 6, channel 1" in found["evidence"]["first difference"]


def test_nan_is_traced_to_its_layer_in_numpy(doctor: Doctor, patch_module: Patch) -> None:
    broken = patch_module(
        "numpy",
        """
        maximum = module.maximum
        def wrong(a, b, out=None, **more):
            result = maximum(a, b, out=out, **more)
            if out is not None and len(out) == 128 and out.ndim == 2 and b is 0:
                out[3] = float("nan")
            return result
        module.maximum = wrong
        """.replace("b is 0", "isinstance(b, int)"),
    )
    divergence, found = traced(doctor, broken)
    assert (divergence["stage"], divergence["layer"]) == ("rnet", "prelu4")
    assert divergence["layer_finite"] is False
    assert "layer prelu4 makes NaN or infinity" in found["evidence"]["first difference"]


#: Stands before the matrix library in NumPy's wheel, and is wrong for products of 576 numbers.
MATRIX_LIBRARY = """
#include <dlfcn.h>
#include <stddef.h>
typedef long long number;
typedef void gemm(int, int, int, number, number, number, float, const float *, number,
                  const float *, number, float, float *, number);
void scipy_cblas_sgemm64_(int order, int ta, int tb, number m, number n, number k, float alpha,
                          const float *a, number lda, const float *b, number ldb, float beta,
                          float *c, number ldc) {
    static gemm *real = NULL;
    if (!real) real = (gemm *)dlsym(dlopen(REAL, RTLD_LAZY), "scipy_cblas_sgemm64_");
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (k == 576 && order == 101) for (number row = 0; row < m; row++) c[row * ldc] += 5;
}
"""


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="LD_PRELOAD and a C compiler"
)
def test_a_matrix_library_that_is_wrong_for_one_shape(doctor: Doctor, tmp_path: Path) -> None:
    """The first of sixteen crops is given wrong numbers by the layers of 576 products."""
    import numpy

    libraries = Path(numpy.__file__).parent.parent / "numpy.libs"
    real = next(libraries.glob("libscipy_openblas64_*"), None)
    if real is None:
        pytest.skip("this NumPy has another matrix library")
    source, library = tmp_path / "wrong.c", tmp_path / "wrong.so"
    source.write_text(MATRIX_LIBRARY)
    subprocess.run(
        ["cc", "-shared", "-fPIC", f'-DREAL="{real}"', source, "-o", library, "-ldl"],
        check=True, timeout=60,
    )  # fmt: skip
    divergence, found = traced(doctor, {"LD_PRELOAD": str(library)})
    assert (divergence["stage"], divergence["layer"]) == ("rnet", "dense4")
    assert "layer dense4 is off by up to 5" in found["evidence"]["first difference"]


@pytest.mark.exhaustive
def test_a_broken_numpy_does_not_accuse_a_sound_layer(doctor: Doctor, patch_module: Patch) -> None:
    """NumPy in float64 is wrong everywhere, torch in one layer: that layer is named."""
    pytest.importorskip("torch")
    broken = patch_module(
        "torch.nn.functional",
        """
        import numpy
        matmul, linear = numpy.matmul, module.linear
        def wrong(a, b, out=None, **more):
            result = matmul(a, b, out=out, **more)
            return numpy.add(result, 1, out=out) if result.dtype == "float64" else result
        def shifting(input, weight, bias=None):
            result = linear(input, weight, bias)
            return result + 0.11 if tuple(weight.shape) == (4, 256) else result
        numpy.matmul, module.linear = wrong, shifting
        """,
    )
    divergence, found = traced(doctor, broken, "torch", "numpy")
    assert (divergence["stage"], divergence["output"]) == ("onet", "offsets")
    assert divergence["layer"] == "the box head"
    assert "P-Net (level 1 of" in found["evidence"]["NumPy"]


def test_what_numpy_does_wrongly_is_told_once(doctor: Doctor, patch_module: Patch) -> None:
    """The backends' own networks are sound: their findings are consequences of NumPy's."""
    pytest.importorskip("onnxruntime")
    broken = patch_module(
        "numpy", "trunc = module.trunc\nmodule.trunc = lambda x: trunc(x + 40) if len(x) else x"
    )
    answer = doctor("check", "--backend", "onnxruntime", "--backend", "numpy", "--format", "json",
                    environment=broken)  # fmt: skip
    (found,) = answer.findings()
    assert (found["id"], found["about"]) == ("backend-wrong-result", "numpy")
    assert answer.run("onnxruntime")["divergence"]["part"] == "proposals"


@pytest.mark.exhaustive
def test_a_fault_that_stays_away_is_not_explained(
    doctor: Doctor, patch_module: Patch, tmp_path: Path
) -> None:
    """It strikes in one process only: when the stages are compared, all of them are right."""
    broken = patch_module(
        "numpy",
        f"""
        import pathlib
        struck = pathlib.Path({str(tmp_path / "struck")!r})
        armed, matmul = not struck.exists(), module.matmul
        def wrong(a, b, out=None, **more):
            result = matmul(a, b, out=out, **more)
            if armed and a.shape == (64, 288):
                struck.touch()
                result[7] += 3
            return result
        module.matmul = wrong
        """,
    )
    divergence, found = traced(doctor, broken)
    assert (divergence["stage"], divergence["repeated"]) == (None, False)
    assert "did not come back" in found["evidence"]["stages"]
    assert ", first in" not in found["title"]
