"""The first layer inside a network whose output differs from the published one's.

The published network is computed here layer by layer in float64; the network under examination is
listened to while it works (PyTorch) or walked through (Keras).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Iterator, Sequence

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Error of a layer, as a share of its largest value (at least 1), that rounding cannot explain:
#: float32 sums of a few thousand products stay below a tenth of it.
TOLERANCE = 1e-3

#: Side of the pooling behind each convolution, 0 for none; what follows the last is the dense one.
_POOLS = {"pnet": (2, 0, 0), "rnet": (3, 3, 0), "onet": (3, 3, 2, 0)}
#: Names of the heads, in the order of a network's outputs.
HEADS = {
    "logits": "the face head",
    "confidence": "the face head",
    "offsets": "the box head",
    "landmarks": "the landmark head",
}


def published(
    network: str, arrays: Sequence[NDArray[Any]], x: NDArray[Any]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Return the name and output of each layer in front of the heads, in order.

    Args:
        network: "pnet", "rnet" or "onet".
        arrays: Its weights, canonical.
        x: Its input (N, 3, h, w).
    """
    import numpy

    y = x.astype(numpy.float64)
    pools = _POOLS[network]
    for number, pool in enumerate(pools, 1):
        weight, bias, slope = arrays[3 * number - 3 : 3 * number]
        y = _convolved(y, weight, bias)
        yield f"conv{number}", y
        y = _prelu(y, slope)
        yield f"prelu{number}", y
        if pool:
            y = _pooled(y, pool)
            yield f"pool{number}", y
    if network != "pnet":
        number = len(pools) + 1
        weight, bias, slope = arrays[3 * number - 3 : 3 * number]
        flat = weight.reshape(len(weight), -1).astype(numpy.float64)
        y = y.reshape(len(y), -1) @ flat.T + bias
        yield f"dense{number}", y
        yield f"prelu{number}", _prelu(y, slope)


def _convolved(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    import numpy

    side = weight.shape[2]
    windows = numpy.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(2, 3))
    y = numpy.tensordot(windows, weight.astype(numpy.float64), axes=([1, 4, 5], [1, 2, 3]))
    moved: NDArray[Any] = (y + bias).transpose(0, 3, 1, 2)
    return moved


def _prelu(x: NDArray[Any], slope: NDArray[Any]) -> NDArray[Any]:
    import numpy

    slopes = slope.reshape((1, -1) + (1,) * (x.ndim - 2)).astype(numpy.float64)
    return numpy.where(x >= 0, x, slopes * x)


def _pooled(x: NDArray[Any], side: int) -> NDArray[Any]:
    import numpy

    height, width = (-(-(length - side) // 2) + 1 for length in x.shape[2:])
    whole = numpy.full((*x.shape[:2], 2 * height - 2 + side, 2 * width - 2 + side), -numpy.inf)
    whole[:, :, : x.shape[2], : x.shape[3]] = x
    windows = numpy.lib.stride_tricks.sliding_window_view(whole, (side, side), axis=(2, 3))
    largest: NDArray[Any] = windows[:, :, ::2, ::2].max(axis=(4, 5))
    return largest


def first_difference(
    network: str,
    arrays: Sequence[NDArray[Any]],
    x: NDArray[Any],
    found: Iterable[NDArray[Any]],
) -> dict[str, Any] | None:
    """Return which layer differs first from the published one, and by how much; None: no one.

    ``found`` are the outputs of the network under examination, layer by layer, on the same input.
    """
    import numpy

    for (name, want), got in zip(published(network, arrays, x), found):
        if got.shape != want.shape:
            return {
                "layer": name,
                "layer_shape": list(got.shape),
                "layer_expected_shape": list(want.shape),
            }
        error = float(numpy.abs(got.astype(numpy.float64) - want).max())
        largest = max(1.0, float(numpy.abs(want).max()))
        # NaN compares false with everything: "not within" catches it too.
        if not error <= TOLERANCE * largest:
            finite = bool(numpy.isfinite(got).all())
            return {"layer": name, "layer_error": error, "layer_finite": finite}
    return None


def heard_in_torch(modules: Iterable[Any], run: Any) -> list[NDArray[Any]]:
    """Return the outputs of PyTorch modules, in the order they were called, while ``run`` runs.

    Those that only reshape or scale the answer are left out.
    """
    outputs: list[Any] = []
    handles = [
        module.register_forward_hook(lambda _m, _i, output: outputs.append(output.detach().cpu()))
        for module in modules
        if type(module).__name__ not in ("Flatten", "Softmax", "Dropout")
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return [output.numpy() for output in outputs]


def heard_in_numpy(networks: Any, network: str, x: NDArray[Any]) -> list[list[NDArray[Any]]]:
    """Return the outputs of the NumPy backend's layers, one list for each piece it works on.

    Pieces are strips of a level, or some of the crops. Maps are (N, C, h, w), dense outputs (N, C).
    """
    outputs: list[NDArray[Any]] = []

    def listen(name: str) -> None:
        inner = getattr(networks, name)

        def heard(x: NDArray[Any], *more: Any) -> NDArray[Any]:
            # A layer in front of an activation is heard as what the activation is given. All of
            # them work in the same memory again and again.
            if name == "_prelu":
                outputs.append(_by_crop(x))
            result: NDArray[Any] = inner(x, *more)
            outputs.append(_by_crop(result))
            return result

        # Found before the method of its class; taken away again below.
        setattr(networks, name, heard)

    for name in ("_prelu", "_pool"):
        listen(name)
    try:
        getattr(networks, network)(x)
    finally:
        del networks._prelu, networks._pool
    each = 2 * len(_POOLS[network]) + sum(map(bool, _POOLS[network])) + 2 * (network != "pnet")
    return [outputs[first : first + each] for first in range(0, len(outputs), each)]


def _by_crop(x: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of an array of the NumPy backend with the crops first."""
    copied: NDArray[Any] = x.swapaxes(0, 1).copy()
    return copied


def words(found: dict[str, Any]) -> str:
    """Say in a few words where and how a network differs."""
    if "layer_shape" in found:
        got, want = (" × ".join(map(str, found[key][1:])) for key in _SHAPES)
        return f"layer {found['layer']} answers {got} where {want} is right"
    if "layer_error" in found:
        if not found.get("layer_finite", True):
            return f"layer {found['layer']} makes NaN or infinity"
        return f"layer {found['layer']} is off by up to {found['layer_error']:.3g}"
    return f"layer {found['layer']}" if found.get("layer") else ""


_SHAPES = ("layer_shape", "layer_expected_shape")
