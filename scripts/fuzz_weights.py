"""Feed mutated weight files to the readers, and keep every input that they do not survive.

    python scripts/fuzz_weights.py --minutes 60 --output fuzzed

A failure is an exception that leaves the reader, a check that fails, a file that takes longer than
its limit, or a worker that dies. HDF5's library may crash, or go round in circles, on a damaged
file; that is kept, too, and is why the doctor reads files in a child with a time limit. Each worker
has an address space of 2 GiB. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtcnn_doctor import registry
from mtcnn_doctor.target.channel import _plain
from mtcnn_doctor.target.reference.files import lz4frame, pickle_writer, written
from mtcnn_doctor.target.reference.files.describe import read
from mtcnn_doctor.target.reference.weights import load_weights

LIMIT_S = 20
ADDRESS_SPACE = 2 << 30
CASES_A_WORKER = 2000
_NUMBERS = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_OPCODES = (
    b"(.012NIJKLMRTUVXabcdeghijlopqrstu})]"
    b"\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x92\x93\x94\x95\x96"
)


def corpus() -> dict[str, bytes]:
    """Small files of every format, by a name with the ending that chooses the reader."""
    pnet = {"pnet": load_weights()["pnet"]}
    found = {
        "a.safetensors": written.encode("safetensors", pnet)["mtcnn.safetensors"],
        "a.npy": written.encode("mtcnn-0.1", pnet)["mtcnn_weights.npy"],
        "b.npy": written.encode("facenet", pnet)["det1.npy"],
        "a.lz4": written.encode("mtcnn-1.0", pnet)["pnet.lz4"],
        "a.pt": written.encode("facenet-pytorch", pnet)["pnet.pt"],
        "a.caffemodel": written.encode("caffe", pnet)["det1.caffemodel"],
        "a.onnx": written.encode("onnx", pnet)["pnet.onnx"],
    }
    out = io.BytesIO()
    np.savez(out, *(np.ones(3, np.float32) for _ in range(3)))
    found["a.npz"] = out.getvalue()
    # What is small is mutated where it matters: in its structure, not in its numbers.
    small = [np.ones((1, 1, 2), np.float32), np.ones(2, np.float32)]
    found["s.pkl"] = pickle_writer.joblib_list(small)
    found["s.npy"] = pickle_writer.numpy_object({"pnet": small})
    found["s.lz4"] = lz4frame.compress(pickle_writer.joblib_list(small))
    found["t.pt"] = legacy()
    try:
        import h5py
    except ImportError:
        return found
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["layers/conv2d/vars/0"] = np.ones((3, 3, 3, 10), np.float32)
        file.attrs["layer_names"] = [b"layers"]
    found["a.h5"] = out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": [{"class_name": "Lambda"}]}}')
        archive.writestr("model.weights.h5", found["a.h5"])
    found["a.keras"] = out.getvalue()
    return found


def legacy() -> bytes:
    """A file of torch before 1.6 with one storage."""
    from mtcnn_doctor.target.reference.files.torchfile import LEGACY_MAGIC

    head = LEGACY_MAGIC + b"\x80\x02M\xe9\x03." + b"\x80\x02}."
    body = pickle_writer.torch_state(["conv1.bias"], [np.ones(10, np.float32)])
    keys = b"\x80\x02]X\x01\x00\x00\x000a."
    return head + body + keys + (10).to_bytes(8, "little") + bytes(40)


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to eight changes of a file; those in archives and frames keep the checksums right."""
    if data[:2] == b"PK" and chance.random() < 0.7:
        return _in_zip(data, chance, others)
    if data[:4] == lz4frame.MAGIC and chance.random() < 0.7:
        return lz4frame.compress(_bytes(data[11:-8], chance, others))
    return _bytes(data, chance, others)


def _in_zip(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as again:
        names = archive.namelist()
        chosen = next((n for n in names if n.endswith(("pkl", "h5", "npy"))), names[0])
        if chance.random() < 0.3:
            chosen = chance.choice(names)
        for name in names:
            content = archive.read(name)
            again.writestr(name, _bytes(content, chance, others) if name == chosen else content)
    return out.getvalue()


def _bytes(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    content = bytearray(data)
    # Structure is at the beginning of most formats.
    reach = len(content) if chance.random() < 0.5 else min(len(content), 600)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(reach + 1) if reach else 0
        kind = chance.randrange(9)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(content):
            content[at] = chance.randrange(256)
        elif kind == 2:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(_NUMBERS) & ((1 << 8 * width) - 1)
            content[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
        elif kind == 3:
            del content[at : at + chance.randint(1, 40)]
        elif kind == 4:
            content[at:at] = bytes(chance.choice(_OPCODES) for _ in range(chance.randint(1, 12)))
        elif kind == 5 and at < len(content):
            content[at] = chance.choice(_OPCODES)
        elif kind == 6:
            size = chance.randint(1, 200)
            start = chance.randrange(len(content) + 1)
            content[at:at] = content[start : start + size] * chance.choice((1, 1, 1, 50))
        elif kind == 7:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            content[at:at] = other[start : start + chance.randint(1, 400)]
        elif kind == 8 and chance.random() < 0.2:
            del content[at:]
    return bytes(content[: 1 << 20])


def cases(
    seed: int, start: int = 0, made: Callable[[], dict[str, bytes]] = corpus
) -> Iterator[tuple[int, str, bytes]]:
    """Number, file name and content, without end."""
    files = made()
    names, others = sorted(files), list(files.values())
    number = start
    while True:
        chance = random.Random(f"{seed}/{number}")
        name = chance.choice(names)
        yield number, name, mutated(files[name], chance, others)
        number += 1


def survive(path: str, checks: list[object]) -> None:
    """Read a file and judge it as the command does; raises what goes wrong."""
    facts = read(path).facts
    json.dumps(_plain(facts), allow_nan=False)
    findings = registry.judge(checks, {"weights": [_plain(facts)]})  # type: ignore[arg-type]
    failed = [one for one in findings if one.id == "check-failed"]
    if failed:
        raise AssertionError(failed[0].evidence)


def work(kind: Kind, seed: int, start: int, end: float, folder: str, note: int) -> None:
    """Work through cases, writing the number of each into ``note`` before it begins."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    faulthandler.enable()
    checks = [check for check in registry.load(()).checks if check.family == kind.family]
    for number, name, content in cases(seed, start, kind.corpus):
        if number >= start + CASES_A_WORKER or time.time() > end:
            return
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(content)
        os.pwrite(note, b"%-20d" % number, 0)
        signal.alarm(LIMIT_S)
        kind.survive(path, checks)
        signal.alarm(0)


class Kind(NamedTuple):
    """What is fuzzed: the files to begin with, the reader, and the family of its checks."""

    corpus: Callable[[], dict[str, bytes]]
    survive: Callable[[str, list[object]], None]
    family: str


def main(kind: Kind = Kind(corpus, survive, "weights")) -> int:  # noqa: B008 - never changed
    """Fuzz for as long as asked; returns 1 if a file was kept."""
    parser = argparse.ArgumentParser(
        description=f"Feed mutated files to the readers of {kind.family}."
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("fuzzed"))
    options = parser.parse_args()
    end, start, kept = time.time() + 60 * options.minutes, 0, 0
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as note:
        while time.time() < end:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    work(kind, options.seed, start, end, folder, note.fileno())
                    code = 0
                except Exception:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            number = int(os.pread(note.fileno(), 20, 0) or b"0")
            if status == 0:
                start = number + 1
                continue
            _, name, content = next(cases(options.seed, number, kind.corpus))
            options.output.mkdir(parents=True, exist_ok=True)
            path = options.output / f"{options.seed}-{number}-{name}"
            path.write_bytes(content)
            print(f"{path}: status {status}", flush=True)
            start, kept = number + 1, kept + 1
    print(f"{start} files, {kept} kept")
    return 1 if kept else 0


if __name__ == "__main__":
    sys.exit(main())
