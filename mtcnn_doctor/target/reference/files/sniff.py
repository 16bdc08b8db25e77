"""Which kind of file it is, by its first bytes, and taking it apart accordingly."""

from __future__ import annotations

import errno
import os
import stat
from typing import Callable

from . import arrays, hdf5, lz4frame, models, torchfile
from .protobuf import fields
from .raw import MAX_FILE, Budget, Document, FileError
from .zips import Archive

__all__ = ["read_bytes", "read_document"]

_HTML = (
    "an HTML page, no weight file: the download was an error page, a login page or the page "
    "around the file. Get the file itself (on GitHub: the 'raw' link)"
)
_LFS = "a Git LFS pointer, not the file itself. Get it with: git lfs pull"
#: Formats that are known by their first bytes and not read: bytes, offset, advice.
_ADVICE = (
    (b"TFL3", 4, "a TensorFlow Lite model, whose weights may be rearranged and rounded; use the "
     "file it was converted from"),
    (b"ftrt", 0, "a TensorRT engine, built for one GPU and one release; use the file it was "
     "built from"),
    (b"ptrt", 0, "a TensorRT engine, built for one GPU and one release; use the file it was "
     "built from"),
    (b"\x89PNG", 0, "an image"),
    (b"\xff\xd8\xff", 0, "an image"),
    (b"%PDF", 0, "a PDF document"),
    (b"7z\xbc\xaf'\x1c", 0, "a 7z archive; unpack it"),
    (b"Rar!", 0, "a RAR archive; unpack it"),
)  # fmt: skip
_CHECKPOINT = (
    "a TensorFlow 1 checkpoint, which needs TensorFlow to be read: "
    "tf.train.load_checkpoint(prefix).get_tensor(name) gives each array"
)
_FROZEN = (
    "a frozen TensorFlow graph; its weights are constants among the nodes. Use the checkpoint or "
    "the det1.npy to det3.npy it was made from"
)


def read_bytes(path: str) -> bytes:
    """The content of a file; raises :class:`FileError`."""
    try:
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            raise FileError("special", "a folder; name the files in it")
        if not stat.S_ISREG(state.st_mode):
            raise FileError("special", "no regular file")
        if state.st_size > MAX_FILE:
            raise FileError(
                "too-large",
                f"{state.st_size} bytes, and an MTCNN has 2 million: it is something else",
            )
        with open(path, "rb") as stream:
            return stream.read(MAX_FILE + 1)
    except FileNotFoundError as error:
        raise FileError("missing", "cannot be read: No such file or directory") from error
    except OSError as error:
        kind = "permission" if error.errno in (errno.EACCES, errno.EPERM) else "special"
        raise FileError(kind, f"cannot be read: {error.strerror or error}") from error


def read_document(data: bytes, name: str, budget: Budget | None = None) -> Document:
    """Take a file apart. ``name`` (of the file) decides where the bytes leave a choice."""
    budget = budget or Budget()
    ending = os.path.splitext(name)[1].lower()
    if not data:
        raise FileError("empty", "the file is empty (0 bytes)")
    _refuse_others(data, ending)
    if data.startswith(b"\x93NUMPY"):
        return arrays.read_npy(data, budget)
    if data.startswith(lz4frame.MAGIC):
        return arrays.read_joblib(data, budget)
    if data.startswith(b"PK\x03\x04"):
        return _zip(Archive(data, budget), budget)
    if data.startswith(b"\x89HDF\r\n\x1a\n"):
        return hdf5.read_h5(data, budget)
    if data.startswith(torchfile.LEGACY_MAGIC):
        return torchfile.read_legacy(data, budget)
    if _is_safetensors(data, ending):
        return arrays.read_safetensors(data)
    if data[:2] in (b"\x1f\x8b", b"x\x9c", b"x\x01", b"x\xda", b"x^"):
        return arrays.read_packed(data, budget)
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return arrays.read_pickle(data, budget)
    reader = _protobuf(data, ending, budget)
    if reader is not None:
        return reader(data, budget)
    if ending in (".pkl", ".pickle", ".joblib") and data[:1] in b"(]}c":
        return arrays.read_pickle(data, budget)
    expected = {".npy": b"\x93NUMPY", ".lz4": lz4frame.MAGIC, ".npz": b"PK", ".h5": b"\x89HDF"}
    if any(mark.startswith(data[: len(mark)]) for mark in expected.values()):
        raise FileError("truncated", f"only {len(data)} bytes: the file is cut off")
    raise FileError("unknown", f"no known format of weights (it begins {data[:8].hex(' ')})")


def _refuse_others(data: bytes, ending: str) -> None:
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        raise FileError("html", _HTML)
    if data.startswith(b"version https://git-lfs"):
        raise FileError("git-lfs", _LFS)
    for mark, at, advice in _ADVICE:
        if data[at : at + len(mark)] == mark:
            raise FileError("image" if advice == "an image" else "advice", advice)
    if ending in (".index", ".meta", ".ckpt") or ".data-0" in ending:
        raise FileError("advice", _CHECKPOINT)
    if not any(data) and len(data) > 8:
        raise FileError("damaged", "nothing but zero bytes: it was never written out")
    if data[:1] in b"{[#" or head.startswith(
        (b"layer", b"name:", b"import ", b"404", b"not found")
    ):
        printable = sum(32 <= byte < 127 or byte in b"\r\n\t" for byte in data[:512])
        if printable == len(data[:512]):
            raise FileError("text", f"a text file, no weights (it begins {_excerpt(data)!r})")


def _excerpt(data: bytes) -> str:
    return data[:40].decode("latin-1").split("\n")[0]


def _is_safetensors(data: bytes, ending: str) -> bool:
    if ending == ".safetensors":
        return True
    return len(data) > 9 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)


def _zip(archive: Archive, budget: Budget) -> Document:
    names = archive.names
    if any(name.endswith("data.pkl") for name in names):
        return torchfile.read_zip(archive, budget)
    if "model.weights.h5" in names:
        return hdf5.read_keras(archive, budget)
    if names and all(name.endswith(".npy") for name in names):
        return arrays.read_npz(archive, budget)
    inside = ", ".join(name[:60] for name in names[:4])
    raise FileError("advice", f"a zip archive of other files ({inside}); unpack it, and name one")


def _protobuf(
    data: bytes, ending: str, budget: Budget
) -> Callable[[bytes, Budget], Document] | None:
    """The reader of a protocol buffer, by the fields of its outermost message."""
    seen: set[int] = set()
    try:
        for number, wire, _ in fields(data, Budget()):
            seen.add(number if wire == 2 else -number)
            if len(seen) > 40:
                return None
    except FileError as error:
        if error.kind != "truncated" or not seen:
            return None
    if ending == ".pb" and 1 in seen:
        raise FileError("advice", _FROZEN)
    if ending == ".caffemodel" or 100 in seen:
        return models.read_caffe
    if ending == ".onnx" or (-1 in seen and 7 in seen):
        return models.read_onnx
    return models.read_caffe if seen == {1, 2} else None
