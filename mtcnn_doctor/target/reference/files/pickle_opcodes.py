"""What each opcode of a pickle does to the stack of :class:`.pickles.Machine`."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Callable

from .pickle_objects import (
    MARK,
    MAX_LINE,
    STORAGES,
    TORCH,
    Global,
    Opaque,
    Storage,
    key_of,
    settled,
    text_of,
)
from .raw import FileError

if TYPE_CHECKING:
    from .pickles import Machine

__all__ = ["ACTIONS"]


def _push(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    def action(machine: Machine) -> None:
        machine.stack.append(make(machine))

    return action


def _small_int(machine: Machine) -> Any:
    text = machine.line()
    return {"00": False, "01": True}[text] if text in ("00", "01") else int(text[:40])


def _long(form: str) -> Callable[[Machine], int]:
    return lambda machine: int.from_bytes(
        machine.bytes(min(machine.number(form), MAX_LINE)), "little", signed=True
    )


def _unicode(form: str) -> Callable[[Machine], str]:
    return lambda machine: machine.bytes(machine.number(form)).decode("utf-8", "surrogatepass")


def _string(form: str) -> Callable[[Machine], str]:
    return lambda machine: machine.bytes(machine.number(form)).decode("latin-1")


def _quoted(machine: Machine) -> str:
    return machine.line().strip("'\"")


def _put(number: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def action(machine: Machine) -> None:
        machine.memo[number(machine)] = machine.stack[-1]

    return action


def _get(number: Callable[[Machine], int]) -> Callable[[Machine], None]:
    return _push(lambda machine: machine.memo[number(machine)])


def _setitems(machine: Machine) -> None:
    _set(machine, machine.since_mark())


def _set(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, Opaque):
        return
    if not isinstance(target, dict):
        raise FileError("damaged", "its pickle sets items of no dictionary")
    for key, value in zip(items[::2], items[1::2]):
        target[key_of(key)] = settled(value)


def _setitem(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set(machine, [key, value])


def _extend(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(settled(item) for item in items)
    elif not isinstance(target, Opaque):
        raise FileError("damaged", "its pickle appends to no list")


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    _extend(machine, [item])


def _appends(machine: Machine) -> None:
    items = machine.since_mark()
    _extend(machine, items)


def _tuple(count: int) -> Callable[[Machine], None]:
    def action(machine: Machine) -> None:
        if count > len(machine.stack):
            raise FileError("damaged", "its pickle's stack is empty")
        items = machine.stack[len(machine.stack) - count :] if count else []
        del machine.stack[len(machine.stack) - count :]
        machine.stack.append(tuple(settled(item) for item in items))

    return action


def _dict(machine: Machine) -> None:
    items = machine.since_mark()
    machine.stack.append({})
    _set(machine, items)


def _reduce(machine: Machine) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    if not isinstance(args, tuple):
        raise FileError("damaged", "its pickle calls something without arguments")
    machine.stack.append(machine.call(function, args))


def _newobj(machine: Machine) -> None:
    args, cls = machine.stack.pop(), machine.stack.pop()
    if not isinstance(args, tuple):
        raise FileError("damaged", "its pickle makes something without arguments")
    machine.stack.append(machine.call(cls, args, new=True))


def _newobj_ex(machine: Machine) -> None:
    _, args, cls = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.opaque(cls, args, called=False))


def _obj(machine: Machine) -> None:
    items = machine.since_mark()
    machine.stack.append(machine.opaque(items[0], tuple(items[1:])))


def _inst(machine: Machine) -> None:
    what = machine.name(machine.line(), machine.line())
    machine.stack.append(machine.opaque(what, tuple(machine.since_mark())))


def _stack_global(machine: Machine) -> Global:
    name, module = text_of(machine.stack.pop()), text_of(machine.stack.pop())
    return machine.name(module, name)


def _persistent(machine: Machine) -> Any:
    found = machine.stack.pop()
    if isinstance(found, tuple) and len(found) >= 5 and found[0] == "storage":
        kind, key, count = found[1], text_of(found[2]), found[4]
        if isinstance(kind, Global) and kind.key in TORCH and isinstance(count, int):
            storage = Storage(STORAGES[kind.key[1]], key, count)
            if machine.storages.setdefault(key, storage).code != storage.code:
                raise FileError("damaged", "two storages have one name")
            return storage
    if isinstance(found, tuple) and found and found[0] == "module":
        return found[1] if len(found) > 1 else None
    return Opaque("a persistent object", ())


def _extension(machine: Machine) -> Any:
    raise FileError("unsafe", "its pickle asks for an object by a number of the copyreg registry")


def _drop(machine: Machine) -> None:
    machine.stack.pop()


def _pop_mark(machine: Machine) -> None:
    machine.since_mark()


def _skip(count: int) -> Callable[[Machine], None]:
    def action(machine: Machine) -> None:
        machine.bytes(count)

    return action


def _mark(machine: Machine) -> None:
    machine.stack.append(MARK)


ACTIONS: dict[int, Callable[[Machine], None]] = {
    ord("("): _mark,
    ord("0"): _drop,
    ord("1"): _pop_mark,
    ord("2"): _push(lambda m: m.stack[-1]),
    ord("N"): _push(lambda m: None),
    0x88: _push(lambda m: True),
    0x89: _push(lambda m: False),
    ord("I"): _push(_small_int),
    ord("L"): _push(lambda m: int(m.line().rstrip("L")[:1000])),
    ord("F"): _push(lambda m: float(m.line())),
    ord("G"): _push(lambda m: struct.unpack(">d", m.bytes(8))[0]),
    ord("J"): _push(lambda m: m.number("<i")),
    ord("K"): _push(lambda m: m.number("<B")),
    ord("M"): _push(lambda m: m.number("<H")),
    0x8A: _push(_long("<B")),
    0x8B: _push(_long("<i")),
    ord("S"): _push(_quoted),
    ord("T"): _push(_string("<i")),
    ord("U"): _push(_string("<B")),
    ord("V"): _push(lambda m: m.line()),
    ord("X"): _push(_unicode("<I")),
    0x8C: _push(_unicode("<B")),
    0x8D: _push(_unicode("<Q")),
    ord("B"): _push(lambda m: m.bytes(m.number("<I"))),
    ord("C"): _push(lambda m: m.bytes(m.number("<B"))),
    0x8E: _push(lambda m: m.bytes(m.number("<Q"))),
    0x96: _push(lambda m: m.bytes(m.number("<Q"))),
    ord("]"): _push(lambda m: []),
    ord("l"): _push(lambda m: [settled(item) for item in m.since_mark()]),
    ord("a"): _append,
    ord("e"): _appends,
    ord(")"): _push(lambda m: ()),
    ord("t"): _push(lambda m: tuple(settled(item) for item in m.since_mark())),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("}"): _push(lambda m: {}),
    ord("d"): _dict,
    ord("s"): _setitem,
    ord("u"): _setitems,
    ord("p"): _put(lambda m: int(m.line()[:20])),
    ord("q"): _put(lambda m: m.number("<B")),
    ord("r"): _put(lambda m: m.number("<I")),
    0x94: _put(lambda m: len(m.memo)),
    ord("g"): _get(lambda m: int(m.line()[:20])),
    ord("h"): _get(lambda m: m.number("<B")),
    ord("j"): _get(lambda m: m.number("<I")),
    ord("c"): _push(lambda m: m.name(m.line(), m.line())),
    0x93: _push(_stack_global),
    ord("R"): _reduce,
    0x81: _newobj,
    0x92: _newobj_ex,
    ord("o"): _obj,
    ord("i"): _inst,
    ord("b"): lambda m: m.build(),
    ord("Q"): _push(_persistent),
    ord("P"): _push(lambda m: Opaque("a persistent object " + m.line()[:20])),
    0x80: _skip(1),
    0x95: _skip(8),
    0x82: _push(_extension),
    0x83: _push(_extension),
    0x84: _push(_extension),
}
