"""Exporting the networks: written by one child of the target, tried out by another.

The files come into a temporary folder beside their destination and take their names only when
nothing speaks against them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.choice import is_present, too_old
from mtcnn_doctor.collect.metadata import ask_metadata
from mtcnn_doctor.collect.request import Collected, Listener, Request, ask_child
from mtcnn_doctor.collect.trouble import trouble
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import KillingChildren
from mtcnn_doctor.investigate import export_notes
from mtcnn_doctor.targets import Target

#: Largest deviation in logits, offsets and landmarks that rounding explains: float32 networks
#: differ from float64 ones by some 1e-5.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Kind:
    """A format: the modules that write it, the names of its files, and what reads it.

    ``readers`` are names of the target's readers with the module of each, in the order of trying.
    """

    name: str
    modules: tuple[str, ...]
    suffix: str
    readers: tuple[tuple[str, str], ...]

    @property
    def names(self) -> list[str]:
        """The files, or folders, of the three networks."""
        return [network + self.suffix for network in ("pnet", "rnet", "onet")]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "onnx",
            ("numpy",),
            ".onnx",
            (("onnxruntime", "onnxruntime"), ("openvino", "openvino"), ("opencv", "cv2")),
        ),
        Kind(
            "tflite",
            ("numpy",),
            ".tflite",
            (
                ("litert", "ai_edge_litert"),
                ("litert", "tflite_runtime"),
                ("tensorflow-lite", "tensorflow"),
            ),
        ),
        Kind("torchscript", ("numpy", "torch"), ".pt", (("torch", "torch"),)),
        Kind("savedmodel", ("numpy", "tensorflow"), "", (("tensorflow", "tensorflow"),)),
    )
}


@dataclass(frozen=True)
class ExportRequest:
    """What is to be written where."""

    target: Target
    kind: Kind
    folder: Path
    weights: Path | None = None
    force: bool = False
    timeout_s: float = 120.0
    listener: Listener | None = None


def export(request: ExportRequest) -> dict[str, Any]:
    """Write the networks, try them, and return what came of it as plain data.

    ``state`` is "verified"; "not-verified" where the target has nothing that reads the format;
    "wrong" where what reads it gives other answers; "failed" where writing or reading ended with
    an error. In the latter two nothing is left in the folder.

    Raises:
        UsageError: the target lacks what writes the format, the weights cannot be used, the folder
            cannot be written, or holds files of these names and ``force`` is not set.
    """
    made = _prepare(request)
    result: dict[str, Any] | None = None
    try:
        with KillingChildren():
            result = _export(request)
        return result
    finally:
        if made and (result is None or result["state"] in ("wrong", "failed")):
            shutil.rmtree(request.folder, ignore_errors=True)


def _prepare(request: ExportRequest) -> bool:
    """Make the folder; returns whether it was missing."""
    folder = request.folder
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; name a folder")
    taken = [name for name in (*request.kind.names, *export_notes.NAMES) if _exists(folder / name)]
    if taken and not request.force:
        raise UsageError(
            f"--output {folder} holds {', '.join(taken)} already; name another folder, or replace "
            "them with --force"
        )
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder} cannot be made: {error.strerror}") from error
    return made


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _export(request: ExportRequest) -> dict[str, Any]:
    asked = Request(request.target, (), timeout_s=request.timeout_s, listener=request.listener)
    collected = Collected()
    ask_metadata(asked, collected)
    packages = collected.facts.get("packages") or {}
    modules = packages.get("modules") or {}
    for module in request.kind.modules:
        if not is_present(modules, module):
            raise UsageError(
                f"{module} is not installed in {request.target.python}, and {request.kind.name} "
                "cannot be written without it; install it there, or name another interpreter "
                "with --python"
            )
    try:
        temporary = tempfile.mkdtemp(prefix=".mtcnn-doctor-", dir=request.folder)
    except OSError as error:
        raise UsageError(
            f"--output {request.folder} cannot be written: {error.strerror}"
        ) from error
    try:
        return _write_and_verify(request, asked, packages, Path(temporary))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_and_verify(
    request: ExportRequest, asked: Request, packages: Mapping[str, Any], temporary: Path
) -> dict[str, Any]:
    weights = None if request.weights is None else str(request.weights)
    ending = ask_child(
        asked,
        "export",
        {
            "task": "export",
            "kind": request.kind.name,
            "modules": list(request.kind.modules),
            "folder": str(temporary),
            "weights": weights,
        },
    )
    refused = ending.last("weights")
    if refused is not None:
        raise UsageError(f"--weights {refused['error']}")
    written = ending.of("written")
    result: dict[str, Any] = {
        "kind": request.kind.name,
        "folder": str(request.folder),
        "state": "failed",
        "reason": trouble(ending, "writing"),
        "weights": {"file": weights, "published": all(one["published"] for one in written)},
        "networks": {
            one["network"]: {key: one[key] for key in ("name", "bytes", "sha256", "weights_sha256")}
            for one in written
        },
        "verification": None,
    }
    if result["reason"] is not None:
        return result
    result.update(_verify(request, asked, packages, temporary, written, weights))
    if result["state"] in ("verified", "not-verified"):
        export_notes.write(temporary, result)
        _place(temporary, request.folder, [*request.kind.names, *export_notes.NAMES])
    return result


def _verify(
    request: ExportRequest,
    asked: Request,
    packages: Mapping[str, Any],
    temporary: Path,
    written: Sequence[Mapping[str, Any]],
    weights: str | None,
) -> dict[str, Any]:
    """Let the first program that loads here read the files, in a process that wrote none."""
    unusable = []
    modules = packages.get("modules") or {}
    for reader, module in request.kind.readers:
        if not is_present(modules, module) or not modules:
            continue
        old = too_old(module, packages)
        if old is not None:
            unusable.append(f"{module} {old}")
            continue
        ending = ask_child(
            asked,
            f"{reader}, reading",
            {
                "task": "verify-export",
                "reader": reader,
                "module": module,
                "files": {one["network"]: str(temporary / one["name"]) for one in written},
                "weights": weights,
            },
        )
        refused = ending.last("not-loadable")
        if refused is not None:
            unusable.append(f"{module} does not load: {refused['error']['last_line']}")
            continue
        said = trouble(ending, f"reading them with {reader}")
        return _judged(reader, said, ending.of("loaded"), ending.of("verified"))
    names = ", ".join(module for _, module in request.kind.readers)
    reason = "; ".join(unusable) or f"none of {names} is installed there"
    return {"state": "not-verified", "reason": reason}


def _judged(
    reader: str,
    said: str | None,
    facts: Sequence[Mapping[str, Any]],
    answers: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return state, reason and verification for what a reader's child told."""
    loaded = [message["value"].get("version") for message in facts]
    networks = {
        one["network"]: {
            "max_error": one["max_error"],
            "finite": one["finite"],
            "wrong_shape": one["wrong_shape"],
            "inputs": one["inputs"],
        }
        for one in answers
    }
    errors = [one["max_error"] for one in networks.values() if one["max_error"] is not None]
    verification = {
        "reader": reader,
        "version": loaded[-1] if loaded else None,
        "tolerance": TOLERANCE,
        "max_error": max(errors, default=None),
        "networks": networks,
    }
    if said is not None:
        return {"state": "failed", "reason": said, "verification": verification}
    for name, one in networks.items():
        if one["wrong_shape"] is not None:
            reason = f"{name}: {one['wrong_shape']}"
        elif not one["finite"]:
            reason = f"{name} answers with NaN or infinity"
        elif one["max_error"] > TOLERANCE:
            reason = f"{name} is off by up to {one['max_error']:.3g}"
        else:
            continue
        return {"state": "wrong", "reason": reason, "verification": verification}
    return {"state": "verified", "reason": None, "verification": verification}


def _place(temporary: Path, folder: Path, names: Sequence[str]) -> None:
    """Give the files their names; what was there before goes only when its successor is there."""
    try:
        for name in names:
            target = folder / name
            if target.is_dir() and not target.is_symlink():
                # A folder cannot be replaced in one step, only moved out of the way.
                target.rename(temporary / f"earlier-{name}")
            (temporary / name).replace(target)
    except OSError as error:
        raise UsageError(f"--output {folder} cannot be written: {error.strerror}") from error
