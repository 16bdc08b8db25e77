"""Weight files: taken apart by a child of the target, and tried out beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtcnn_doctor import gallery
from mtcnn_doctor.collect.request import Collected, Request, ask_child
from mtcnn_doctor.collect.trouble import trouble
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.sandbox import Ending


def ask_files(
    request: Request, collected: Collected, paths: Sequence[Path], *, tried: bool, **more: Any
) -> Ending:
    """Let the target read weight files; the facts ``weights`` and ``weights_trial`` come of it.

    A file on which the child dies, or which it does not finish, is a fact, too.

    Args:
        request: Names the target.
        collected: Takes the facts.
        paths: The files.
        tried: Whether networks that are not the published ones are run on the bundled images.
        **more: Further orders of the task.

    Raises:
        UsageError: the target has no NumPy that loads.
    """
    orders = {
        "task": "weight-files",
        "files": [str(path) for path in paths],
        "images": [str(picture.path) for picture in gallery.bundled()] if tried else [],
        "settings": {**gallery.settings(), **request.tuning.settings},
        **more,
    }
    ending = ask_child(request, "weights", orders)
    take(request, collected, ending, paths)
    return ending


def take(request: Request, collected: Collected, ending: Ending, paths: Sequence[Path]) -> None:
    """Take the facts out of an ending."""
    refused = ending.last("not-loadable")
    if refused is not None:
        raise UsageError(
            f"weights are read with NumPy, which does not load in {request.target.python}: "
            f"{refused['error']['last_line']}; name another interpreter with --python"
        )
    files: list[dict[str, Any]] = [message["facts"] for message in ending.of("weights-file")]
    said = trouble(ending, "reading it")
    if said is not None and len(files) < len(paths):
        path = paths[len(files)]
        state = "timeout" if ending.timed_out is not None else "crash"
        files.append({"path": str(path), "name": path.name, "state": state, "reason": said})
    for path in paths[len(files) :]:
        collected.incomplete.append(f"{path} was not read: {files[-1]['name']} ended the reading")
    collected.facts["weights"] = files
    tried = ending.last("weights-trial")
    if tried is not None:
        collected.facts["weights_trial"] = tried["trial"]
    elif said is not None and len(files) == len(paths) and files[-1]["state"] != "crash":
        said = trouble(ending, "running the networks")
        collected.incomplete.append(f"the networks were not tried out: {said}")


def ask_weights(request: Request, collected: Collected, path: Path, *, tried: bool) -> None:
    """Let the target read the weights that its networks are to be given.

    Raises:
        UsageError: the file cannot be used as weights.
    """
    ask_files(request, collected, [path], tried=tried)
    reason = unusable(collected.facts["weights"][0])
    if reason is not None:
        raise UsageError(f"--weights {path}: {reason}; mtcnn-doctor weights inspect tells more")


def unusable(file: Mapping[str, Any]) -> str | None:
    """Return why a file's networks cannot be run, None where they can."""
    if file["state"] != "read":
        return str(file.get("reason") or file["state"])
    for network, facts in file["networks"].items():
        for wrong in facts["wrong"]:
            return (
                f"{network}.{wrong['layer']} has shape {wrong['found']}, "
                f"{wrong['expected']} is expected"
            )
        if facts["missing"]:
            return f"{network}.{facts['missing'][0]} is missing"
    return None
