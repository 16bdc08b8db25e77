"""Pictures out of videos, cameras and network streams, and made-up ones; each by a child.

Reading a stream may hang, crash or ask a machine that is not there: the child has a limit of time,
and what it says is shown without the address, which may hold a password.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtcnn_doctor import gallery
from mtcnn_doctor.collect.request import Collected, Footage, Request, ask_child
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.sandbox import Ending

#: The bundled image whose face is used for made-up scenes.
_PORTRAIT = "portrait.png"
#: Limit of opening a camera or a network stream, and of each of its pictures, in seconds. Longer
#: than a camera takes that has to wake up; a file gets what every phase gets.
_LIVE_LIMIT_S = 20.0

_WORDS = {"video": "video", "camera": "camera", "stream": "stream"}


def take(request: Request, collected: Collected, footage: Footage, folder: Path) -> list[str]:
    """Put the pictures' arrays into the folder; return the names of those that came.

    Raises:
        UsageError: no picture came; says why, and what to do.
    """
    if footage.kind == "synthetic":
        return _make(request, collected, footage, folder)
    modules = (collected.facts.get("packages") or {}).get("modules") or {}
    if "cv2" in modules and not modules["cv2"].get("found"):
        raise UsageError(_without_opencv(request, footage, "the target has no OpenCV"))
    state = (collected.facts.get("opencv") or {}).get("state")
    if state not in ("ok", None):
        raise UsageError(_without_opencv(request, footage, f"its OpenCV is unusable ({state})"))
    live = footage.kind != "video"
    limit = min(request.timeout_s, _LIVE_LIMIT_S) if live else request.timeout_s
    ending = ask_child(
        request,
        "source",
        {
            "task": "frames",
            "address": footage.address,
            "name": footage.name,
            "frames": footage.count,
            "spread": not live,
            "size": request.size,
            "exact": request.exact,
            "folder": str(folder),
            # OpenCV should give up by itself, before the child is killed.
            "limit_s": 0.8 * limit,
        },
        limit_s=limit,
    )
    came = len(ending.of("picture"))
    told = ending.last("stream") or {}
    if not came:
        raise UsageError(f"--source {footage.name}: {_why(ending, footage, limit)}")
    with collected.lock:
        collected.facts["source"] = {
            "kind": footage.kind,
            "name": footage.name,
            "frames_asked": footage.count,
            "frames": came,
            "frame_numbers": told.get("frame_numbers"),
            "frames_in_file": told.get("total") if not live else None,
            # It may break off later: what came is measured, and the rest is said.
            "broke_off": footage.hide(_broke_off(ending, limit)) or None,
        }
    return footage.names[:came]


def _make(request: Request, collected: Collected, footage: Footage, folder: Path) -> list[str]:
    portrait = next(picture for picture in gallery.bundled() if picture.name == _PORTRAIT)
    assert portrait.faces is not None
    assert request.size is not None
    ending = ask_child(
        request,
        "source",
        {
            "task": "scene",
            "portrait": str(portrait.path),
            "face": portrait.faces[0]["box"],
            "size": request.size,
            "faces": footage.faces,
            "seed": footage.seed,
            "folder": str(folder),
            "name": footage.name,
        },
    )
    with collected.lock:
        collected.facts["source"] = {
            "kind": footage.kind,
            "name": footage.name,
            "size": list(request.size),
            "faces": footage.faces,
            "seed": footage.seed,
        }
        if not ending.of("picture") and ending.last("not-loadable") is None:
            collected.facts["decoding"] = {
                "lost": [footage.name],
                "reason": _reason(ending, request.timeout_s),
            }
    return footage.names if ending.of("picture") else []


def _without_opencv(request: Request, footage: Footage, why: str) -> str:
    return (
        f"--source {footage.name} is a {_WORDS[footage.kind]}, which takes OpenCV to read, and "
        f"{why}: {request.target.python} -m pip install opencv-python-headless"
    )


def _why(ending: Ending, footage: Footage, limit_s: float) -> str:
    """Return in one line why no picture came, and what to do."""
    told = ending.last("stream") or {}
    fixes = {
        "video": "check that it is a video file which OpenCV can decode",
        "camera": "check that the camera is plugged in, free, and yours to open",
        "stream": "check the address, the password and the network",
    }
    if told and not told.get("error"):
        said = "it was opened and gave no picture"
    elif told:
        said = footage.hide(str(told["error"]))
    else:
        said = footage.hide(_reason(ending, limit_s))
    return f"{said}; {fixes[footage.kind]}"


def _reason(ending: Ending, limit_s: float) -> str:
    """Return how a child ended that did not do its task."""
    refused: dict[str, Any] | None = ending.last("not-loadable") or ending.last("failed")
    if refused is not None:
        return str(refused["error"]["last_line"])
    if ending.timed_out is not None:
        return f"no answer within {limit_s:g} s"
    return f"the process that reads it ended with {ending.signal or f'code {ending.exit_code}'}"


def _broke_off(ending: Ending, limit_s: float) -> str:
    told = ending.last("stream")
    if told is None:
        return _reason(ending, limit_s)
    return str(told.get("error") or "")
