"""The images of an examination, decoded once for all backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtcnn_doctor import gallery
from mtcnn_doctor.collect import footage
from mtcnn_doctor.collect.request import Collected, Request, ask_child
from mtcnn_doctor.gallery import Picture


@dataclass(frozen=True)
class Album:
    """The images of an examination and where the decoder puts their arrays.

    ``bundled`` holds the names of the reference images among them, whether or not their expected
    faces hold here.
    """

    pictures: Sequence[Picture]
    folder: Path
    bundled: frozenset[str] = frozenset()

    def array(self, index: int) -> Path:
        """Return where the decoded array of an image is, or would be."""
        return self.folder / f"{index}.npy"

    def orders(self) -> list[dict[str, str]]:
        """Return the images as the orders of a child; arrays may not be there yet, or never."""
        return [
            {"name": picture.name, "array": str(self.array(index))}
            for index, picture in enumerate(self.pictures)
        ]

    def of_unknown_faces(self) -> list[Picture]:
        """Return the images of which nobody knows what is to be found on them."""
        return [picture for picture in self.pictures if picture.faces is None]


def album_of(request: Request, folder: Path) -> Album:
    """Return the images of a request: bundled ones, the user's files, pictures yet to be taken.

    The faces expected on the bundled images are those of the published weights and settings on the
    images as they are; otherwise nobody knows them.
    """
    bundled = gallery.bundled() if request.bundled else []
    names = frozenset(picture.name for picture in bundled)
    tuning = request.tuning
    if tuning.settings or tuning.weights or request.size:
        bundled = [replace(picture, faces=None) for picture in bundled]
    taken = request.footage.names if request.footage is not None else []
    made = [Picture(name, Path(name)) for name in taken]
    return Album([*bundled, *named(request.images, set(names)), *made], folder, names)


def named(paths: Sequence[Path], taken: set[str]) -> list[Picture]:
    """Return a user's images under names of their own: the file name, or the path if it is taken.

    Results are told apart by these names, so a user's ``portrait.png`` must not be held against
    the faces of the bundled one.
    """
    pictures = []
    for path in dict.fromkeys(paths):
        name = path.name if path.name not in taken else str(path)
        taken = taken | {name}
        pictures.append(Picture(name, path))
    return pictures


def decode(request: Request, collected: Collected, album: Album, opencv: Future[None]) -> list[str]:
    """Decode the images once for all backends; return the names of those that were decoded.

    Raises:
        UsageError: footage that gives no picture.
    """
    if request.images or request.footage or request.alone:
        opencv.result()  # a cv2 that crashes must not take the decoder with it
    if request.footage is not None:
        return footage.take(request, collected, request.footage, album.folder)
    state = (collected.facts.get("opencv") or {}).get("state")
    ending = ask_child(
        request,
        "images",
        {
            "task": "pictures",
            "images": [str(picture.path) for picture in album.pictures],
            "folder": str(album.folder),
            "avoid": [] if state in ("ok", None) else ["cv2"],
            "size": request.size,
            "exact": request.exact,
        },
    )
    told = {message["path"]: message for message in ending.of("picture")}
    for picture in album.pictures:
        if picture.name not in album.bundled:
            _note_decoding(collected, picture, told.get(str(picture.path)))
    lost = [
        picture.name
        for picture in album.pictures
        if picture.name in album.bundled and not told.get(str(picture.path), {}).get("array")
    ]
    # A NumPy that cannot be imported is its own finding, told by the backends.
    if lost and ending.last("not-loadable") is None:
        said = [m["error"]["last_line"] for m in told.values() if m.get("error")]
        ended = ending.signal or f"exit code {ending.exit_code}"
        with collected.lock:
            collected.facts["decoding"] = {
                "lost": lost,
                "reason": said[0] if said else f"the process that decodes them ended with {ended}",
            }
    return [
        picture.name for picture in album.pictures if told.get(str(picture.path), {}).get("array")
    ]


def _note_decoding(
    collected: Collected, picture: Picture, message: Mapping[str, Any] | None
) -> None:
    """Add to the fact about a user's image what came of decoding it."""
    with collected.lock:
        for image in collected.facts.get("images") or ():
            if image.get("path") != str(picture.path):
                continue
            if message is None:
                image["error"] = "the decoder died"
            elif message.get("error"):
                image["error"] = message["error"]["last_line"]
            else:
                image["decoder"] = message["decoder"]
                image["equal_channels"] = message["equal_channels"]
