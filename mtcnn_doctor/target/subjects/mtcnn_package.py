"""The package ``mtcnn`` (TensorFlow): releases 0.1.x and 1.x, alike in the name only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import NETWORKS, Adapter, Face, Networks, face, quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["create"]

#: Layers of each network in front of its heads, those that only reshape left out.
_TRUNKS = {"pnet": 7, "rnet": 10, "onet": 13}


def create() -> Adapter:
    """Build the detector as the package's README does: without an argument."""
    from mtcnn import MTCNN

    return _Package(MTCNN())


class _Package(Adapter):
    """Both generations answer ``detect_faces`` with the same dictionaries."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def detect(self, image: NDArray[Any]) -> list[Face]:
        """See :class:`.base.Adapter`."""
        with quiet():
            found = self._detector.detect_faces(image)
        return [face(one["box"], one["confidence"], one["keypoints"]) for one in found]

    def fed(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Adapter`."""
        networks = self.networks()
        if not isinstance(networks, _Models):
            return []
        ear = _Ear(networks.models["pnet"])
        old = hasattr(self._detector, "_pnet")
        owner, name = (self._detector, "_pnet") if old else (self._detector.stages[0], "_model")
        setattr(owner, name, ear)
        try:
            self.detect(image)
        except Exception:
            pass  # what P-Net was fed was heard before
        finally:
            setattr(owner, name, ear.model)
        return [networks.upright(given) for given in ear.heard]

    def networks(self) -> Networks | None:
        """See :class:`.base.Adapter`."""
        old = [getattr(self._detector, "_" + name, None) for name in NETWORKS]
        if all(model is not None for model in old):
            return _Models(old, transposed=True)
        stages = list(getattr(self._detector, "stages", ()))
        models = [getattr(stage, "model", None) or getattr(stage, "_model", None)
                  for stage in stages]  # fmt: skip
        if len(models) == 3 and all(model is not None for model in models):
            return _Models(models, transposed=False)
        return None


class _Ear:
    """Stands in for a Keras model and remembers what it was given."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.heard: list[NDArray[Any]] = []

    def __call__(self, given: Any, *more: Any, **named: Any) -> Any:
        """Release 1 calls the model."""
        self._hear(given)
        return self.model(given, *more, **named)

    def predict(self, given: Any, *more: Any, **named: Any) -> Any:
        """Release 0.1 asks it to predict."""
        self._hear(given)
        return self.model.predict(given, *more, **named)

    def _hear(self, given: Any) -> None:
        import numpy

        self.heard.append(numpy.array(given))


class _Models(Networks):
    """Keras models over (N, h, w, 3), answering offsets, landmarks, then probabilities.

    Release 0.1 feeds them images whose rows are columns (``transposed``), as the Caffe networks
    were trained; release 1 has turned the kernels instead.
    """

    def __init__(self, models: list[Any], transposed: bool) -> None:
        self.models = dict(zip(NETWORKS, models))
        self._axes = (0, 3, 2, 1) if transposed else (0, 2, 3, 1)
        self._back = (0, 3, 2, 1) if transposed else (0, 3, 1, 2)

    def answers(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Networks`."""
        import numpy

        batch = numpy.ascontiguousarray(x.transpose(self._axes), dtype="float32")
        return [self.upright(numpy.asarray(part)) for part in self.models[network](batch)]

    def upright(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array of the models' layout in the reference's."""
        return array.transpose(self._back) if array.ndim == 4 else array

    def layers(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Networks`; the models' layers are called one after the other."""
        import numpy

        y: Any = numpy.ascontiguousarray(x.transpose(self._axes), dtype="float32")
        outputs = []
        for layer in self.models[network].layers:
            kind = type(layer).__name__
            if kind == "InputLayer":
                continue
            y = layer(y)
            if kind not in ("Permute", "Flatten", "Dropout"):
                outputs.append(self.upright(numpy.asarray(y)))
            if len(outputs) == _TRUNKS[network]:
                break  # the heads stand side by side
        return outputs
