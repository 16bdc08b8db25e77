"""What `mtcnn-doctor weights` does: reading, comparing and writing weight files."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.choice import is_present
from mtcnn_doctor.collect.metadata import ask_metadata
from mtcnn_doctor.collect.request import Collected, Listener, Request, ask_child
from mtcnn_doctor.collect.trouble import trouble
from mtcnn_doctor.collect.weights import ask_files, take, unusable
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import KillingChildren, judge_facts
from mtcnn_doctor.model import Check, Report
from mtcnn_doctor.targets import Target

#: Format to what it is for; the names of the files are in target/reference/files/written.py.
FORMATS = {
    "safetensors": "one file for mtcnn-doctor and everything that reads safetensors",
    "mtcnn-0.1": "mtcnn_weights.npy",
    "mtcnn-1.0": "pnet.lz4, rnet.lz4, onet.lz4",
    "facenet": "det1.npy, det2.npy, det3.npy",
    "facenet-pytorch": "pnet.pt, rnet.pt, onet.pt",
    "caffe": "det1.caffemodel, det2.caffemodel, det3.caffemodel",
    "onnx": "pnet.onnx, rnet.onnx, onet.onnx",
}
MERGED = ("safetensors", "mtcnn-0.1")


@dataclass(frozen=True)
class WeightsRequest:
    """Which files, and who reads them. ``tried``: run networks that are not the published ones."""

    target: Target
    files: Sequence[Path]
    checks: Sequence[Check] = ()
    tried: bool = False
    timeout_s: float = 120.0
    command: Sequence[str] = ()
    listener: Listener | None = None
    started: float = field(default_factory=time.monotonic)

    def asked(self) -> Request:
        """Return the request in the words of an examination."""
        return Request(self.target, (), timeout_s=self.timeout_s, listener=self.listener)


def inspect(request: WeightsRequest) -> Report:
    """Read files and judge them.

    Raises:
        UsageError: the target cannot read weights.
    """
    with KillingChildren():
        collected = _metadata(request)
        ask_files(request.asked(), collected, request.files, tried=request.tried)
    document = {"facts": collected.facts, "incomplete": collected.incomplete}
    report = judge_facts(
        document,
        [check for check in request.checks if check.family == "weights"],
        expect_gpu=False,
        command=request.command,
        plugin_failures=(),
    )
    return replace(report, duration_s=time.monotonic() - request.started)


def _metadata(request: WeightsRequest) -> Collected:
    collected = Collected()
    ask_metadata(request.asked(), collected)
    modules = (collected.facts.get("packages") or {}).get("modules") or {}
    if not is_present(modules, "numpy"):
        raise UsageError(
            f"numpy is not installed in {request.target.python}, and weights are read with it; "
            "install it there, or name another interpreter with --python"
        )
    return collected


def diff(request: WeightsRequest) -> dict[str, Any]:
    """Compare the networks of two files layer by layer; returns plain data.

    Raises:
        UsageError: a file cannot be read, holds no complete network, or they have none in common.
    """
    with KillingChildren():
        collected = Collected()
        ending = ask_files(request.asked(), collected, request.files, tried=False, compare=True)
    for file, path in zip(collected.facts["weights"], request.files, strict=False):
        reason = unusable(file)
        if reason is not None:
            raise UsageError(f"{path}: {reason}; mtcnn-doctor weights inspect tells more")
    told = ending.last("weights-diff")
    if told is None:
        raise UsageError(f"the files were not compared: {trouble(ending, 'comparing them')}")
    if not told["networks"]:
        raise UsageError(
            f"{request.files[0]} holds {', '.join(told['only_first'])} and {request.files[1]} "
            f"{', '.join(told['only_second'])}: nothing to compare; name files of one network"
        )
    return {
        "files": [str(path) for path in request.files],
        "layouts": [
            sorted({facts["layout"] for facts in file["networks"].values()})
            for file in collected.facts["weights"]
        ],
        "networks": told["networks"],
        "only_first": told["only_first"],
        "only_second": told["only_second"],
        "equal": not (told["only_first"] or told["only_second"])
        and all(row["equal"] for rows in told["networks"].values() for row in rows),
    }


@dataclass(frozen=True)
class ConvertRequest:
    """What is to be written. ``destination``: a folder, or with ``merged`` the one file."""

    weights: WeightsRequest
    kind: str
    destination: Path
    merged: bool = False
    force: bool = False
    repair: bool = False


def convert(request: ConvertRequest) -> dict[str, Any]:
    """Write the networks of files in another format; returns plain data.

    Raises:
        UsageError: the files give no such networks, or the destination cannot be written.
    """
    destination = request.destination
    folder = destination.parent if request.merged else destination
    made = _prepare(request, folder)
    placed = False
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".mtcnn-doctor-", dir=folder))
    except OSError as error:
        raise UsageError(f"--output {folder} cannot be written: {error.strerror}") from error
    try:
        with KillingChildren():
            result = _converted(request, temporary)
        names = [one["name"] for one in result["written"]]
        targets = [destination] if request.merged else [folder / name for name in names]
        taken = [str(path) for path in targets if path.exists() or path.is_symlink()]
        if taken and not request.force:
            raise UsageError(
                f"{', '.join(taken)}: there already; name another place, or replace it with --force"
            )
        for name, target in zip(names, targets, strict=True):
            (temporary / name).replace(target)
        placed = True
        for one, target in zip(result["written"], targets, strict=True):
            one["path"] = str(target)
        return result
    except OSError as error:
        raise UsageError(f"--output {destination} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made and not placed:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(request: ConvertRequest, folder: Path) -> bool:
    """Make the folder; returns whether it was missing."""
    destination = request.destination
    if request.merged:
        if destination.is_dir():
            raise UsageError(f"--output {destination} is a folder; name a file in it")
        if (destination.exists() or destination.is_symlink()) and not request.force:
            raise UsageError(
                f"{destination}: there already; name another file, or replace it with --force"
            )
        if not folder.is_dir():
            raise UsageError(f"--output {destination}: its folder does not exist; make it first")
        return False
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; name a folder")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder} cannot be made: {error.strerror}") from error
    return made


def _converted(request: ConvertRequest, temporary: Path) -> dict[str, Any]:
    weights = request.weights
    collected = Collected()
    ending = ask_child(
        weights.asked(),
        "weights",
        {
            "task": "convert-weights",
            "files": [str(path) for path in weights.files],
            "kind": request.kind,
            "folder": str(temporary),
            "repair": request.repair,
            "networks": ["pnet", "rnet", "onet"] if request.merged else [],
        },
    )
    take(weights.asked(), collected, ending, weights.files)
    for file, path in zip(collected.facts["weights"], weights.files, strict=False):
        reason = unusable(file)
        if reason is not None:
            raise UsageError(f"{path}: {reason}; mtcnn-doctor weights inspect tells more")
    refused = ending.last("refused")
    if refused is not None:
        files = ", ".join(str(path) for path in weights.files)
        raise UsageError(f"{files}: {refused['reason']}")
    said = trouble(ending, "writing")
    if said is not None:
        raise UsageError(f"nothing was written: {said}")
    written = [{k: v for k, v in one.items() if k != "t"} for one in ending.of("written")]
    wrong = [one["name"] for one in written if not one["same"]]
    if wrong:
        raise UsageError(f"nothing was written: {', '.join(wrong)} read again has other numbers")
    return {
        "kind": request.kind,
        "repair": request.repair,
        "files": collected.facts["weights"],
        "written": written,
        "misplaced": _misplaced(collected.facts["weights"]),
    }


def _misplaced(files: Sequence[dict[str, Any]]) -> list[str]:
    """Return the files whose networks are not oriented as their program expects."""
    return [
        file["name"]
        for file in files
        for facts in file["networks"].values()
        if facts.get("orientation") == "otherwise"
    ]
