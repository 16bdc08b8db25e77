"""What the cascade computes between the networks, apart from the little that takes no time.

Resampling, choosing P-Net's cells and suppressing them, by NumPy. Another implementation of the
same functions is :class:`.compiled.CompiledKernels`; both give the same boxes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .averages import Averages
from .suppression import nms, nms_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Kernels", "all_finite", "margin_of", "passing"]


def passing(
    logits: NDArray[Any], offsets: NDArray[Any], margin: float
) -> tuple[NDArray[np.intp], bool]:
    """Cells of P-Net whose logits differ by at least ``margin``, and whether all are finite.

    ``logits``: (2, N), ``offsets``: (4, N), of any floating type. Cells with an infinity or NaN
    among their six numbers do not pass.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        may = logits[1] - logits[0] >= margin
    clean = all_finite(logits) and all_finite(offsets)
    if not clean:
        may &= np.isfinite(logits).all(axis=0) & np.isfinite(offsets).all(axis=0)
    return np.flatnonzero(may), clean


def margin_of(threshold: float) -> float:
    """Margin of logits that a probability above the threshold surely has, or a little less.

    For a cheap test that never says no wrongly; the exact probability decides afterwards.
    """
    if threshold <= 0:
        return -math.inf
    # Probabilities round to 1 at margins of about 37; 30 is surely before that.
    exact = math.inf if threshold >= 1 else math.log(threshold) - math.log1p(-threshold)
    return min(30.0, exact) - 1e-3


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no number is infinite or NaN."""
    # A sum is finite only if all terms are; that it may overflow costs a second look, no more.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


class Kernels:
    """The functions together, as :func:`.cascade.detect` takes them."""

    averages: Any = Averages
    passing = staticmethod(passing)
    nms = staticmethod(nms)
    nms_grid = staticmethod(nms_grid)
