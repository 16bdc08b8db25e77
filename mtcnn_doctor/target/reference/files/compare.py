"""A network beside the published one: which layers are equal, or would be if read otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Sequence

import numpy as np

from ..weights import LAYOUT
from .canonical import FLATTENINGS, Convention, flattened, unflatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["better_convention", "compare", "layer_rows"]

#: Rows of a head in an order that others use, by the head.
_ORDERS = {
    "face": {"face and background swapped": [1, 0]},
    "box": {
        "y before x": [1, 0, 3, 2],
        "x1, x2, y1, y2": [0, 2, 1, 3],
    },
    "landmarks": {
        "x and y of each point together": [0, 5, 1, 6, 2, 7, 3, 8, 4, 9],
        "y before x": [5, 6, 7, 8, 9, 0, 1, 2, 3, 4],
        "left and right swapped": [1, 0, 2, 4, 3, 6, 5, 7, 9, 8],
    },
}
#: From here on a layer descends from the published one: other nets have nothing near it.
RELATED = 0.5


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Cosine of two arrays; 0 where one is zero or not finite."""
    with np.errstate(invalid="ignore"):  # a NaN of the signalling kind
        x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return 0.0
    norm = float(np.linalg.norm(x)) * float(np.linalg.norm(y))
    # float32's largest numbers do not overflow when squared in float64.
    return float(x @ y) / norm if norm > 0 else 0.0


def _alternatives(
    name: str, array: NDArray[Any], convention: Convention
) -> Iterator[tuple[str, NDArray[Any]]]:
    layer, role = name.rsplit(".", 1)
    if layer in _ORDERS:
        for words, order in _ORDERS[layer].items():
            inverse = np.argsort(order)
            yield words, array[order]
            if not np.array_equal(order, inverse):
                yield words, array[inverse]
    elif role == "weight" and layer.startswith("conv"):
        yield "height and width swapped", array.transpose(0, 1, 3, 2)
    elif role == "weight":
        matrix = flattened(array, convention.flatten)
        for flatten in FLATTENINGS:
            if flatten != convention.flatten:
                yield f"flattened {flatten}", unflatten(matrix, array.shape[1:], flatten)


def layer_rows(
    network: str,
    arrays: Sequence[NDArray[Any]],
    published: Sequence[NDArray[Any]],
    convention: Convention,
) -> list[dict[str, Any]]:
    """One row a layer's array: equal or not, how near, and whether another reading fits better.

    ``alternative`` names that reading, ``alternative_equal`` tells whether it fits exactly.
    """
    rows = []
    for (name, shape), array, known in zip(LAYOUT[network], arrays, published):
        equal = array.tobytes() == known.tobytes()
        row: dict[str, Any] = {"name": name, "shape": list(shape), "equal": equal}
        if not equal:
            row["correlation"] = round(correlation(array, known), 6)
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.abs(array.astype(np.float64) - known)
            finite = difference[np.isfinite(difference)]
            row["max_difference"] = float(finite.max()) if finite.size else None
            best = row["correlation"]
            for words, other in _alternatives(name, array, convention):
                if other.tobytes() == known.tobytes():
                    row.update(alternative=words, alternative_equal=True, alternative_correlation=1)
                    break
                # Of two or four numbers any may resemble any.
                near = correlation(other, known) if array.ndim > 1 else 0.0
                if near > RELATED and near > best + 0.05:
                    best = near
                    row.update(
                        alternative=words,
                        alternative_equal=False,
                        alternative_correlation=round(near, 6),
                    )
        rows.append(row)
    return rows


def better_convention(
    rows: Sequence[dict[str, Any]], convention: Convention
) -> tuple[Convention, bool]:
    """The convention that the rows speak for, and whether it differs from the one they used."""
    kernels = [row for row in rows if row["name"].startswith("conv") and "weight" in row["name"]]
    swapped = [row for row in kernels if "height" in row.get("alternative", "")]
    straight = [
        row
        for row in kernels
        if row["equal"] or (row not in swapped and row.get("correlation", 0) > RELATED)
    ]
    transposed = convention.transposed != (len(swapped) > len(straight))
    dense = [row for row in rows if row["name"].startswith("fc") and "weight" in row["name"]]
    flatten = convention.flatten
    for row in dense:
        if row.get("alternative", "").startswith("flattened "):
            flatten = row["alternative"].split()[1]
    better = convention._replace(transposed=transposed, flatten=flatten)
    return better, better != convention


def compare(
    network: str, first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]
) -> list[dict[str, Any]]:
    """Two canonical lists layer by layer."""
    rows = []
    for (name, shape), a, b in zip(LAYOUT[network], first, second):
        row: dict[str, Any] = {"name": name, "shape": list(shape)}
        row["equal"] = a.tobytes() == b.tobytes()
        if not row["equal"]:
            with np.errstate(invalid="ignore", over="ignore"):
                difference = np.abs(a.astype(np.float64) - b)
            finite = difference[np.isfinite(difference)]
            changed = a.view(np.uint32) != b.view(np.uint32)
            row["changed"] = int(changed.sum())
            row["of"] = int(a.size)
            row["max_difference"] = float(finite.max()) if finite.size else None
            row["mean_difference"] = float(finite.mean()) if finite.size else None
            row["correlation"] = round(correlation(a, b), 6)
        rows.append(row)
    return rows
