"""The arrays of a document with their names, sorted into networks."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Sequence

from ..weights import LAYOUT
from .pickle_objects import Opaque
from .raw import MAX_ARRAYS, Document, FileError, RawArray

__all__ = ["Leaf", "claimed_network", "leaves", "networks_of", "resembles"]

_MAX_DEPTH = 24
_MAX_NODES = 100_000
_NETWORK = re.compile(r"(?:^|[^a-z])([pro])_?net(?:$|[^a-z])|^det([123])(?:$|[^0-9])")
#: Layers of a torch module's own bookkeeping, which say nothing.
_SILENT = {"_modules", "_parameters", "_buffers", "vars"}
_WHOLE = sum(len(layout) for layout in LAYOUT.values())


class Leaf(NamedTuple):
    """An array: its name in parts, and itself."""

    path: tuple[str, ...]
    array: RawArray

    @property
    def name(self) -> str:
        """The name for people."""
        return "/".join(self.path) or "the array"


def leaves(document: Document) -> list[Leaf]:
    """All arrays, in the file's order; raises :class:`FileError` where there are none."""
    found: list[Leaf] = []
    # A stack of one's own: a document may be nested deeper than Python's allows.
    waiting: list[tuple[tuple[str, ...], Any]] = [((), document.tree)]
    for _ in range(_MAX_NODES):
        if not waiting:
            break
        path, node = waiting.pop()
        children: Sequence[tuple[Any, Any]] = ()
        if isinstance(node, RawArray):
            found.append(Leaf(path, node))
        elif isinstance(node, dict):
            children = list(node.items())
        elif isinstance(node, (list, tuple)):
            children = list(enumerate(node))
        elif isinstance(node, Opaque):
            children = [("", node.state)]
        if len(found) > MAX_ARRAYS:
            raise FileError("bomb", f"it has more than {MAX_ARRAYS} arrays")
        if len(path) < _MAX_DEPTH:
            waiting += [(path + _parts(key), child) for key, child in reversed(children)]
    else:
        raise FileError("bomb", "it is nested without end")
    return found


def _parts(key: Any) -> tuple[str, ...]:
    if isinstance(key, bytes):
        key = key.decode("utf-8", "replace")
    words = re.split(r"[./]", str(key)[:200])
    return tuple(re.sub(r":\d+$", "", word) for word in words if word and word not in _SILENT)


def claimed_network(name: str) -> str | None:
    """The network that a name speaks of, "det1.npy" and "my_pnet.pt" alike."""
    found = _NETWORK.search(name.lower())
    if found is None:
        return None
    if found[1]:
        return found[1] + "net"
    return ("pnet", "rnet", "onet")[int(found[2]) - 1]


def networks_of(found: Sequence[Leaf]) -> dict[str | None, list[Leaf]]:
    """The arrays by network; under None those that no name assigns."""
    sorted_out: dict[str | None, list[Leaf]] = {}
    for leaf in found:
        names = [claimed_network(part) for part in leaf.path]
        network = next((name for name in names if name is not None), None)
        sorted_out.setdefault(network, []).append(leaf)
    unnamed = sorted_out.get(None, [])
    if len(unnamed) == _WHOLE and len(sorted_out) == 1 and all(leaf.path for leaf in unnamed):
        # One list of all three networks, one after the other.
        start = 0
        sorted_out = {}
        for network, layout in LAYOUT.items():
            sorted_out[network] = unnamed[start : start + len(layout)]
            start += len(layout)
    return sorted_out


def resembles(found: Sequence[Leaf]) -> str | None:
    """The network whose kernels these arrays look like most, by their shapes alone."""
    shapes = [sorted(size for size in leaf.array.shape if size != 1) for leaf in found]
    best, most = None, 0
    for network, layout in LAYOUT.items():
        wanted = [
            (sorted(shape), [shape[0], _product(shape[1:])])
            for name, shape in layout
            if name.endswith(".weight")
        ]
        hits = sum(any(shape in (full, sorted(flat)) for shape in shapes) for full, flat in wanted)
        if hits > most:
            best, most = network, hits
    return best


def _product(sizes: Sequence[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
