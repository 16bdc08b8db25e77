"""Whether a network's answer is the right one, and if not, which layer is the first to blame.

In two steps. All numbers are held against NumPy's in float64; where the largest difference is, and
at a few places in any case, the network is computed once more in Python's own arithmetic
(:mod:`.exact_networks`), and that alone decides. So a NumPy that computes wrongly neither accuses a
sound backend nor acquits itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

from .exact_networks import ExactNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TOLERANCE", "NetworkJudge", "seen"]

#: Largest difference in logits and offsets that rounding can explain. Two float32 networks with
#: different summation orders differ by about 1e-4 at most on logits of size 10 to 20.
TOLERANCE = 1e-2

#: What was compared with what, in the words of the report.
AGAINST = "Python's own arithmetic at the place of the largest difference from NumPy in float64"

_OUTPUTS = {
    "pnet": ("logits", "offsets"),
    "rnet": ("logits", "offsets"),
    "onet": ("logits", "offsets", "landmarks"),
}
_NAMES = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}

#: Row and column of P-Net's map, or the number of a crop and 0.
Place = Tuple[int, int]


class NetworkJudge:
    """Judges the calls of one backend's networks. ``arrays``: the weights of all three."""

    def __init__(self, ours: Any, arrays: Any) -> None:
        import numpy

        from ..reference.networks.numpy_backend import NumpyNetworks

        self._ours = ours
        self._many = NumpyNetworks(arrays, numpy.float64)
        self._few = {name: ExactNetwork(name, arrays[name]) for name in _OUTPUTS}
        #: Largest difference so far that was within the tolerance.
        self.worst = 0.0
        #: Calls in which NumPy's float64 was refuted, and the backend was not.
        self.numpy_refuted: list[str] = []

    def difference(
        self, network: str, step: str, x: NDArray[Any], answers: Any
    ) -> dict[str, Any] | None:
        """Return where and how a call's answers are wrong, None where they are right."""
        import numpy

        answers = [numpy.asarray(answer) for answer in answers]
        wanted = getattr(self._many, network)(x)
        for name, got, want in zip(_OUTPUTS[network], answers, wanted):
            if got.shape != want.shape:
                said = f"of shape {list(got.shape)} where {list(want.shape)} is right"
                shapes = {"shape": list(got.shape), "expected_shape": list(want.shape)}
                return self._found(network, step, name, said, shapes, x, (0, 0))
        if not wanted[0].size:
            return None
        errors = [
            numpy.nan_to_num(numpy.abs(got.astype("float64") - want), nan=numpy.inf)
            for got, want in zip(answers, wanted)
        ]
        suspicious = not all(float(error.max()) <= TOLERANCE for error in errors)
        for place in _places(network, errors, answers[0]):
            found = self._judged(network, step, x, answers, place)
            if found is not None:
                return found
        if suspicious:
            self.numpy_refuted.append(f"{_NAMES[network]} ({step})")
        else:
            self.worst = max(self.worst, *(float(error.max()) for error in errors))
        return None

    def _judged(
        self, network: str, step: str, x: NDArray[Any], answers: list[Any], place: Place
    ) -> dict[str, Any] | None:
        exact = self._few[network].heads(seen(network, x, place))
        for name, got, want in zip(_OUTPUTS[network], answers, exact):
            values = _at(network, got, place)
            errors = [abs(value - right) for value, right in zip(values, want)]
            # NaN compares false with everything: "not within" catches it too.
            if all(error <= TOLERANCE for error in errors):
                continue
            finite = all(error < float("inf") for error in errors)
            error = max(errors) if finite else None
            said = f"off by up to {error:.3g}" if error is not None else "is NaN or infinite"
            where = f"crop {place[0] + 1} of the call"
            if network == "pnet":
                where = f"row {place[0] + 1}, column {place[1] + 1} of the map"
            more = {"max_error": error, "tolerance": TOLERANCE, "finite": finite, "where": where}
            return self._found(network, step, name, f"{said} at {where}", more, x, place)
        return None

    def _found(
        self,
        network: str,
        step: str,
        output: str,
        said: str,
        more: dict[str, Any],
        x: NDArray[Any],
        place: Place,
    ) -> dict[str, Any]:
        from .layers import words

        layer = self._layer(network, x, "" if "shape" in more else output, place)
        text = f"{network} ({step}): {output} {said}"
        how = words(layer)
        return {
            "stage": network,
            "step": step,
            "output": output,
            **more,
            "against": AGAINST if "shape" not in more else "the shape that the network must give",
            **layer,
            **({"layer_text": how} if how else {}),
            "text": f"{text}; {how}" if how else text,
        }

    def _layer(self, network: str, x: NDArray[Any], output: str, place: Place) -> dict[str, Any]:
        """Return the first layer that differs, for a backend whose layers can be listened to."""
        from .layers import HEADS

        try:
            heard, at = self._heard(network, x, place)
            found = _first_layer(self._few[network], network, x, place, heard, at)
        except Exception:
            return {}  # the network is named, and that is all
        if heard and found is None:
            return {"layer": HEADS[output]} if output in HEADS else {}
        return found or {}

    def _heard(
        self, network: str, x: NDArray[Any], place: Place
    ) -> tuple[list[NDArray[Any]], Place]:
        """Return the layers' outputs, and the place as it is counted in them."""
        from ..reference.networks import numpy_backend
        from . import layers

        run = getattr(self._ours, network)
        trunk: Any = getattr(getattr(self._ours, "_" + network, None), "trunk", None)
        if hasattr(trunk, "children"):
            return layers.heard_in_torch(trunk.children(), lambda: run(x)), place
        if not isinstance(self._ours, numpy_backend.NumpyNetworks):
            return [], place
        pieces = layers.heard_in_numpy(self._ours, network, x)
        # All pieces but the last are of one length.
        each = pieces[0][-1].shape[2] if network == "pnet" else len(pieces[0][0])
        piece, first = divmod(place[0], each)
        return pieces[piece], (first, place[1])


def seen(network: str, x: NDArray[Any], place: Place) -> Any:
    """Return the planes that a cell of P-Net sees, or a crop."""
    row, column = place
    if network == "pnet":
        return x[0, :, 2 * row : 2 * row + 12, 2 * column : 2 * column + 12].tolist()
    return x[row].tolist()


def _at(network: str, output: NDArray[Any], place: Place) -> list[float]:
    """Return the numbers that a network answered for a cell or a crop."""
    row, column = place
    found: list[float] = (output[0, :, row, column] if network == "pnet" else output[row]).tolist()
    return found


def _places(network: str, errors: list[NDArray[Any]], logits: NDArray[Any]) -> list[Place]:
    """Return where to look: at the largest difference first, then at fixed places."""
    largest = sum(error.max(axis=1) for error in errors)
    index = int(largest.argmax())
    if network != "pnet":
        return list(dict.fromkeys([(index, 0), (0, 0)]))
    rows, columns = largest.shape[1:]
    sure = int((logits[0, 1] - logits[0, 0]).argmax())
    flat = (index, sure, 0, rows * columns - 1, rows // 2 * columns + columns // 2)
    return list(dict.fromkeys(divmod(place, columns) for place in flat))


def _first_layer(
    exact: ExactNetwork,
    network: str,
    x: NDArray[Any],
    place: Place,
    heard: list[NDArray[Any]],
    at: Place,
) -> dict[str, Any] | None:
    """Return the first of the layers heard that differs from the exact one at a place.

    ``at`` is the place in what was heard, which may be a piece of the call only.
    """
    from .layers import TOLERANCE as SHARE

    whole = at == place and network == "pnet"
    for (name, want), got in zip(exact.layers(seen(network, x, place)), heard):
        if isinstance(want[0], list):
            size = [len(want[0]), len(want[0][0])]
            shape = [len(got), len(want), *(_map_size(name, x.shape[2:]) if whole else size)]
            numbers = [number for plane in want for row in plane for number in row]
        else:
            size, shape, numbers = [], [len(got), len(want)], want
        if (whole or network != "pnet") and list(got.shape) != shape:
            return {
                "layer": name,
                "layer_shape": list(got.shape),
                "layer_expected_shape": shape,
            }
        if network == "pnet":
            # In front of the pooling a cell is two pixels, behind it one.
            row, column = (step * (2 if name in ("conv1", "prelu1") else 1) for step in at)
            part = got[0, :, row : row + size[0], column : column + size[1]]
        else:
            part = got[at[0]]
        errors = [abs(a - b) for a, b in zip(part.reshape(-1).tolist(), numbers)]
        limit = SHARE * max(1.0, *map(abs, numbers))
        if not all(error <= limit for error in errors):
            finite = all(error < float("inf") for error in errors)
            error = max(errors) if finite else None
            return {"layer": name, "layer_error": error, "layer_finite": finite}
    return None


def _map_size(layer: str, sizes: Any) -> list[int]:
    """Return height and width of a map of P-Net for an input of a size."""
    found = []
    for length in sizes:
        first = length - 2
        pooled = (first - 1) // 2 + 1 if first > 1 else 1
        lengths = {"conv1": first, "pool1": pooled, "conv2": pooled - 2, "conv3": pooled - 4}
        found.append(lengths[layer.replace("prelu", "conv")])
    return found
