"""A few hundred mutated images and arrays; ``scripts/fuzz_images.py`` goes on for hours."""

from __future__ import annotations

import importlib
import io
import struct
import sys
import zipfile
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy
import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.target.tasks.arrays import _arrays

pytest.importorskip("PIL")
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def fuzzer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("fuzz_images")


def test_no_mutated_file_gets_past_the_readers(fuzzer: ModuleType, tmp_path: Path) -> None:
    checks = [check for check in registry.load(()).checks if check.family == "input"]
    cases = sys.modules["fuzz_weights"].cases(0, made=fuzzer.corpus)
    met = set()
    for _, name, content in islice(cases, 400):
        path = tmp_path / name
        path.write_bytes(content)
        fuzzer.survive(str(path), checks)
        met.add(name)
    assert met == set(fuzzer.corpus())


def test_an_archive_that_unpacks_to_more_than_there_is(tmp_path: Path) -> None:
    out = io.BytesIO()
    numpy.savez_compressed(out, image=numpy.zeros((4, 5, 3), numpy.uint8))
    content = bytearray(out.getvalue())
    # What the directory at its end says of the size, unpacked.
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    path = tmp_path / "bomb.npz"
    path.write_bytes(content)
    assert zipfile.is_zipfile(path)
    with pytest.raises(ValueError, match=r"unpacks to 4\.0 GiB"):
        list(_arrays({"index": 0, "name": "bomb.npz", "path": str(path)}, str(tmp_path)))
