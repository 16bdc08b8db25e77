"""Changes that only the child itself can make, tried one by one by the mitigation search.

Orders (all optional): ``import_first`` (modules before the framework), ``framework_first`` (these
after it instead), ``drop_others`` (not at all), ``block`` (modules whose import fails),
``stack_mb``, ``contiguous``, ``memory_format``, ``mkldnn``, ``nnpack``, ``cudnn``, ``xla``,
``eager``, ``one_crop``, ``shrink``. The table of their meanings is ``knowledge/mitigations.toml``.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from ..channel import Channel
from ..imports import import_framework

_MIB = 1 << 20


class Changes:
    """The changes of one child, made at the places where each takes effect."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders

    def before_imports(self) -> None:
        """Make what must be made before any framework is loaded."""
        for module in self._orders.get("block", ()):
            # A None there makes every import of it an ImportError, whoever asks.
            sys.modules[module] = None  # type: ignore[assignment]
        stack_mb = self._orders.get("stack_mb")
        if stack_mb:
            threading.stack_size(stack_mb * _MIB)
            _raise_stack_limit(stack_mb * _MIB)

    def import_others(self, channel: Channel, *, first: bool) -> bool:
        """Import the other modules if it is their turn; return whether all of them loaded."""
        if self._orders.get("drop_others") or first == bool(self._orders.get("framework_first")):
            return True
        modules = self._orders.get("import_first", ())
        return all(import_framework(channel, module, facts=False) for module in modules)

    def after_imports(self, backend: str) -> None:
        """Switch parts of the framework off."""
        if backend == "torch":
            _switch_torch(self._orders)
        elif backend == "tensorflow":
            _switch_tensorflow(self._orders)

    def networks(self, networks: Any) -> Any:
        """Return the networks with the changes that concern them."""
        memory_format = self._orders.get("memory_format")
        if memory_format:
            networks.use_memory_format(memory_format)
        if self._orders.get("one_crop"):
            networks.max_crops = 1
        return _Copying(networks) if self._orders.get("contiguous") else networks

    def pixels(self, pixels: Any) -> Any:
        """Return an image as it is to be given to the cascade."""
        step = self._orders.get("shrink")
        # Every n-th pixel: coarse, but the same in every backend and without a library.
        return pixels[::step, ::step].copy() if step else pixels


class _Copying:
    """Networks that get a fresh C-contiguous copy of every input."""

    def __init__(self, networks: Any) -> None:
        self._networks = networks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._networks, name)

    def pnet(self, x: Any) -> Any:
        """P-Net on a copy."""
        return self._networks.pnet(x.copy(order="C"))

    def rnet(self, x: Any) -> Any:
        """R-Net on a copy."""
        return self._networks.rnet(x.copy(order="C"))

    def onet(self, x: Any) -> Any:
        """O-Net on a copy."""
        return self._networks.onet(x.copy(order="C"))


def _raise_stack_limit(size: int) -> None:
    """Let the main thread's stack grow further; Linux looks at the limit when it grows."""
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
        if soft != resource.RLIM_INFINITY and soft < size:
            most = size if hard == resource.RLIM_INFINITY else min(size, hard)
            resource.setrlimit(resource.RLIMIT_STACK, (most, hard))
    except (ImportError, ValueError, OSError):
        pass  # Windows, or a limit that may not be moved: the threads have theirs


def _switch_torch(orders: dict[str, Any]) -> None:
    torch: Any = sys.modules["torch"]
    for name in ("mkldnn", "cudnn"):
        if name in orders:
            getattr(torch.backends, name).enabled = orders[name]
    if "nnpack" in orders:
        # In older releases there is the private switch alone.
        nnpack = getattr(torch.backends, "nnpack", None)
        if nnpack is not None:
            nnpack.set_flags(orders["nnpack"])
        elif hasattr(torch._C, "_set_nnpack_enabled"):
            torch._C._set_nnpack_enabled(orders["nnpack"])


def _switch_tensorflow(orders: dict[str, Any]) -> None:
    tensorflow: Any = sys.modules["tensorflow"]
    if "xla" in orders:
        tensorflow.config.optimizer.set_jit(orders["xla"])
    if "eager" in orders:
        tensorflow.config.run_functions_eagerly(orders["eager"])
