"""Task ``verify-export``: run written model files and compare them with the NumPy networks."""

from __future__ import annotations

import os
from typing import Any

from ..channel import Channel
from ..imports import import_framework

# (batch, height, width): odd and even, smallest, wide, high; each followed by another size and
# another batch, so that what a runtime remembers of the last one would show.
_SIZES = {
    "pnet": [(1, 12, 12), (2, 31, 44), (1, 11, 11), (1, 100, 75), (3, 12, 12), (1, 33, 200)],
    "rnet": [(1, 24, 24), (17, 24, 24), (2, 24, 24)],
    "onet": [(1, 48, 48), (17, 48, 48), (2, 48, 48)],
}
_OUTPUTS = ("face", "box", "landmarks")


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``verified`` for each network: the largest deviation, or what was of a wrong shape.

    Orders: ``reader`` (see :data:`..reference.model_readers.READERS`), ``module`` to import first,
    ``files`` (network to path), ``weights``.
    """
    for module in dict.fromkeys(["numpy", orders["module"]]):
        if not import_framework(channel, module, facts=module != "numpy"):
            return
    channel.enter("build", "numpy")
    channel.send("phase", name="verify")
    import numpy

    from ..reference import model_readers, weights
    from ..reference.networks.numpy_backend import NumpyNetworks

    exact = NumpyNetworks(weights.load_weights(orders.get("weights")), numpy.float64)
    random = numpy.random.RandomState(5)
    for network, path in orders["files"].items():
        channel.enter("build", os.path.basename(path))
        outputs = 3 if network == "onet" else 2
        call = model_readers.READERS[orders["reader"]](path, outputs)
        worst, wrong = 0.0, None
        for batch, height, width in _SIZES[network]:
            channel.enter(network, "%d x 3 x %d x %d" % (batch, height, width))  # noqa: UP031
            x = random.uniform(-1, 1, (batch, 3, height, width)).astype(numpy.float32)
            wanted = getattr(exact, network)(x)
            found = call(x)
            for name, ours, theirs in zip(_OUTPUTS, found, wanted):
                if tuple(ours.shape) != theirs.shape:
                    wrong = f"{name} has shape {tuple(ours.shape)} for an image {x.shape}"
                    break
                error = float(numpy.abs(ours - theirs).max())
                worst = max(worst, error if numpy.isfinite(error) else float("inf"))
        channel.send(
            "verified",
            network=network,
            max_error=worst if numpy.isfinite(worst) else None,
            finite=bool(numpy.isfinite(worst)),
            wrong_shape=wrong,
            inputs=[list(size) for size in _SIZES[network]],
        )
