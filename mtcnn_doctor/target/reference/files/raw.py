"""What comes out of a container: raw arrays, errors with a kind, and limits on both."""

from __future__ import annotations

from typing import Any, Sequence

__all__ = [
    "MAX_ARRAYS",
    "MAX_BYTES",
    "MAX_FILE",
    "Budget",
    "Document",
    "FileError",
    "RawArray",
    "count_of",
]

#: Largest file that is looked into. A full MTCNN has 2 MB, with an optimiser's state 6 MB.
MAX_FILE = 64 << 20
#: Bytes that may come out of a file, all arrays and unpacked parts together.
MAX_BYTES = 192 << 20
MAX_ARRAYS = 2000
#: Instructions of all pickles in a file; weights need some thousand.
MAX_STEPS = 400_000

#: Bytes of one element, by NumPy's code without the byte order; bfloat16 has none there.
SIZES = {
    "f2": 2, "f4": 4, "f8": 8, "bf2": 2, "i1": 1, "i2": 2, "i4": 4, "i8": 8,
    "u1": 1, "u2": 2, "u4": 4, "u8": 8, "b1": 1,
}  # fmt: skip


class FileError(ValueError):
    """A file that gives no arrays.

    ``kind``: "missing", "permission", "special", "empty", "too-large", "html", "git-lfs", "text",
    "image", "unknown", "advice" (a format that is known and not read), "needs-package",
    "truncated", "damaged", "bomb" or "unsafe".
    """

    def __init__(self, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.more = more


class Budget:
    """Counts what is taken out of one file, and ends it where that is too much."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self.left = most
        self.steps = MAX_STEPS

    def step(self) -> bool:
        """Charge one instruction; returns whether it may be done."""
        self.steps -= 1
        return self.steps > 0

    def take(self, count: int, what: str) -> None:
        """Charge a number of bytes; raises :class:`FileError` when they are not left."""
        if count < 0:
            raise FileError("damaged", f"{what} has a negative size")
        if count > self.left:
            raise FileError(
                "bomb", f"{what} would unpack to {count} bytes, far more than an MTCNN has"
            )
        self.left -= count


def count_of(shape: Sequence[int]) -> int:
    """Number of elements of a shape; raises :class:`FileError` for one that cannot be."""
    if len(shape) > 8:
        raise FileError("damaged", f"an array has {len(shape)} dimensions")
    count = 1
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 31:
            raise FileError("damaged", "an array's shape makes no sense")
        count *= size
    if count > MAX_BYTES:
        raise FileError("bomb", f"an array claims {count} elements, far more than an MTCNN has")
    return count


class RawArray:
    """Numbers as they lie in the file.

    ``code``: NumPy's with the byte order, such as "<f4" (bfloat16: "<bf2"). ``data`` holds exactly
    the elements, in C order, or in Fortran's with ``fortran``. ``strides`` (in elements) and
    ``offset`` are set for a view into a larger ``data``.
    """

    __slots__ = ("code", "data", "fortran", "offset", "shape", "strides")

    def __init__(
        self,
        code: str,
        shape: Sequence[int],
        data: Any,
        fortran: bool = False,
        strides: Sequence[int] | None = None,
        offset: int = 0,
    ) -> None:
        if code[:1] not in "<>=|" or code[1:] not in SIZES:
            raise FileError("damaged", f"an array holds elements of type {code[:20]!r}, no numbers")
        self.code, self.shape, self.data, self.fortran = code, tuple(shape), data, fortran
        self.strides = None if strides is None else tuple(strides)
        self.offset = offset
        count, size = count_of(self.shape), SIZES[code[1:]]
        if self.strides is None:
            if len(data) != count * size:
                raise FileError(
                    "truncated" if len(data) < count * size else "damaged",
                    f"an array of {count} elements has {len(data)} bytes, not {count * size}",
                )
        elif count:
            reach = offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides))
            whole = all(isinstance(s, int) and s >= 0 for s in self.strides)
            if not whole or offset < 0 or len(self.strides) != len(self.shape):
                raise FileError("damaged", "a tensor's strides make no sense")
            if (reach + 1) * size > len(data):
                raise FileError("truncated", "a tensor reaches beyond the end of its storage")


class Document:
    """A file taken apart: nested dictionaries and lists with :class:`RawArray` as leaves.

    ``format`` names the container. ``globals`` are what a pickle asks for, ``refused`` those of
    them that no weight file needs, ``calls`` those of these that it would call. ``notes`` are facts
    of the container worth knowing.
    """

    def __init__(self, format: str, tree: Any) -> None:
        self.format = format
        self.tree = tree
        self.globals: list[str] = []
        self.refused: list[str] = []
        self.calls: list[str] = []
        self.notes: dict[str, Any] = {}
