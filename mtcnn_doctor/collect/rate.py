"""What is asked of the target before any backend is measured: its speed."""

from __future__ import annotations

from typing import Any

from mtcnn_doctor.collect.request import Collected, Request, ask_child

#: What tells the libraries behind NumPy how many threads to use.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_LIMIT_S = 30.0


def blas_threads(threads: int | None) -> dict[str, str]:
    """Return the variables that make NumPy's library use so many threads; None leaves them."""
    return {} if threads is None else dict.fromkeys(_VARIABLES, str(threads))


def ask_rate(request: Request, collected: Collected) -> None:
    """Measure the float32 rate of the target's NumPy; the fact ``rate`` is absent where it fails.

    With as many threads as the backends get, and with one. Other programs may take so much of the
    machine that one thread comes out faster; then its rate counts, and ``disturbed`` says so.
    """
    threads = request.tuning.threads
    best = _measure(request, threads)
    if best is None:
        return
    single = best if threads == 1 else _measure(request, 1)
    single_gflops = None if single is None else single["gflops"]
    with collected.lock:
        collected.facts["rate"] = {
            **best,
            "gflops": max(best["gflops"], single_gflops or 0.0),
            "threads": threads,
            "single_gflops": single_gflops,
            "disturbed": best["gflops"] < (single_gflops or 0.0),
        }


def _measure(request: Request, threads: int | None) -> dict[str, Any] | None:
    ending = ask_child(
        request,
        "machine",
        {"task": "rate"},
        limit_s=_LIMIT_S,
        environment=blas_threads(threads),
    )
    found = ending.last("rate")
    return None if found is None else {key: found[key] for key in found if key != "t"}
