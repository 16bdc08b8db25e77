"""Zip archives under limits: number of entries, size of the directory, bytes that come out."""

from __future__ import annotations

import io
import zipfile
import zlib

from .raw import Budget, FileError

__all__ = ["Archive"]

_MAX_DIRECTORY = 1 << 20
_MAX_ENTRIES = 4096
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """An archive in memory."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        self.budget = budget
        if _directory_size(data) > _MAX_DIRECTORY:
            raise FileError("bomb", "its zip directory is far larger than weights need")
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self.zip.infolist()
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise FileError("truncated", f"its zip archive cannot be read: {error}") from error
        except Exception as error:  # struct.error and more, of damaged extra fields
            raise FileError("damaged", f"its zip directory makes no sense: {error}") from error
        if len(entries) > _MAX_ENTRIES:
            raise FileError("bomb", f"its zip archive has {len(entries)} entries")
        self.entries = {entry.filename: entry for entry in entries}

    @property
    def names(self) -> list[str]:
        """The names of the entries, in the order of the directory."""
        return list(self.entries)

    def read(self, name: str) -> bytes:
        """The content of an entry, checksum verified; raises :class:`FileError`."""
        entry = self.entries[name]
        if entry.compress_type not in _PLAIN or entry.flag_bits & 1:
            raise FileError("damaged", f"its entry {name[:80]} is encrypted, or packed unusually")
        self.budget.take(entry.file_size, f"its entry {name[:80]}")
        try:
            with self.zip.open(entry) as stream:
                # One byte more than announced: what comes after a lie is not read.
                content = stream.read(entry.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise FileError("damaged", f"its entry {name[:80]} is damaged: {error}") from error
        except Exception as error:
            raise FileError("damaged", f"its entry {name[:80]} makes no sense") from error
        if len(content) != entry.file_size:
            raise FileError("damaged", f"its entry {name[:80]} has another size than announced")
        return content


def _directory_size(data: bytes) -> int:
    """Bytes of the central directory, before zipfile makes objects of all its entries."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65557))
    if end < 0 or end + 22 > len(data):
        return 0  # zipfile says what is wrong
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    record = end - 20 - 56
    if record >= 0 and data[record : record + 4] == b"PK\x06\x06":
        size = int.from_bytes(data[record + 40 : record + 48], "little")
    return size
