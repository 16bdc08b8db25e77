"""What ``--source`` and ``--size`` name: images, a video, a camera, a stream, a made-up scene."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mtcnn_doctor.collect.request import Footage
from mtcnn_doctor.errors import UsageError

#: File name endings taken from a folder given as source.
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif")
VIDEO_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv",
    ".flv", ".3gp", ".ogv", ".mjpg", ".mjpeg", ".h264", ".h265",
)  # fmt: skip
SYNTHETIC = "synthetic"
SYNTHETIC_SIZE = (1280, 720)
SYNTHETIC_FACES = 6

_MOST_PIXELS = 100_000_000
_LONGEST_SIDE = 32_768
#: Smaller places than this on average hold no face that the smallest window would find.
_PIXELS_A_FACE = 900

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
#: Words of an address that stand before a secret: in queries, and in the paths of some cameras.
_SECRET = re.compile(
    r"((?:user(?:name)?|login|pass(?:w(?:or)?d)?|pwd|token|key|secret|auth|sig(?:nature)?)[=:])"
    r"[^&/;?]*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """What is to be measured on: image files, or footage, or (neither) the bundled images."""

    images: tuple[Path, ...] = ()
    footage: Footage | None = None
    size: tuple[int, int] | None = None
    exact: bool = False

    def hide(self, text: str) -> str:
        """Return a text without what must not be shown of an address."""
        return self.footage.hide(text) if self.footage is not None else text


def source_of(
    given: str | None,
    size: str | None = None,
    frames: int | None = None,
    faces: int | None = None,
    default_frames: int = 10,
) -> Source:
    """Return what the options name.

    Args:
        given: ``--source``; None is the bundled images.
        size: ``--size``, such as 1280x720, or 1280x720! for exactly that.
        frames: ``--frames``, for what has frames.
        faces: ``--faces``, for the synthetic scene.
        default_frames: How many frames are taken where nobody says.

    Raises:
        UsageError: a source that is not there, or options that do not go together.
    """
    wanted, exact = (None, False) if size is None else parse_size(size)
    if faces is not None and given != SYNTHETIC:
        raise UsageError("--faces goes with --source synthetic; add that, or leave it out")
    if given == SYNTHETIC:
        if frames is not None:
            raise UsageError("--frames is for videos and cameras; the synthetic scene is one image")
        return _synthetic(wanted or SYNTHETIC_SIZE, SYNTHETIC_FACES if faces is None else faces)
    footage = None if given is None else footage_of(given, frames or default_frames)
    if footage is not None:
        return Source(footage=footage, size=wanted, exact=exact)
    if frames is not None:
        raise UsageError("--frames is for videos and cameras; --source names neither")
    images = () if given is None else tuple(images_of(Path(given)))
    return Source(images=images, size=wanted, exact=exact)


def parse_size(text: str) -> tuple[tuple[int, int], bool]:
    """Return (width, height) and whether exactly that is meant.

    Raises:
        UsageError: it is no size, or one that nobody could measure on.
    """
    found = re.fullmatch(r"(\d+)[xX×](\d+)(!?)", text.strip())
    if found is None:
        raise UsageError(
            f"--size {text}: give width and height such as 1280x720, or 1280x720! to change the "
            "proportions of the image"
        )
    width, height = int(found[1]), int(found[2])
    if not (width and height):
        raise UsageError(f"--size {text}: width and height are at least 1")
    if max(width, height) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise UsageError(
            f"--size {text}: at most {_LONGEST_SIDE} pixels a side and "
            f"{_MOST_PIXELS // 1_000_000} megapixels"
        )
    return (width, height), bool(found[3])


def _synthetic(size: tuple[int, int], faces: int) -> Source:
    most = max(1, size[0] * size[1] // _PIXELS_A_FACE)
    if faces > most:
        raise UsageError(
            f"--faces {faces} do not fit on {size[0]}x{size[1]}, at most {most} do; "
            "give a larger --size"
        )
    name = f"synthetic {size[0]}x{size[1]} with {faces} face" + ("" if faces == 1 else "s")
    return Source(footage=Footage(SYNTHETIC, name, faces=faces), size=size, exact=True)


def footage_of(given: str, frames: int) -> Footage | None:
    """Return the video, camera or stream that a source names, None where it is none."""
    if re.fullmatch(r"\d{1,3}", given):
        return Footage("camera", f"camera {given}", int(given), frames)
    if _SCHEME.match(given):
        return Footage("stream", public_name(given), given, frames)
    path = Path(given)
    if path.is_char_device() and re.match(r"/dev/(video|v4l)", os.path.realpath(path)):
        return Footage("camera", given, given, frames)
    if path.is_file() and path.suffix.lower() in VIDEO_ENDINGS:
        return Footage("video", path.name, str(path.absolute()), frames)
    return None


def public_name(address: str) -> str:
    """Return an address without user, password and other secrets, recognisable all the same."""
    scheme, _, rest = address.partition("://")
    # A password may hold any character, even "/" and "@": what stands before the last "@" goes.
    _, at, host = rest.rpartition("@")
    shown = _SECRET.sub(r"\1<hidden>", host)
    return f"{scheme}://<hidden>@{shown}" if at else f"{scheme}://{shown}"


def images_of(source: Path) -> list[Path]:
    """Return the image files that a source names, sorted.

    Raises:
        UsageError: there is nothing of that name, or a folder without image files.
    """
    if source.is_dir():
        found = sorted(
            path.absolute()
            for path in source.iterdir()
            if path.is_file() and path.suffix.lower() in IMAGE_ENDINGS
        )
        if not found:
            raise UsageError(f"--source {source} holds no image files ({', '.join(IMAGE_ENDINGS)})")
        return found
    if not source.is_file():
        raise UsageError(
            f"no file or folder {source}; give --source an image, a folder, a video, the number "
            "of a camera, an address, or 'synthetic'"
        )
    return [source.absolute()]
