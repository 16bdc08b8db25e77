"""Containers of plain arrays: .npy, .npz, safetensors, and joblib's pickles."""

from __future__ import annotations

import ast
import gzip
import io
import json
import re
import zlib
from typing import Any

from . import lz4frame
from .pickles import Machine
from .raw import SIZES, Budget, Document, FileError, RawArray, count_of
from .zips import Archive

__all__ = ["read_joblib", "read_npy", "read_npz", "read_packed", "read_pickle", "read_safetensors"]

_MAX_HEADER = 64 << 10
# safetensors allows 100 MB; the header of an MTCNN takes 5 kB.
_MAX_JSON = 1 << 20
_SAFETENSORS = {
    "F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<bf2", "I8": "<i1", "I16": "<i2",
    "I32": "<i4", "I64": "<i8", "U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
    "BOOL": "<b1",
}  # fmt: skip


def pickled(
    data: bytes, position: int, budget: Budget, format: str, machine: Machine | None = None
) -> Document:
    """One pickle as a document, with what it asks for."""
    machine = machine or Machine(data, position, budget)
    document = Document(format, machine.load())
    document.globals, document.refused = list(machine.globals), list(machine.refused)
    document.calls = list(machine.calls)
    return document


def read_npy(data: bytes, budget: Budget) -> Document:
    """A .npy file; one of objects holds a pickle, which is read and not run."""
    if len(data) < 12:
        raise FileError("truncated", "its NumPy header is cut off")
    wide = data[6] >= 2
    length = int.from_bytes(data[8:12] if wide else data[8:10], "little")
    start = 12 if wide else 10
    if data[6] not in (1, 2, 3) or length > _MAX_HEADER:
        raise FileError("damaged", "its NumPy header makes no sense")
    if start + length > len(data):
        raise FileError("truncated", "its NumPy header is cut off")
    try:
        header = ast.literal_eval(data[start : start + length].decode("latin-1").strip())
        code, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError) as error:
        raise FileError("damaged", "its NumPy header makes no sense") from error
    if not isinstance(code, str) or not isinstance(shape, tuple):
        raise FileError("damaged", "its NumPy header describes records, no plain array")
    body = start + length
    if code.lstrip("<>=|") != "O":
        full = code if code[:1] in "<>=|" else "<" + code
        count = count_of(shape) * SIZES.get(full[1:], 1)
        return Document("npy", RawArray(full, shape, data[body : body + count], bool(fortran)))
    document = pickled(data, body, budget, "npy with a pickle")
    inner = document.tree
    if shape == () and isinstance(inner, list) and len(inner) == 1:
        document.tree = inner[0]
    return document


def read_npz(archive: Archive, budget: Budget) -> Document:
    """A zip of .npy files."""
    document = Document("npz", {})
    for name in archive.names:
        part = read_npy(archive.read(name), budget)
        document.tree[name[: -len(".npy")]] = part.tree
        document.globals += [one for one in part.globals if one not in document.globals]
        document.refused += [one for one in part.refused if one not in document.refused]
        document.calls += [one for one in part.calls if one not in document.calls]
    return document


def read_pickle(data: bytes, budget: Budget) -> Document:
    """A bare pickle, as ``pickle.dump`` or ``joblib.dump`` write it."""
    document = pickled(data, 0, budget, "pickle")
    if any(name.startswith("joblib.") for name in document.globals):
        document.format = "joblib"
    return document


def read_joblib(data: bytes, budget: Budget) -> Document:
    """A joblib pickle in an LZ4 frame."""
    return pickled(lz4frame.decompress(data, budget), 0, budget, "joblib in LZ4")


def read_packed(data: bytes, budget: Budget) -> Document:
    """A pickle packed with zlib or gzip."""
    limit = budget.left
    try:
        if data[:2] == b"\x1f\x8b":
            content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit + 1)
        else:
            content = zlib.decompressobj().decompress(data, limit + 1)
    except EOFError as error:
        raise FileError("truncated", "its compressed data end in the middle") from error
    except (zlib.error, OSError) as error:
        raise FileError("damaged", f"its compressed data are damaged: {error}") from error
    budget.take(len(content), "the file")
    return read_pickle(content, budget)


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        raise FileError("damaged", "its header names something twice")
    return found


def read_safetensors(data: bytes) -> Document:
    """8 bytes length of the header, a JSON header, the numbers.

    https://github.com/huggingface/safetensors#format
    """
    if len(data) < 8:
        raise FileError("truncated", f"not a safetensors file: only {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if 8 + length > len(data):
        what = f"its header claims {length} bytes, and the file has {len(data)}"
        kind = "truncated" if length <= _MAX_JSON else "damaged"
        raise FileError(kind, f"not a safetensors file, or cut off: {what}")
    if length > _MAX_JSON:
        raise FileError("bomb", f"its safetensors header claims {length} bytes, expected some 5000")
    text = data[8 : 8 + length]
    # Thousands of digits in one number keep older Pythons busy for minutes.
    if re.search(rb"[0-9]{20}", text):
        raise FileError("damaged", "its safetensors header has a number that makes no sense")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError("damaged", "its safetensors header is not JSON") from error
    if not isinstance(header, dict):
        raise FileError("damaged", "its safetensors header is not a JSON object")
    body = memoryview(data)[8 + length :]
    document = Document("safetensors", {})
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            code, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
            if not 0 <= start <= stop:
                raise FileError("damaged", f"tensor {name} ends before it begins")
            if stop > len(body):
                raise FileError("truncated", f"tensor {name} reaches beyond the end")
            if code not in _SAFETENSORS:
                raise FileError("damaged", f"tensor {name} is of type {code}, no plain numbers")
            document.tree[name] = RawArray(_SAFETENSORS[code], shape, body[start:stop])
        except FileError as error:
            raise FileError(error.kind, f"{name}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise FileError("damaged", f"its entry for tensor {name} makes no sense") from error
    return document
