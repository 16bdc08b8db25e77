"""Pictures out of a video, a camera or a stream, and why there are none."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.choice import is_present
from mtcnn_doctor.collect.each import Work, how
from mtcnn_doctor.collect.request import Footage, ask_child

#: Limit of opening a camera or a stream, and of each of its pictures, in seconds.
_LIVE_LIMIT_S = 20.0
#: The backends of OpenCV any of which a kind of source takes.
_NEEDS = {
    "video": ("FFMPEG", "GSTREAMER", "MSMF", "AVFOUNDATION", "CV_MJPEG"),
    "stream": ("FFMPEG", "GSTREAMER"),
    "camera": ("V4L2", "V4L", "GSTREAMER", "DSHOW", "MSMF", "AVFOUNDATION"),
}
_WHEEL = "its wheels bring FFMPEG: pip install opencv-python-headless"


def taken(
    work: Work, name: str, footage: Footage
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """Return the facts of a recording, and each picture's .npy file with the facts of its array."""
    recording: dict[str, Any] = {"name": name, "kind": footage.kind, "asked": footage.count}
    modules = (work.collected.facts.get("packages") or {}).get("modules") or {}
    if not is_present(modules, "cv2"):
        return {
            **recording,
            "frames": 0,
            "error": "the target has no OpenCV, which is what opens it",
            "fix": f"{work.request.target.python} -m pip install opencv-python-headless",
        }, []
    live = footage.kind != "video"
    limit = min(work.request.timeout_s, _LIVE_LIMIT_S) if live else work.request.timeout_s
    folder = tempfile.mkdtemp(dir=work.folder)
    ending = ask_child(
        work.request,
        name,
        {
            "task": "frames",
            "address": footage.address,
            "name": name,
            "frames": footage.count,
            "spread": not live,
            "describe": True,
            "folder": folder,
            "limit_s": 0.8 * limit,
        },
        limit_s=limit,
    )
    came = ending.of("picture")
    able, opened = ending.last("opencv") or {}, ending.last("opened") or {}
    kinds = able.get("cameras" if footage.kind == "camera" else "files")
    recording.update(
        frames=len(came),
        opencv=able.get("version"),
        backends=kinds,
        needs=" or ".join(_NEEDS[footage.kind]),
        **{key: value for key, value in opened.items() if key not in ("t", "label")},
    )
    told = ending.last("stream")
    refused = ending.last("not-loadable") or ending.last("failed")
    if told is not None and told.get("error"):
        recording["error"] = footage.hide(str(told["error"]))
    elif refused is not None:
        recording["error"] = footage.hide(str(refused["error"]["last_line"]))
    elif told is None:
        recording["error"] = footage.hide(how(ending))
    elif not came:
        recording["error"] = "it was opened and gave no picture"
    if not came:
        recording.update(_why(footage, kinds))
    frames = [
        (message["array"], {**message["facts"], "name": f"{name} #{number}"})
        for number, message in enumerate(came, 1)
    ]
    return {key: value for key, value in recording.items() if value is not None}, frames


def _why(footage: Footage, backends: list[str] | None) -> dict[str, str]:
    """Return the likely cause and what to do, where no picture came."""
    if backends is not None and not set(backends) & set(_NEEDS[footage.kind]):
        return {
            "cause": f"This build of OpenCV has none of {', '.join(_NEEDS[footage.kind])}, one of "
            f"which it takes to open a {footage.kind}.",
            "fix": f"Install a build of OpenCV that has one; {_WHEEL}",
        }
    if footage.kind == "camera":
        device = Path(f"/dev/video{footage.address}")
        if isinstance(footage.address, str):
            device = Path(footage.address)
        if sys.platform == "linux" and not device.exists():
            return {
                "cause": f"There is no {device}: no camera is plugged in, or it was not passed to "
                "this container or virtual machine.",
                "fix": f"Plug it in; for a container: docker run --device {device} ...",
            }
        if sys.platform == "linux" and not os.access(device, os.R_OK | os.W_OK):
            return {
                "cause": f"This user may not open {device}.",
                "fix": "Add the user to the group of the device (video), and log in again.",
            }
        return {"fix": "Close other programs that use the camera, and try the next number."}
    if footage.kind == "stream":
        return {"fix": "Check the address, the password and the network (ffprobe ADDRESS)."}
    return {
        "fix": "Check that the file is complete; convert it: ffmpeg -i FILE -c:v libx264 OUT.mp4"
    }
