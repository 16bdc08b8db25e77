"""Weight files for the tests, made of the bundled weights, and what the checks say about them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mtcnn_doctor import registry
from mtcnn_doctor.model import Finding, Severity
from mtcnn_doctor.target.reference.files import lz4frame, pickle_writer, written
from mtcnn_doctor.target.reference.files.canonical import CONVENTIONS
from mtcnn_doctor.target.reference.files.describe import Read, read
from mtcnn_doctor.target.reference.weights import LAYOUT, load_weights

CHECKS = [check for check in registry.load(()).checks if check.family == "weights"]
PUBLISHED = load_weights()


def published() -> dict[str, list[np.ndarray[Any, Any]]]:
    """The published networks, to be changed."""
    return copy.deepcopy(PUBLISHED)


def index(network: str, name: str) -> int:
    """The place of an array in a canonical list."""
    return [one for one, _ in LAYOUT[network]].index(name)


def keras_list(network: str, layout: str = "mtcnn-1.0", weights: Any = None) -> list[Any]:
    """A network's list as mtcnn 0.1 or 1.0 keeps it."""
    return written._list(network, (weights or PUBLISHED)[network], CONVENTIONS[layout])


def lz4(tree: Any) -> bytes:
    """A file of mtcnn 1.0; a dictionary goes into it as pickle writes it."""
    if isinstance(tree, list):
        return lz4frame.compress(pickle_writer.joblib_list(tree))
    return lz4frame.compress(b"\x80\x03" + pickle_writer._tree(tree) + b".")


def save(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def write(folder: Path, format: str, weights: Any = None) -> list[Path]:
    """Every file of a format."""
    contents = written.encode(format, weights or PUBLISHED)
    return [save(folder, name, content) for name, content in contents.items()]


def judged(paths: Iterable[Path], trial: Any = None) -> tuple[list[Read], list[Finding]]:
    """What was read, and the errors and warnings about it."""
    found = [read(str(path)) for path in paths]
    facts = {"weights": [one.facts for one in found], "weights_trial": trial}
    findings = registry.judge(CHECKS, facts)
    assert not [one.title for one in findings if one.id == "check-failed"]
    return found, findings


def problems(*paths: Path, trial: Any = None) -> list[Finding]:
    _, findings = judged(paths, trial)
    return [one for one in findings if one.severity in (Severity.ERROR, Severity.WARNING)]
