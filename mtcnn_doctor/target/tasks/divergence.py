"""Task ``divergence``: find the first network call whose result differs from NumPy's.

Both backends see the same inputs at every call (the NumPy result is what the cascade goes on
with), so the first call that differs is the place of the fault and not its consequence.
"""

from __future__ import annotations

from typing import Any

from ..channel import Channel
from ..imports import import_framework

#: Largest difference in logits and offsets that rounding can explain. Two float32 networks with
#: different summation orders differ by about 1e-4 at most on logits of size 10 to 20.
TOLERANCE = 1e-2


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``divergence`` for the first image on which the backend departs from NumPy."""
    for module in dict.fromkeys(["numpy", orders["module"]]):
        if not import_framework(channel, module, facts=False):
            return
    channel.enter("build", "networks of " + orders["backend"])
    channel.send("phase", name="build")
    import numpy

    from ..reference import cascade, networks, weights

    arrays = weights.load_weights(orders.get("weights"))
    ours = networks.create(orders["backend"], arrays, device=orders.get("device", "cpu"))
    compare = _Compare(ours, networks.create("numpy", arrays), channel, arrays)
    settings = cascade.Settings(**orders.get("settings", {}))
    for image in orders["images"]:
        channel.send("phase", name="compare " + image["name"])
        cascade.detect(
            numpy.load(image["array"], allow_pickle=False), compare, settings, enter=compare.enter
        )
        if compare.found is not None:
            channel.send("divergence", image=image["name"], **compare.found)
            return
    channel.send("divergence", image=None, worst=compare.worst, tolerance=TOLERANCE)


class _Compare:
    """Networks that run two backends on each input and remember the first difference."""

    def __init__(self, ours: Any, truth: Any, channel: Channel, arrays: Any) -> None:
        self._arrays = arrays
        self._ours = ours
        self._truth = truth
        self._channel = channel
        self._place: tuple[str, str] = ("", "")
        self.found: dict[str, Any] | None = None
        self.worst = 0.0

    def enter(self, stage: str, step: str = "") -> None:
        """Remember where the cascade is."""
        self._place = (stage, step)
        self._channel.enter(stage, step)

    def pnet(self, x: Any) -> Any:
        """Proposal network, compared."""
        return self._both("pnet", x, ["logits", "offsets"])

    def rnet(self, x: Any) -> Any:
        """Refinement network, compared."""
        return self._both("rnet", x, ["logits", "offsets"])

    def onet(self, x: Any) -> Any:
        """Output network, compared."""
        return self._both("onet", x, ["logits", "offsets", "landmarks"])

    def _both(self, network: str, x: Any, names: list[str]) -> Any:
        import numpy

        truth = getattr(self._truth, network)(x)
        if self.found is None:
            for name, got, want in zip(names, getattr(self._ours, network)(x), truth):
                got = numpy.asarray(got)
                if got.shape != want.shape:
                    self.found = {
                        "stage": network,
                        "step": self._place[1],
                        "output": name,
                        "shape": list(got.shape),
                        "expected_shape": list(want.shape),
                        **self._layer(network, x, ""),
                    }
                    break
                if not want.size:
                    continue
                error = float(numpy.abs(got.astype("float64") - want).max())
                # NaN compares false with everything: "not within" catches it too.
                if not error <= TOLERANCE:
                    self.found = {
                        "stage": network,
                        "step": self._place[1],
                        "output": name,
                        "max_error": error,
                        "tolerance": TOLERANCE,
                        "finite": bool(numpy.isfinite(got).all()),
                        **self._layer(network, x, name),
                    }
                    break
                self.worst = max(self.worst, error)
        return truth

    def _layer(self, network: str, x: Any, output: str) -> dict[str, Any]:
        """Return the first layer that differs, for a backend whose layers can be listened to."""
        from . import layers

        trunk = getattr(getattr(self._ours, "_" + network, None), "trunk", None)
        if trunk is None or not hasattr(trunk, "children"):
            return {}
        try:
            heard = layers.heard_in_torch(trunk.children(), lambda: getattr(self._ours, network)(x))
            found = layers.first_difference(network, self._arrays[network], x, heard)
        except Exception:
            return {}  # the network is named, and that is all
        if found is None:
            return {"layer": layers.HEADS[output]} if output in layers.HEADS else {}
        return {**found, "layer_text": layers.words(found)}
