"""Which array is which layer of a network: by names where there are any, by shape, by order."""

from __future__ import annotations

import re
from typing import Any, Sequence

from ..weights import LAYOUT
from .leaves import Leaf

__all__ = ["Assembly", "assemble"]

HEADS = ("face", "box", "landmarks")
_SLOPES = ("slope", "alpha", "alphas", "gamma")


class Assembly:
    """A network put together.

    ``arrays``: canonical name to leaf. ``axes``: layer to the order of its kernel's axes ("OIHW",
    "HWIO", "OI", "IO"). ``wrong``: canonical name, expected and found shape. ``heads``: in the
    file's order. ``positional``: the file has a list, and no names.
    """

    def __init__(self, network: str) -> None:
        self.network = network
        self.arrays: dict[str, Leaf] = {}
        self.axes: dict[str, str] = {}
        self.wrong: list[dict[str, Any]] = []
        self.extra: list[Leaf] = []
        self.heads: list[str] = []
        self.positional = False
        self.count = 0
        self.slopes_kept_apart = False

    @property
    def missing(self) -> list[str]:
        """Canonical names without an array."""
        return [name for name, _ in LAYOUT[self.network] if name not in self.arrays]

    @property
    def complete(self) -> bool:
        """Whether every array is there, of the right size."""
        return not self.missing and not self.wrong


class _Group:
    """A layer's arrays: at most one kernel, and the vectors that belong to it."""

    def __init__(self) -> None:
        self.kernel: Leaf | None = None
        self.vectors: list[Leaf] = []


def assemble(network: str, found: Sequence[Leaf]) -> Assembly:
    """Put one network together; what does not fit is told, never guessed away."""
    result = Assembly(network)
    numbers = [leaf for leaf in found if _core(leaf) and leaf.array.code[1] in "fb"]
    result.extra = [leaf for leaf in found if leaf not in numbers]
    result.count = len(numbers)
    result.positional = bool(numbers) and all(
        (leaf.path and leaf.path[-1].isdigit()) or re.fullmatch(r"(arr_|w)\d+", leaf.name)
        for leaf in numbers
    ) and len({leaf.path[:-1] for leaf in numbers}) == 1  # fmt: skip
    groups = _in_order(numbers) if result.positional else _by_name(numbers)
    left = _match_kernels(result, [group for group in groups if group.kernel is not None])
    _match_slopes(result, [group for group in groups if group.kernel is None])
    result.extra += [leaf for group in left for leaf in (group.kernel, *group.vectors) if leaf]
    result.heads.sort(key=lambda head: found.index(result.arrays[f"{head}.weight"]))
    return result


def _core(leaf: Leaf) -> tuple[int, ...]:
    return tuple(size for size in leaf.array.shape if size != 1)


def _is_kernel(leaf: Leaf) -> bool:
    return len(_core(leaf)) >= 2 and len(leaf.array.shape) != 3


def _in_order(numbers: Sequence[Leaf]) -> list[_Group]:
    groups: list[_Group] = []
    for leaf in numbers:
        if _is_kernel(leaf) or not groups:
            groups.append(_Group())
        if _is_kernel(leaf):
            groups[-1].kernel = leaf
        else:
            groups[-1].vectors.append(leaf)
    return groups


def _by_name(numbers: Sequence[Leaf]) -> list[_Group]:
    groups: dict[tuple[str, ...], _Group] = {}
    for leaf in numbers:
        key: tuple[str, ...] = leaf.path[:-1]
        if _is_kernel(leaf) and key in groups and groups[key].kernel is not None:
            key = leaf.path
        group = groups.setdefault(key, _Group())
        if _is_kernel(leaf):
            group.kernel = leaf
        else:
            group.vectors.append(leaf)
    # conv2d, conv2d_1, ..., conv2d_10 in the order in which they were made.
    return [groups[key] for key in sorted(groups, key=lambda key: _natural(key, groups))]


def _natural(key: tuple[str, ...], groups: dict[tuple[str, ...], _Group]) -> Any:
    words = re.split(r"(\d+)", "/".join(key).lower())
    return [(word.isdigit(), int(word[:9]) if word.isdigit() else 0, word) for word in words]


def _match_kernels(result: Assembly, groups: list[_Group]) -> list[_Group]:
    """Assign kernels by shape, those left over by order; returns the groups that have no place."""
    layers = [name[: -len(".weight")] for name, _ in LAYOUT[result.network] if ".weight" in name]
    shapes = dict(LAYOUT[result.network])
    free, left = list(layers), []
    for group in groups:
        assert group.kernel is not None
        for layer in free:
            axes = _axes(group.kernel.array.shape, shapes[layer + ".weight"])
            if axes is not None:
                _take(result, layer, axes, group)
                free.remove(layer)
                break
        else:
            left.append(group)
    for layer, group in zip(list(free), list(left)):
        kernel = group.kernel
        assert kernel is not None
        expected = shapes[layer + ".weight"]
        result.wrong.append(
            {
                "layer": layer + ".weight",
                "expected": list(expected),
                "found": list(kernel.array.shape),
            }
        )
        _take(result, layer, "", group)
        left.remove(group)
    return left


def _axes(shape: tuple[int, ...], expected: tuple[int, ...]) -> str | None:
    """The order of a kernel's axes if it has the expected size, None otherwise."""
    core = tuple(size for size in shape if size != 1)
    if len(expected) == 2:
        if core == expected:
            # (2, 2) and the like do not occur: inputs are 32 and more.
            return "OI"
        return "IO" if core == expected[::-1] else None
    out, channels, height, width = expected
    if len(shape) == 4:
        if shape == expected:
            return "OIHW"
        return "HWIO" if shape == (height, width, channels, out) else None
    flat = channels * height * width
    if len(shape) == 2 and out in (128, 256):
        return {(out, flat): "OI", (flat, out): "IO"}.get((shape[0], shape[1]))
    return None


def _take(result: Assembly, layer: str, axes: str, group: _Group) -> None:
    assert group.kernel is not None
    result.arrays[layer + ".weight"] = group.kernel
    if axes:
        result.axes[layer] = axes
    if layer in HEADS:
        result.heads.append(layer)
    shapes = dict(LAYOUT[result.network])
    (out,) = shapes[layer + ".bias"]
    has_slope = layer + ".slope" in shapes
    for leaf in group.vectors:
        named = leaf.path[-1].lower() in _SLOPES
        shaped = len(leaf.array.shape) == 3
        second = layer + ".bias" in result.arrays
        role = ".slope" if has_slope and (named or shaped or second) else ".bias"
        if layer + role in result.arrays or (second and not has_slope):
            result.extra.append(leaf)
            continue
        result.arrays[layer + role] = leaf
        _check_vector(result, layer + role, leaf, out)


def _check_vector(result: Assembly, name: str, leaf: Leaf, size: int) -> None:
    if _core(leaf) != (size,) and leaf.array.shape != (size,):
        result.wrong.append({"layer": name, "expected": [size], "found": list(leaf.array.shape)})


def _match_slopes(result: Assembly, groups: Sequence[_Group]) -> None:
    """Assign vectors without a kernel: slopes, by size and order."""
    waiting = [leaf for group in groups for leaf in group.vectors]
    result.slopes_kept_apart = bool(waiting)
    shapes = dict(LAYOUT[result.network])
    free = [name for name in shapes if name.endswith(".slope") and name not in result.arrays]
    for name in list(free):
        for leaf in waiting:
            if _core(leaf) == shapes[name]:
                result.arrays[name] = leaf
                waiting.remove(leaf)
                free.remove(name)
                break
    for name in list(free):
        # PReLU without shared_axes has a slope for each place of its map.
        for leaf in waiting:
            if leaf.array.shape[-1:] == shapes[name]:
                result.arrays[name] = leaf
                _check_vector(result, name, leaf, shapes[name][0])
                waiting.remove(leaf)
                break
    result.extra += waiting
