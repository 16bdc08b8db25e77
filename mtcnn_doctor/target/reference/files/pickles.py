"""Reads pickles without running them: opcodes build arrays, lists and dictionaries, nothing else.

``pickle`` calls whatever a file names, so a weight file can be a program. This machine knows the
opcodes (https://github.com/python/cpython/blob/main/Lib/pickletools.py) and imports nothing. The
names that NumPy, torch and joblib write for arrays are understood; every other name becomes an
:class:`Opaque` that remembers how it was called, and is listed.
"""

from __future__ import annotations

import struct
from typing import Any, Callable

from .pickle_objects import (
    ALLOWED,
    BROKEN,
    FROM_BUFFER,
    MARK,
    MAX_LINE,
    ORDERED,
    RECONSTRUCT,
    SCALAR,
    WRAPPER,
    Array,
    ArrayType,
    Global,
    Opaque,
    Storage,
    bytes_of,
    code_of,
    pairs,
    settled,
    text_of,
)
from .pickle_opcodes import ACTIONS
from .raw import SIZES, Budget, FileError, RawArray, count_of

__all__ = ["Machine"]


class Machine:
    """Works through one pickle in ``data`` from ``position``; several may follow each other.

    ``rebuild(storage, offset, shape, strides)`` makes a tensor; None where none are expected.
    """

    def __init__(
        self,
        data: bytes,
        position: int = 0,
        budget: Budget | None = None,
        rebuild: Callable[[Storage, int, tuple[int, ...], tuple[int, ...]], Any] | None = None,
    ) -> None:
        self.data, self.position = data, position
        self.budget = budget or Budget()
        self.rebuild = rebuild
        self.globals: dict[str, None] = {}
        self.refused: dict[str, None] = {}
        self.calls: dict[str, None] = {}
        self.storages: dict[str, Storage] = {}

    def load(self) -> Any:
        """Return what the pickle describes; raises :class:`FileError`."""
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        try:
            while self.budget.step():
                code = self.data[self.position]
                self.position += 1
                if code == 0x2E:  # STOP
                    return settled(self.stack.pop())
                action = ACTIONS.get(code)
                if action is None:
                    raise FileError("damaged", f"its pickle has an opcode 0x{code:02x}")
                action(self)
        except FileError:
            raise
        except BROKEN as error:
            if self.position >= len(self.data):
                raise FileError("truncated", "its pickle ends in the middle") from error
            raise FileError(
                "damaged", f"its pickle makes no sense near byte {self.position}"
            ) from error
        raise FileError("bomb", "its pickle has far more instructions than weights need")

    # -- reading --------------------------------------------------------------------------------

    def bytes(self, count: int) -> bytes:
        """The next bytes; all of them must be there."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            self.position = len(self.data)
            raise FileError("truncated", "its pickle ends in the middle")
        part = self.data[self.position : end]
        self.position = end
        return part

    def number(self, form: str) -> int:
        """An unsigned or signed number of a struct format."""
        value: int = struct.unpack(form, self.bytes(struct.calcsize(form)))[0]
        return value

    def line(self) -> str:
        """The rest of a line."""
        end = self.data.find(b"\n", self.position, self.position + MAX_LINE)
        if end < 0:
            self.position = len(self.data)
            raise FileError("damaged", "its pickle has a line without an end")
        text = self.data[self.position : end].decode("latin-1")
        self.position = end + 1
        return text

    def since_mark(self) -> list[Any]:
        """Take everything above the topmost mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise FileError("damaged", "its pickle misses a mark")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def name(self, module: str, name: str) -> Global:
        """Note a name that is asked for."""
        found, words = Global(module, name), f"{module}.{name}"[:120]
        if len(self.globals) < 200:
            self.globals[words] = None
            if found.key not in ALLOWED:
                self.refused[words] = None
        return found

    # -- objects --------------------------------------------------------------------------------

    def call(self, function: Any, args: Any, new: bool = False) -> Any:
        """What an allowed function would have answered, or an :class:`Opaque`.

        ``new``: only ``cls.__new__`` is called, as for every instance of a class.
        """
        key = function.key if isinstance(function, Global) else None
        if key in RECONSTRUCT:
            return Array()
        if key == ("numpy", "dtype"):
            return ArrayType(text_of(args[0]))
        if key == ("_codecs", "encode"):
            text = args[0]
            if not isinstance(text, str) or (len(args) > 1 and text_of(args[1]) != "latin1"):
                raise FileError("damaged", "its pickle encodes something other than latin1 text")
            self.budget.take(len(text), "its pickle")
            return text.encode("latin-1")
        if key == ORDERED:
            return pairs(args[0]) if args else {}
        if key in (("builtins", "set"), ("__builtin__", "set")):
            return list(args[0]) if args else []
        if key == ("torch", "Size"):
            return tuple(args[0]) if args else ()
        if key == ("torch._utils", "_rebuild_parameter"):
            return args[0]
        if key == ("torch._utils", "_rebuild_tensor_v2"):
            storage, offset, shape, strides = args[:4]
            if self.rebuild is None or not isinstance(storage, Storage):
                raise FileError("damaged", "its pickle has a tensor without a storage")
            return self.rebuild(storage, offset, tuple(shape), tuple(strides))
        if key in SCALAR:
            return RawArray(code_of(args[0]), (), bytes_of(args[1])) if len(args) > 1 else None
        if key in FROM_BUFFER:
            data, kind, shape, order = args
            return RawArray(code_of(kind), tuple(shape), bytes_of(data), order == "F")
        if key == WRAPPER:
            return Opaque("joblib.numpy_pickle.NumpyArrayWrapper")
        return self.opaque(function, args, called=not new)

    def opaque(self, what: Any, args: Any, called: bool = True) -> Opaque:
        """Something that is not made. ``called``: Python would call it, not only make one of it."""
        name = ".".join(what.key) if isinstance(what, Global) else "a computed object"
        if called and len(self.calls) < 200:
            self.calls[name[:120]] = None
        if not isinstance(what, Global):
            self.refused["a call of a computed object"] = None
        return Opaque(name[:120], args)

    def build(self) -> None:
        """BUILD: give an object its state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, ArrayType):
            # (version, byte order, subarray, names, fields, ...)
            if state[2] is not None or state[3] is not None:
                raise FileError("damaged", "an array holds records, no numbers")
            order = text_of(state[1])
            target.code = (order if order in "<>=|" else "|") + target.code.lstrip("<>=|")
        elif isinstance(target, Array):
            _, shape, kind, fortran, data = state
            if isinstance(data, list):
                if len(data) != count_of(tuple(shape)):
                    raise FileError("damaged", "an array of objects has another length")
                target.value = data
            else:
                raw = bytes_of(data)
                if raw is not data:
                    self.budget.take(len(raw), "its pickle")
                target.value = RawArray(code_of(kind), tuple(shape), raw, bool(fortran))
        elif isinstance(target, Opaque) and target.name.endswith(".NumpyArrayWrapper"):
            self.stack[-1] = self.inline_array(state)
        elif isinstance(target, Opaque):
            target.state = state
        # An OrderedDict of torch has attributes (_metadata), which are no weights.

    def inline_array(self, state: dict[str, Any]) -> Any:
        """An array of joblib: its bytes follow the wrapper in the stream itself."""
        code = code_of(state["dtype"])
        shape, fortran = tuple(state["shape"]), state["order"] == "F"
        if code[1:2] == "O":
            # Objects: joblib would run another pickle that follows here.
            value = Machine(self.data, self.position, self.budget, self.rebuild)
            answer = value.load()
            self.position = value.position
            self.globals.update(value.globals)
            self.refused.update(value.refused)
            self.calls.update(value.calls)
            return answer
        if state.get("numpy_array_alignment_bytes") is not None:
            self.bytes(self.bytes(1)[0])
        size = SIZES.get(code[1:], 1)  # of another type RawArray says what is wrong
        return RawArray(code, shape, self.bytes(count_of(shape) * size), fortran)
