"""Files of ``torch.save``, in the zip format and in the one before torch 1.6, without torch."""

from __future__ import annotations

from typing import Any

from .arrays import pickled
from .pickle_objects import Storage
from .pickles import Machine
from .raw import SIZES, Budget, Document, FileError, RawArray, count_of
from .zips import Archive

__all__ = ["LEGACY_MAGIC", "read_legacy", "read_zip"]

#: A pickle of the number 0x1950a86a20f9469cfc6c, as torch writes it first.
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_MAX_STORAGES = 2000


class _Tensor:
    """A tensor whose storage comes later in the file."""

    def __init__(self, storage: Storage, offset: int, shape: Any, strides: Any) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def bound(self, storages: dict[str, bytes], order: str) -> RawArray:
        code = self.storage.code if order == "<" else order + self.storage.code[1:]
        if not isinstance(self.offset, int):
            raise FileError("damaged", "a tensor's offset makes no sense")
        data = storages.get(self.storage.key)
        if data is None:
            raise FileError("truncated", f"storage {self.storage.key[:40]} is missing")
        return RawArray(code, self.shape, data, strides=self.strides, offset=self.offset)


def _bind(tree: Any, storages: dict[str, bytes], order: str = "<", depth: int = 0) -> Any:
    """Replace the tensors in nested containers by arrays."""
    if isinstance(tree, _Tensor):
        return tree.bound(storages, order)
    if depth > 30:
        return None
    if isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, (_Tensor, dict, list, tuple)) or hasattr(value, "state"):
                tree[key] = _bind(value, storages, order, depth + 1)
        return tree
    if isinstance(tree, (list, tuple)):
        return [_bind(value, storages, order, depth + 1) for value in tree]
    if hasattr(tree, "state"):
        tree.state = _bind(tree.state, storages, order, depth + 1)
        tree.args = None
    return tree


def read_legacy(data: bytes, budget: Budget) -> Document:
    """Pickles of magic, version, system, object and storage keys; then the storages."""
    position = 0
    for _ in range(3):
        machine = Machine(data, position, budget)
        machine.load()
        position = machine.position
    machine = Machine(data, position, budget, _Tensor)
    document = pickled(data, position, budget, "torch before 1.6", machine)
    keys_machine = Machine(data, machine.position, budget)
    keys = keys_machine.load()
    position = keys_machine.position
    if not isinstance(keys, list) or len(keys) > _MAX_STORAGES:
        raise FileError("damaged", "its list of storages makes no sense")
    storages: dict[str, bytes] = {}
    for key in keys:
        storage = machine.storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise FileError("damaged", "it stores numbers that no tensor uses")
        count = int.from_bytes(data[position : position + 8], "little")
        size = count_of((count,)) * SIZES[storage.code[1:]] if count < 1 << 31 else len(data) + 1
        position += 8
        if position + size > len(data):
            raise FileError("truncated", "its storages end in the middle")
        storages[storage.key] = data[position : position + size]
        position += size
    document.tree = _bind(document.tree, storages)
    return document


def read_zip(archive: Archive, budget: Budget) -> Document:
    """An archive with ``data.pkl`` and one entry for each storage."""
    name = next(name for name in archive.names if name.endswith("data.pkl"))
    prefix = name[: -len("data.pkl")]
    if prefix + "constants.pkl" in archive.entries:
        raise FileError(
            "advice",
            "a TorchScript archive, which holds code; load it with torch.jit.load and save its "
            "state_dict() with torch.save",
        )
    data = archive.read(name)
    machine = Machine(data, 0, budget, _Tensor)
    document = pickled(data, 0, budget, "torch", machine)
    order = "<"
    if prefix + "byteorder" in archive.entries:
        order = ">" if archive.read(prefix + "byteorder").strip() == b"big" else "<"
    if len(machine.storages) > _MAX_STORAGES:
        raise FileError("bomb", f"it has {len(machine.storages)} storages")
    storages = {}
    for key in machine.storages:
        entry = f"{prefix}data/{key}"
        if entry not in archive.entries:
            raise FileError("truncated", f"its storage {key[:40]} is missing")
        storages[key] = archive.read(entry)
    document.tree = _bind(document.tree, storages, order)
    return document
