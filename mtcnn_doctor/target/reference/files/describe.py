"""The facts of a weight file, for checks to judge; and its networks, for whoever runs them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from ..weights import LAYOUT, PUBLISHED_DIGESTS, canonical_digest, load_weights
from . import compare
from .assemble import Assembly, assemble
from .canonical import CONVENTIONS, Convention, canonical_arrays, layout_of, numbers
from .leaves import Leaf, claimed_network, leaves, networks_of, resembles
from .pickle_objects import Opaque
from .raw import Budget, Document, FileError, RawArray
from .sniff import read_bytes, read_document

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Read", "read"]

_SHOWN = 12


class Read:
    """A file that was read.

    ``facts``: see :func:`read`. ``networks``: the complete ones, canonical, as the package of the
    file would take them; ``repaired``: as the numbers say that they are meant.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.networks: dict[str, list[NDArray[np.float32]]] = {}
        self.repaired: dict[str, list[NDArray[np.float32]]] = {}


def read(path: str) -> Read:
    """Read a file; what goes wrong is a fact (``state`` other than "read"), and no exception."""
    result = Read({"path": path, "name": os.path.basename(path), "state": "read"})
    try:
        _read(path, result)
    except FileError as error:
        result.facts.update(state=error.kind, reason=str(error), **error.more)
    except (MemoryError, RecursionError) as error:
        result.facts.update(state="bomb", reason=f"reading it ended with {type(error).__name__}")
    return result


def _read(path: str, result: Read) -> None:
    data = read_bytes(path)
    facts = result.facts
    facts["bytes"] = len(data)
    facts["sha256"] = hashlib.sha256(data).hexdigest()
    budget = Budget()
    document = read_document(data, path, budget)
    del data
    facts["format"] = document.format
    facts["globals"], facts["refused"] = document.globals, document.refused
    facts["calls"] = document.calls
    found = leaves(document)
    facts["arrays"] = len(found)
    facts["structure"] = _structure(document)
    facts["networks"] = {}
    sorted_out = networks_of(found)
    unnamed = sorted_out.pop(None, [])
    claimed = claimed_network(os.path.basename(path))
    if unnamed and not sorted_out:
        # Nothing in the file says which network it is: its shapes do, or else its name.
        guess = resembles(unnamed) or claimed
        if guess is not None:
            sorted_out[guess], unnamed = unnamed, []
    facts["claims"] = claimed
    facts["unassigned"] = [leaf.name for leaf in unnamed[:_SHOWN]]
    for network in LAYOUT:
        if network in sorted_out:
            facts["networks"][network] = _network(
                network, sorted_out[network], document, result, budget
            )
    if not facts["networks"]:
        what = ", ".join(f"{leaf.name} {list(leaf.array.shape)}" for leaf in found[:4])
        raise FileError("other", f"it holds no MTCNN ({what or 'no array at all'})")


def _structure(document: Document) -> dict[str, Any]:
    """What the outermost object is, before anybody looks for arrays in it."""
    tree = document.tree
    keys: list[str] = []
    if isinstance(tree, dict):
        top, keys = "dictionary", [str(key)[:60] for key in list(tree)[:_SHOWN]]
        inner: Sequence[Any] = list(tree.values())[:500]
    elif isinstance(tree, (list, tuple)):
        top, inner = "list", tree[:500]
    elif isinstance(tree, RawArray):
        top, inner = "array", ()
    elif isinstance(tree, Opaque):
        top, inner = f"object of {tree.name}", ()
    else:
        top, inner = type(tree).__name__, ()
    kinds = sorted(
        {
            {RawArray: "array", dict: "dictionary", list: "list", tuple: "list"}.get(
                type(one), "other"
            )
            for one in inner
        }
    )
    return {"top": top, "length": len(inner), "keys": keys, "of": kinds}


def _network(
    network: str, found: Sequence[Leaf], document: Document, result: Read, budget: Budget
) -> dict[str, Any]:
    assembly = assemble(network, found)
    layout = layout_of(document, assembly)
    convention = CONVENTIONS[layout]
    like = resembles(found)
    facts: dict[str, Any] = {
        "layout": layout,
        "arrays": assembly.count,
        "expected": len(LAYOUT[network]),
        "dtypes": sorted({leaf.array.code for leaf in assembly.arrays.values()}),
        "missing": assembly.missing,
        "wrong": assembly.wrong,
        "extra": [f"{leaf.name} {list(leaf.array.shape)}" for leaf in assembly.extra[:_SHOWN]],
        "heads": assembly.heads,
        "positional": assembly.positional,
        "resembles": like,
        "prefix": _prefix(assembly),
        "complete": assembly.complete,
    }
    facts.update(_numbers(assembly, budget))
    if assembly.complete:
        _interpret(facts, assembly, convention, document, result, budget)
    return facts


def _prefix(assembly: Assembly) -> str:
    """What stands before the layers' names, such as "state_dict.module"."""
    if assembly.positional:
        return ""
    paths = [leaf.path[:-2] for leaf in assembly.arrays.values()]
    common: list[str] = []
    for parts in zip(*paths):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _numbers(assembly: Assembly, budget: Budget) -> dict[str, Any]:
    """Statistics that need no interpretation: what is not finite, what is dead or untrained."""
    nonfinite: dict[str, int] = {}
    dead: dict[str, int] = {}
    ranges: dict[str, list[float]] = {}
    slopes: set[float] = set()
    for name, _ in LAYOUT[assembly.network]:
        leaf = assembly.arrays.get(name)
        if leaf is None or (leaf.array.code[1] != "f" and leaf.array.code[1:] != "bf2"):
            continue
        with np.errstate(invalid="ignore"):  # a NaN of the signalling kind
            array = numbers(leaf.array, budget).astype(np.float64)
        bad = int((~np.isfinite(array)).sum())
        if bad:
            nonfinite[name] = bad
        sound = array[np.isfinite(array)]
        if sound.size:
            ranges[name] = [float(sound.min()), float(sound.max()), float(sound.std())]
        if name.endswith(".slope"):
            slopes |= set(np.unique(sound)[:3].tolist())
        axes = assembly.axes.get(name.rsplit(".", 1)[0])
        if name.endswith(".weight") and axes and array.size:
            rows = (
                array.reshape(-1, array.shape[-1]).T
                if axes[-1] == "O"
                else array.reshape(len(array), -1)
            )
            if axes[0] == "O" and array.shape[0] == 1:
                rows = array.reshape(array.size, 1)
            silent = int((np.abs(rows).max(axis=1) == 0).sum())
            if silent:
                dead[name] = silent
    untrained = len(slopes) == 1 and bool(ranges)
    return {
        "nonfinite": nonfinite,
        "dead": dead,
        "ranges": ranges,
        "slopes_equal": next(iter(slopes)) if untrained else None,
    }


def _interpret(
    facts: dict[str, Any],
    assembly: Assembly,
    convention: Convention,
    document: Document,
    result: Read,
    budget: Budget,
) -> None:
    network = assembly.network
    published = load_weights()[network]
    arrays = canonical_arrays(assembly, convention, document, budget)
    rows = compare.layer_rows(network, arrays, published, convention)
    better, differs = compare.better_convention(rows, convention)
    facts["assumed"] = not convention.certain
    facts["orientation"] = "as expected"
    repaired = arrays
    if differs:
        repaired = canonical_arrays(assembly, better, document, budget)
        if not convention.certain:
            # A guess gives way to the evidence.
            arrays = repaired
            rows = compare.layer_rows(network, arrays, published, better)
        else:
            facts["orientation"] = "otherwise"
    facts["transposed"], facts["flatten"] = better.transposed, better.flatten
    facts["expected_heads"] = [head for head in convention.heads if head in assembly.heads]
    facts["digest"] = canonical_digest(arrays)
    facts["published"] = facts["digest"] == PUBLISHED_DIGESTS[network]
    facts["repaired_published"] = canonical_digest(repaired) == PUBLISHED_DIGESTS[network]
    facts["layers"] = rows
    result.networks[network] = arrays
    result.repaired[network] = repaired
