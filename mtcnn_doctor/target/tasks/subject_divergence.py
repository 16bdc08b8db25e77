"""Task ``subject-divergence``: where a package's answer begins to differ from the reference's.

In the order in which a package works: what its P-Net is fed, then each network, given the
reference's own inputs, so that the first difference is the fault and not its consequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..channel import Channel
from ..imports import import_framework

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Largest difference that rounding can explain, in probability and in offsets and landmarks.
TOLERANCE = {"confidence": 1e-3, "offsets": 1e-2, "landmarks": 1e-2}
#: The image is compared on a grid of this side: the packages resample in ways of their own.
_GRID = 8
#: Mean difference of the grids, in normalised units (2 is black to white), of the same picture.
_SAME = 0.05


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``divergence`` for the first image on which the package departs from the reference.

    Orders: ``subject``, ``module``, ``images``.
    """
    for module in ("numpy", orders["module"]):
        if not import_framework(channel, module, facts=False):
            return
    channel.enter("build", "the detector of " + orders["subject"])
    channel.send("phase", name="build")
    import numpy

    from .. import subjects
    from ..reference import cascade, networks, weights

    adapter = subjects.create(orders["subject"])
    theirs = adapter.networks()
    if theirs is None:
        channel.send("divergence", stage=None, note="cannot be reached")
        return
    arrays = weights.load_weights()
    compare = _Compare(theirs, networks.create("numpy", arrays), arrays)
    worst = 0.0
    for image in orders["images"]:
        channel.send("phase", name="compare " + image["name"])
        channel.enter("compare", image["name"])
        pixels = numpy.load(image["array"], allow_pickle=False)
        found = _input(adapter.fed(pixels.copy()), pixels)
        if found is None:
            cascade.detect(pixels, compare, enter=compare.enter)
            found = compare.found
        if found is not None:
            channel.send("divergence", image=image["name"], **found)
            return
        worst = max(worst, compare.worst)
    channel.send(
        "divergence",
        stage=None,
        worst=worst,
        note="agree with the reference's, and P-Net is fed the right image; the fault lies between "
        "them: resampling, thresholds, suppression",
    )


def _input(fed: list[NDArray[Any]], pixels: NDArray[Any]) -> dict[str, Any] | None:
    """Return how what P-Net was fed differs from the image, None where it does not."""
    import numpy

    if not fed:
        return None
    given = fed[0][0]
    if given.ndim != 3 or len(given) != 3 or min(given.shape[1:]) < _GRID:
        return {
            "stage": "input",
            "step": "P-Net's first level",
            "text": f"P-Net is fed an array of shape {list(given.shape)}",
            "cause": "P-Net is not fed three channels of the image",
        }
    want = _grid((pixels.astype("float64").transpose(2, 0, 1) - 127.5) / 128)
    got = _grid(given.astype("float64"))

    def off(other: Any) -> float:
        return float(numpy.abs(other - want).mean())

    error = off(got)
    if error <= _SAME:
        # A grey image looks the same whatever the order of its channels.
        return None
    for other, how in (
        (got[::-1], "with its channels reversed: BGR, where RGB is wanted"),
        (got.transpose(0, 2, 1), "with rows and columns exchanged"),
        (got[:, :, ::-1], "mirrored"),
        (got[:, ::-1], "upside down"),
        ((got - 127.5) / 128, "without normalisation: values of 0 to 255"),
        ((got * 255 - 127.5) / 128, "in the range 0 to 1, where -1 to 1 is wanted"),
        (got * 128 / 127.5, "normalised otherwise"),
    ):
        if off(other) <= _SAME:
            return {
                "stage": "input",
                "step": "P-Net's first level",
                "max_error": error,
                "text": f"P-Net is fed the image {how}",
                "cause": f"P-Net is fed the image {how}",
            }
    return {
        "stage": "input",
        "step": "P-Net's first level",
        "max_error": error,
        "text": f"what P-Net is fed is off by {error:.3g} on average (of 2, black to white)",
        "cause": "P-Net is fed another image, or the same one changed",
    }


def _grid(planes: NDArray[Any]) -> NDArray[Any]:
    """Return (3, side, side): means over the fields of a grid."""
    import numpy

    rows, columns = (
        numpy.linspace(0, length, _GRID + 1).round().astype(int) for length in planes.shape[1:]
    )
    sums = numpy.add.reduceat(numpy.add.reduceat(planes, rows[:-1], axis=1), columns[:-1], axis=2)
    area = numpy.diff(rows)[:, None] * numpy.diff(columns)[None, :]
    means: NDArray[Any] = sums / area
    return means


class _Compare:
    """The reference's networks, which ask the package's the same; the first difference is kept."""

    def __init__(self, theirs: Any, truth: Any, arrays: Any) -> None:
        self._theirs = theirs
        self._truth = truth
        self._arrays = arrays
        self._step = ""
        self.found: dict[str, Any] | None = None
        self.worst = 0.0

    def enter(self, stage: str, step: str = "") -> None:
        """Remember where the cascade is."""
        self._step = step

    def pnet(self, x: Any) -> Any:
        """Proposal network, compared."""
        return self._both("pnet", x)

    def rnet(self, x: Any) -> Any:
        """Refinement network, compared."""
        return self._both("rnet", x)

    def onet(self, x: Any) -> Any:
        """Output network, compared."""
        return self._both("onet", x)

    def _both(self, network: str, x: Any) -> Any:
        truth = getattr(self._truth, network)(x)
        if self.found is None:
            self._compare(network, x, truth)
        return truth

    def _compare(self, network: str, x: Any, truth: Any) -> None:
        import numpy

        from .layers import first_difference

        logits = truth[0].astype("float64")
        sure = 1 / (1 + numpy.exp(numpy.clip(logits[:, 0] - logits[:, 1], -700, 700)))
        try:
            answers = getattr(self._theirs, network)(x)
        except Exception as error:
            said = f"raises {type(error).__name__}: {error}"
            self._note(network, "answer", {"text": said})
            return
        for name, got, want in zip(TOLERANCE, answers, (sure, *truth[1:])):
            shapes: dict[str, Any]
            if got.shape != want.shape:
                shapes = {"shape": list(got.shape), "expected_shape": list(want.shape)}
            else:
                off = float(numpy.abs(got.astype("float64") - want).max()) if want.size else 0.0
                # NaN compares false with everything: "not within" catches it too.
                if off <= TOLERANCE[name]:
                    self.worst = max(self.worst, off)
                    continue
                if not self._is_confirmed(network, name, x, got, want):
                    continue  # it is NumPy that is wrong, which its own backend tells
                finite = bool(numpy.isfinite(got).all())
                shapes = {"max_error": off, "tolerance": TOLERANCE[name], "finite": finite}
            try:
                layers = self._theirs.layers(network, x)
                layer = first_difference(network, self._arrays[network], x, layers)
            except Exception:
                layer = None  # a network of another make: the network is named, and that is all
            self._note(network, name, {**shapes, **(layer or {})})
            return

    def _is_confirmed(self, network: str, name: str, x: Any, got: Any, want: Any) -> bool:
        """Whether the largest difference is there in Python's own arithmetic, too."""
        import numpy

        from .divergence_networks import seen
        from .exact import probability
        from .exact_networks import ExactNetwork

        errors = numpy.nan_to_num(numpy.abs(got.astype("float64") - want), nan=numpy.inf)
        index = [int(part) for part in numpy.unravel_index(int(errors.argmax()), errors.shape)]
        place = (index[-2], index[-1]) if network == "pnet" else (index[0], 0)
        heads = ExactNetwork(network, self._arrays[network]).heads(seen(network, x, place))
        right = dict(zip(TOLERANCE, ([probability(*heads[0])], *heads[1:])))[name]
        number = 0 if name == "confidence" else index[1]
        return not abs(float(got[tuple(index)]) - right[number]) <= TOLERANCE[name]

    def _note(self, network: str, output: str, more: dict[str, Any]) -> None:
        from .layers import HEADS, words

        title = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}[network]
        if "layer" not in more and output in HEADS and "shape" not in more:
            more["layer"] = HEADS[output]
        how = words(more) or str(more.get("text", ""))
        said = f"{title} ({self._step}): {output}"
        if "max_error" in more:
            said += f" off by up to {more['max_error']:.3g}"
        elif "shape" in more:
            said += f" of shape {more['shape']} where {more['expected_shape']} is right"
        answers = "raises" if output == "answer" else "answers otherwise than the published one"
        self.found = {
            "stage": network,
            "step": self._step,
            "output": output,
            **more,
            "against": "NumPy's answer, and Python's own arithmetic at the largest difference",
            "text": f"{said}; {how}" if how else said,
            "cause": f"given the same input, its {title} {answers}: "
            "its weights or its layers are not the published ones",
        }
