"""The three networks of MTCNN, once for each framework, behind one interface."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Callable, Protocol

if TYPE_CHECKING:
    from ..weights import Weights

__all__ = ["BACKENDS", "PLUGINS", "Networks", "create"]

#: Names for :func:`create`, the one without a framework first.
BACKENDS: tuple[str, ...] = (
    "numpy",
    "torch",
    "tensorflow",
    "onnxruntime",
    "opencv",
    "openvino",
    "litert",
)

#: Group of entry points under which other distributions bring backends: "module:create", with the
#: parameters of :func:`create` after its first.
PLUGINS = "mtcnn_doctor.backends"


class Networks(Protocol):
    """What the cascade needs of a backend.

    Inputs are NumPy arrays (N, 3, height, width), normalised to (value - 127.5) / 128, RGB,
    C-contiguous; outputs are NumPy arrays of a floating type, channels second. Logits are raw:
    channel 1 is "face", channel 0 "no face"; the cascade makes probabilities of them. Offsets are
    dx1, dy1, dx2, dy2 in units of the box, landmarks x1..x5, y1..y5 in units of the box. The
    input is the caller's again when the call returns: what is kept of it must be copied.

    These attributes may be there as well: ``lanes``, how many threads may call at the same time
    (1 if missing), ``max_pixels`` of an image given to P-Net and ``max_crops`` given to R-Net and
    O-Net at once. A method ``enter_lane()`` is called once by each of those threads beforehand.
    Where an attribute ``channels_last`` is true, the inputs may lie in memory as (N, height, width,
    3), with the same shape and indices as ever.
    """

    def pnet(self, x: Any) -> tuple[Any, Any]:
        """P-Net on a whole level: logits (N, 2, h', w'), offsets (N, 4, h', w').

        Each side is ceil((n - 2) / 2) - 4 long; the smallest input is 11 x 11.
        """

    def rnet(self, x: Any) -> tuple[Any, Any]:
        """R-Net on crops (N, 3, 24, 24): logits (N, 2), offsets (N, 4)."""

    def onet(self, x: Any) -> tuple[Any, Any, Any]:
        """O-Net on crops (N, 3, 48, 48): logits (N, 2), offsets (N, 4), landmarks (N, 10)."""


def create(
    name: str,
    weights: Weights,
    device: str = "cpu",
    threads: int | None = None,
    lanes: int = 1,
) -> Networks:
    """Build the networks of one backend, or of a plug-in; imports its framework only now.

    ``weights``: from :func:`..weights.load_weights`. ``device``: "cpu", or what the backend
    understands ("cuda:0" and "mps" for torch, "gpu:0" for tensorflow, a provider name such as
    "CUDAExecutionProvider" for onnxruntime). ``threads``: limits the framework's own threads
    where it has some; None leaves its default. ``lanes``: how many threads are going to call at
    the same time; with more than one, each gets its share of ``threads`` (or of the processor).
    What the backend can serve is in the result's attribute ``lanes``.

    Raises ValueError for an unknown name or a device the backend does not know, ImportError if the
    framework is missing, and whatever the framework raises while it builds (torch: RuntimeError
    or AssertionError for a device that is known but not usable).
    """
    if name in BACKENDS:
        build = importlib.import_module(f".{name}_backend", __name__).create
    else:
        build = _plugin(name)
    networks: Networks = build(weights, device=device, threads=threads, lanes=lanes)
    return networks


def _plugin(name: str) -> Callable[..., Networks]:
    """Load the function ``create`` of a backend that another distribution brings."""
    from importlib import metadata

    found: Any = metadata.entry_points()
    # A plain dictionary before Python 3.10.
    select = getattr(found, "select", None)
    entries = list(select(group=PLUGINS) if select is not None else found.get(PLUGINS, ()))
    for entry in entries:
        if entry.name == name:
            build: Callable[..., Networks] = entry.load()
            return build
    names = [*BACKENDS, *sorted({entry.name for entry in entries})]
    raise ValueError(f"unknown backend {name!r}, expected one of {', '.join(names)}")
