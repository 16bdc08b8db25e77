"""A few hundred mutated files of every format; ``scripts/fuzz_weights.py`` goes on for hours."""

from __future__ import annotations

import importlib.util
from itertools import islice
from pathlib import Path

import pytest

from .files import CHECKS, save

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fuzz_weights.py"


@pytest.fixture(scope="module")
def fuzzer():
    spec = importlib.util.spec_from_file_location("fuzz_weights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_mutated_file_gets_past_the_reader(fuzzer, tmp_path):
    endings = set()
    for _, name, content in islice(fuzzer.cases(seed=0), 500):
        fuzzer.survive(str(save(tmp_path, name, content)), CHECKS)
        endings.add(name)
    assert endings == set(fuzzer.corpus())


def test_the_unchanged_corpus_is_read(fuzzer, tmp_path):
    from mtcnn_doctor.target.reference.files.describe import read

    # The small ones hold a layer or two, which is read, too, and is no network by its shapes.
    for name, content in fuzzer.corpus().items():
        state = read(str(save(tmp_path, name, content))).facts["state"]
        assert state in ("read", "other"), name
