"""Task ``arrays``: the arrays in .npy and .npz files, none of which is unpickled."""

from __future__ import annotations

import os
import zipfile
from typing import Any, Iterator

from ..channel import Channel
from ..failures import describe as described
from ..imports import import_framework
from ..probes.array import describe

#: Arrays looked at in one archive, and bytes that one of them may have: 100 megapixels of float64.
_MOST, _LARGEST = 200, 3 * 8 * 100 * 10**6


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Send ``array`` for each array in ``files`` (``{"index", "name", "path"}``).

    That is the ``facts`` of the array, and under ``array`` a .npy file for other children, None
    where no one may load it; or ``error``. ``file`` follows after the last array of each.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    for file in orders["files"]:
        channel.enter("decode", file["name"])
        channel.send("phase", name="read " + file["name"])
        try:
            for facts, path in _arrays(file, orders["folder"]):
                channel.send("array", index=file["index"], facts=facts, array=path, error=None)
        except Exception as error:
            channel.send("array", index=file["index"], facts=None, error=described(error))
        channel.send("file", index=file["index"])


def _arrays(file: dict[str, Any], folder: str) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield the facts of a file's arrays, each with the path of a .npy file that holds it."""
    import numpy

    if not zipfile.is_zipfile(file["path"]):
        with open(file["path"], "rb") as stream:
            sealed = _sealed(stream, file["name"])
        if sealed is not None:
            yield sealed, None
            return
        # Mapped: the header may promise more than there is memory for.
        yield (
            describe(numpy.load(file["path"], "r", allow_pickle=False), file["name"]),
            file["path"],
        )
        return
    with zipfile.ZipFile(file["path"]) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")][:_MOST]
        for number, member in enumerate(members):
            name = f"{file['name']}[{member[:-4]!r}]"
            with archive.open(member) as stream:
                sealed = _sealed(stream, name)
            if sealed is not None:
                yield sealed, None
                continue
            size = archive.getinfo(member).file_size
            if size > _LARGEST:
                # A few kilobytes may unpack to more than the machine has.
                raise ValueError(
                    "%s unpacks to %.1f GiB; save the array with numpy.save and inspect that"  # noqa: UP031
                    % (name, size / 2**30)
                )
            with archive.open(member) as stream:
                array = numpy.lib.format.read_array(stream, allow_pickle=False)
            target = os.path.join(folder, f"{file['index']}-{number}.npy")
            numpy.save(target, array)
            yield describe(array, name), target


def _sealed(stream: Any, name: str) -> dict[str, Any] | None:
    """Return the facts of an array of Python objects or of records, which is not loaded.

    Raises ValueError where it is no array at all.
    """
    from numpy.lib import format as npy

    major, _ = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    if not dtype.hasobject and dtype.names is None:
        return None
    return {
        "name": name,
        "kind": "array",
        "shape": [int(length) for length in shape],
        "dtype": "object" if dtype.hasobject else "records",
    }
