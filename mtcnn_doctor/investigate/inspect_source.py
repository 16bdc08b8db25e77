"""What ``inspect`` is pointed at: image files, folders, arrays, videos, cameras, streams."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtcnn_doctor.collect.request import Footage
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.investigate.bench_source import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    footage_of,
    public_name,
)

ARRAY_ENDINGS = (".npy", ".npz")
#: Endings taken from a folder, beside those of images.
_MORE = (*ARRAY_ENDINGS, *VIDEO_ENDINGS, ".heic", ".heif", ".avif", ".jxl", ".jp2", ".ppm", ".pgm")


#: An address of a picture, which is no stream.
_PICTURE = re.compile(
    rf"https?://[^?#]*({'|'.join(re.escape(one) for one in IMAGE_ENDINGS)})([?#]|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class Item:
    """One thing to inspect, under a name of its own: an image file, a file of arrays, footage."""

    name: str
    path: Path | None = None
    footage: Footage | None = None

    @property
    def holds_arrays(self) -> bool:
        """Whether it is a file of NumPy arrays, by its name."""
        return self.path is not None and self.path.suffix.lower() in ARRAY_ENDINGS


def items_of(given: Sequence[str], frames: int) -> list[Item]:
    """Return what the arguments name, in their order; of a folder, the files in it, sorted.

    Args:
        given: Paths, the numbers of cameras, addresses.
        frames: How many pictures to take of each video, camera or stream.

    Raises:
        UsageError: something that is not there or cannot be read, or a folder with nothing in it.
    """
    items: list[Item] = []
    taken: set[str] = set()
    for argument in given:
        if not argument:
            raise UsageError("an empty name was given; name a file, a folder, a camera, an address")
        if _PICTURE.match(argument):
            raise UsageError(f"{public_name(argument)} is an image; download it, name the file")
        footage = footage_of(argument, frames)
        if footage is not None:
            items.append(Item(_free(footage.name, footage.name, taken), footage=footage))
            continue
        for path in _files(Path(argument)):
            film = footage_of(str(path), frames)
            name = _free(path.name, str(path), taken)
            items.append(Item(name, None if film else path.absolute(), film))
    return items


def _free(name: str, longer: str, taken: set[str]) -> str:
    """Return a name that no other item has; findings are told apart by it."""
    chosen, number = (name if name not in taken else longer), 2
    while chosen in taken:
        chosen, number = f"{longer} ({number})", number + 1
    taken.add(chosen)
    return chosen


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        endings = (*IMAGE_ENDINGS, *_MORE)
        try:
            found = sorted(
                one for one in path.iterdir() if one.suffix.lower() in endings and one.is_file()
            )
        except PermissionError as error:
            raise UsageError(f"{path} cannot be read; check its permissions") from error
        if not found:
            raise UsageError(f"{path} holds no images, arrays or videos; name files, or a folder")
        return found
    if not path.exists():
        raise UsageError(
            f"no file or folder {path}; give images, folders, .npy or .npz files, videos, the "
            "number of a camera, or an address such as rtsp://..."
        )
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file; name a file or a folder")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{path} cannot be read; check its permissions")
    return [path]
