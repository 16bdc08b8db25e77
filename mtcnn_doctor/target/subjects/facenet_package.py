"""The package ``facenet-pytorch``, release 2.x (PyTorch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import KEYPOINTS, NETWORKS, Adapter, Face, Networks, face, quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["create"]


def create() -> Adapter:
    """Build the detector with the package's defaults; ``keep_all`` has no part in ``detect``."""
    from facenet_pytorch import MTCNN

    return _Package(MTCNN(keep_all=True))


class _Package(Adapter):
    """Answers corners and, beside them, probabilities and points; None where there is no face."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def detect(self, image: NDArray[Any]) -> list[Face]:
        """See :class:`.base.Adapter`."""
        with quiet():
            boxes, probabilities, points = self._detector.detect(image, landmarks=True)
        if boxes is None:
            return []
        return [
            face((x1, y1, x2 - x1, y2 - y1), probability, dict(zip(KEYPOINTS, five)))
            for (x1, y1, x2, y2), probability, five in zip(boxes, probabilities, points)
        ]

    def fed(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Adapter`."""
        heard: list[NDArray[Any]] = []
        handle = self._detector.pnet.register_forward_pre_hook(
            lambda _module, given: heard.append(given[0].detach().cpu().numpy().copy())
        )
        try:
            self.detect(image)
        except Exception:
            pass  # what P-Net was fed was heard before
        finally:
            handle.remove()
        return heard

    def networks(self) -> Networks | None:
        """See :class:`.base.Adapter`."""
        modules = [getattr(self._detector, name, None) for name in NETWORKS]
        return _Modules(modules) if all(module is not None for module in modules) else None


class _Modules(Networks):
    """Modules over (N, 3, h, w), upright, answering offsets, landmarks, then probabilities."""

    def __init__(self, modules: list[Any]) -> None:
        self._modules = dict(zip(NETWORKS, modules))

    def answers(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Networks`."""
        import torch

        module = self._modules[network]
        place = next(module.parameters()).device
        with torch.no_grad():
            answer = module(torch.as_tensor(x, dtype=torch.float32, device=place))
        return [part.cpu().numpy() for part in answer]

    def layers(self, network: str, x: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Networks`."""
        from ..tasks.layers import heard_in_torch

        children = self._modules[network].children()
        return heard_in_torch(children, lambda: self.answers(network, x))
