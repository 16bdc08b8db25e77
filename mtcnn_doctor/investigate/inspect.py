"""Inspecting images and arrays: what a detector would be given, and what it would make of it.

Everything that touches a pixel happens in children of the target: one for each decoder, one for the
arrays, one for the reference, one for each package. A file that kills one of them is a finding, and
the others go on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.choice import is_present
from mtcnn_doctor.collect.each import Work, each
from mtcnn_doctor.collect.metadata import ask_memory, ask_metadata
from mtcnn_doctor.collect.request import Collected, Listener, Request, wait_for
from mtcnn_doctor.collect.subjects import refuse_unknown
from mtcnn_doctor.collect.weights import ask_weights
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import Interrupted, KillingChildren, judge_facts
from mtcnn_doctor.investigate import inspect_footage
from mtcnn_doctor.investigate.inspect_answers import answers_of
from mtcnn_doctor.investigate.inspect_source import Item
from mtcnn_doctor.knowledge.channel_order import verdict
from mtcnn_doctor.knowledge.inputs import conditions, mended, repairs, takes, usable
from mtcnn_doctor.model import Check, Finding, Report
from mtcnn_doctor.targets import Target

#: Decoders in the order of preference for the picture that the reference runs on.
DECODERS = ("cv2", "PIL", "tensorflow")


@dataclass(frozen=True)
class InspectRequest:
    """What is to be inspected, and how.

    ``subjects``: the user's packages to try the inputs on, or "all" that are installed.
    ``decoders`` are those to compare, all by default. ``weights``: networks whose faces are shown
    beside those of the published ones. ``draw`` is the file (of one image) or the folder for
    pictures with the faces drawn in, ``draw_size`` the most pixels of their longer side.
    """

    target: Target
    checks: Sequence[Check]
    items: Sequence[Item]
    subjects: Sequence[str] = ()
    decoders: Sequence[str] = DECODERS
    weights: Path | None = None
    draw: Path | None = None
    draw_size: int | None = None
    timeout_s: float = 120.0
    command: Sequence[str] = ()
    plugin_failures: Sequence[Finding] = ()
    listener: Listener | None = None


@dataclass
class Given:
    """What is known of one array that may be looked at: its facts, and the .npy file it is in.

    ``decoder`` and ``others`` (decoder to .npy) belong to a picture out of an image file.
    """

    name: str
    array: str
    repairs: list[str] = field(default_factory=list)
    decoder: str | None = None
    others: dict[str, str] = field(default_factory=dict)


def inspect(request: InspectRequest) -> Report:
    """Inspect all items and return the report.

    Raises:
        UsageError: the target cannot be used, or lacks NumPy.
        KeyboardInterrupt: after every child was killed; an :class:`Interrupted` with a report
            where something was known by then.
    """
    files = [item for item in request.items if item.path is not None]
    asked = Request(
        target=request.target,
        checks=request.checks,
        images=[item.path for item in files if item.path is not None],
        timeout_s=request.timeout_s,
        command=request.command,
        listener=request.listener,
    )
    collected = Collected()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder,
            ThreadPoolExecutor(max_workers=8) as pool,
            KillingChildren(),
        ):
            try:
                work = Work(asked, collected, Path(folder), pool)
                ask_memory(asked, collected)
                ask_metadata(asked, collected)
                _refuse(request, collected)
                if request.weights is not None:
                    ask_weights(asked, collected, request.weights, tried=False)
                _collect(work, request, files)
            except KeyboardInterrupt:
                collected.interrupt()
                raise
    except KeyboardInterrupt:
        known = collected.interrupt()
        if "looks" not in known.facts:  # nothing is known of any image
            raise
        known.incomplete.insert(0, "interrupted; this is what was known by then")
        raise Interrupted(_report(request, known)) from None
    return _report(request, collected)


def _report(request: InspectRequest, collected: Collected) -> Report:
    facts = collected.facts
    facts["inspected"] = [item.name for item in request.items]
    return replace(
        judge_facts(
            {"facts": facts, "incomplete": collected.incomplete},
            request.checks,
            expect_gpu=False,
            command=request.command,
            plugin_failures=request.plugin_failures,
        ),
        # What was examined; the facts name where links lead.
        target={
            **{key: (facts.get("python") or {}).get(key) for key in _TARGET},
            "python": request.target.python,
        },
    )


_NO_ARRAYS = "it does not begin like a .npy or .npz file, and would be taken for a pickle"
_TARGET = ("version", "implementation", "platform", "machine")


def _refuse(request: InspectRequest, collected: Collected) -> None:
    if "startup" in collected.facts:
        raise UsageError(
            f"{request.target.python} does not start; mtcnn-doctor check --python "
            f"{request.target.python} tells why"
        )
    packages = collected.facts.get("packages") or {}
    refuse_unknown([name for name in request.subjects if name != "all"], packages)
    if not is_present(packages.get("modules") or {}, "numpy"):
        raise UsageError(
            f"{request.target.python} has no NumPy, without which nothing can be inspected: "
            f"{request.target.python} -m pip install numpy"
        )


def _collect(work: Work, request: InspectRequest, files: Sequence[Item]) -> None:
    facts = work.collected.facts
    rows = {row["path"]: row for row in facts.get("images") or ()}
    headers = {item.name: rows[str(item.path)] for item in files if str(item.path) in rows}
    for name, row in headers.items():
        row["name"] = name
    facts.update(arrays=[], recordings=[], decodings=[], looks=[])
    pictures = [item for item in files if not item.holds_arrays]
    arrays = [item for item in files if item.holds_arrays]
    # What a header says of a file of arrays is of use only where it holds none.
    facts["images"] = [headers[item.name] for item in pictures if item.name in headers]
    given: dict[str, list[Given]] = {}
    wait_for(
        [
            work.pool.submit(_arrays, work, arrays, headers, given),
            work.pool.submit(_pictures, work, request.decoders, pictures, headers, given),
            work.pool.submit(_footage, work, request.items, given),
        ]
    )
    wanted = [one for item in request.items for one in given.get(item.name, ())]
    order = {name: at for at, name in enumerate(item.name for item in request.items)}
    for key in ("arrays", "decodings"):
        facts[key].sort(key=lambda row: order.get(row.get("item", row["name"]), len(order)))
    _look(work, request, wanted)
    facts["answers"] = answers_of(work, request.subjects, given)


def _arrays(
    work: Work,
    items: Sequence[Item],
    headers: Mapping[str, dict[str, Any]],
    given: dict[str, list[Given]],
) -> None:
    """Collect the arrays in .npy and .npz files."""
    readable, facts = [], work.collected.facts
    for item in items:
        header = headers.get(item.name, {})
        if header.get("format") in ("npy", "zip"):
            readable.append(item)
        elif header.get("format") == "unknown":
            facts["images"].append({**header, "format": "array", "error": _NO_ARRAYS})
        else:
            facts["images"].append(header)  # a web page, an empty file: what it is stands there
    orders = [
        {"index": at, "name": item.name, "path": str(item.path)} for at, item in enumerate(readable)
    ]
    answers, lost = each(work, "arrays", {"task": "arrays"}, "files", orders, "array", "file")
    for at, item in enumerate(readable):
        failed = [m["error"]["last_line"] for m in answers.get(at, ()) if m.get("error")]
        if at in lost:
            failed.append(lost[at])
        if failed:
            header = headers[item.name]
            facts["images"].append({**header, "format": "array", "error": failed[0]})
        for message in answers.get(at, ()):
            if message.get("facts") is None:
                continue
            fact = {**message["facts"], "item": item.name}
            facts["arrays"].append(fact)
            _offer(given, item.name, fact, message.get("array"), work)


def _offer(
    given: dict[str, list[Given]],
    item: str,
    fact: Mapping[str, Any],
    path: str | None,
    work: Work,
) -> None:
    """Add an array to those that are looked at, if the reference can be given it once mended."""
    found = conditions(fact)
    if path is None or not mended(found) or "tiny" in found or not _fits(work, fact["shape"]):
        return
    given.setdefault(item, []).append(Given(str(fact["name"]), path, repairs(found)))


def _fits(work: Work, shape: Sequence[int]) -> bool:
    """Whether the memory suffices to run anything on so many values."""
    room = usable(work.collected.facts.get("memory") or {})
    values = 1
    for length in shape:
        values *= max(1, length)
    return room is None or takes(values // 3)[0] <= room


def _pictures(
    work: Work,
    wanted: Sequence[str],
    items: Sequence[Item],
    headers: Mapping[str, dict[str, Any]],
    given: dict[str, list[Given]],
) -> None:
    """Decode image files with everything that the target has for it."""
    modules = (work.collected.facts.get("packages") or {}).get("modules") or {}
    decoders = [name for name in DECODERS if name in wanted and is_present(modules, name)]
    orders = []
    for at, item in enumerate(items):
        header = headers.get(item.name, {})
        if header.get("format") in _HOPELESS:
            continue
        if not _fits(work, (header.get("height") or 1, header.get("width") or 1, 3)):
            header["skipped"] = "memory"
            continue
        orders.append({"index": at, "name": item.name, "path": str(item.path)})
    found: dict[str, dict[int, dict[str, Any]]] = {}

    def decode(decoder: str) -> None:
        task = {"task": "decode", "decoder": decoder, "folder": str(work.folder)}
        answers, lost = each(work, f"decoder {decoder}", task, "files", orders, "decoded")
        found[decoder] = {at: messages[-1] for at, messages in answers.items()}
        for at, reason in lost.items():
            found[decoder][at] = {"error": {"last_line": reason}, "call": None}

    # TensorFlow takes seconds to import; the others do not wait for it.
    wait_for([work.pool.submit(decode, decoder) for decoder in decoders if orders])
    for at, item in enumerate(items):
        told = {name: found[name][at] for name in decoders if at in found.get(name, {})}
        _note(work, item, headers.get(item.name, {}), told, given)


#: Formats that the header alone tells to be no image; nobody is asked to decode them.
_HOPELESS = ("empty", "html", "git-lfs", "npy", "missing", "permission", "directory", "special",
             "video", "json", "xml", "svg", "pdf", "zip")  # fmt: skip


def _note(
    work: Work,
    item: Item,
    header: dict[str, Any],
    told: Mapping[str, dict[str, Any]],
    given: dict[str, list[Given]],
) -> None:
    """Add what became of an image file, and its picture to those that are looked at."""
    for decoder, message in told.items():
        error = message["error"]
        work.collected.facts["decodings"].append(
            {
                "name": item.name,
                "decoder": decoder,
                "call": message["call"],
                "array": message.get("array"),
                "warnings": message.get("warnings") or [],
                "error": error["last_line"] if error else None,
                "raw": message.get("raw"),
            }
        )
    rgb = {name: m["rgb"] for name, m in told.items() if m.get("rgb")}
    if not rgb:
        if told:
            failed = next((m["error"]["last_line"] for m in told.values() if m["error"]), None)
            header["decoder"] = None
            header.setdefault("error", failed or "cv2.imread returns None")
        return
    best = next(name for name in DECODERS if name in rgb)
    header["decoder"] = best
    if header.get("error"):
        return  # cut off: what a tolerant decoder makes of it is no picture to judge
    array = told[best].get("array") or {}
    header["equal_channels"] = bool(array.get("equal_channels")) and header.get("channels") == 3
    if min(array.get("shape") or [0]) == 0 or min(array["shape"][:2]) < 12:
        return
    others = {name: path for name, path in rgb.items() if name != best}
    given.setdefault(item.name, []).append(Given(item.name, rgb[best], decoder=best, others=others))


def _footage(work: Work, items: Sequence[Item], given: dict[str, list[Given]]) -> None:
    """Take pictures out of videos, cameras and streams."""
    for item in items:
        if item.footage is None:
            continue
        recording, frames = inspect_footage.taken(work, item.name, item.footage)
        work.collected.facts["recordings"].append(recording)
        for path, fact in frames:
            fact["item"] = item.name
            work.collected.facts["arrays"].append(fact)
            _offer(given, item.name, fact, path, work)


def _look(work: Work, request: InspectRequest, given: Sequence[Given]) -> None:
    """Let the reference look at everything that it can be given."""
    orders = []
    for at, one in enumerate(given):
        orders.append(
            {
                "index": at,
                "name": one.name,
                "array": one.array,
                "repairs": one.repairs,
                "others": one.others,
                "draw": _place(request, one.name, at, len(given)),
                "draw_size": request.draw_size,
            }
        )
    task = {"task": "look", "weights": str(request.weights) if request.weights else None}
    answers, lost = each(work, "reference", task, "items", orders, "look")
    looks = work.collected.facts["looks"]
    for at, one in enumerate(given):
        message = answers[at][-1] if at in answers else {"error": {"last_line": lost.get(at)}}
        error = message["error"]
        look: dict[str, Any] = {
            key: value for key, value in message.items() if key not in ("t", "index")
        }
        look.update(name=one.name, error=error["last_line"] if error else None)
        look.update(repairs=one.repairs, decoder=one.decoder)
        if look.get("colours") is not None:
            look["order"] = verdict(look["colours"])[0]
        if look.get("drawn"):
            _publish(Path(look["drawn"]))
            look["drawn"] = look["drawn"].removesuffix(_UNFINISHED)
        if look["error"]:
            work.collected.incomplete.append(f"{one.name}: the reference: {look['error']}")
        looks.append(look)


_UNFINISHED = ".part"


def _place(request: InspectRequest, name: str, at: int, count: int) -> str | None:
    """Return where the picture of one array is drawn, under a name that is not final yet."""
    if request.draw is None:
        return None
    if not request.draw.is_dir():
        return f"{request.draw}{_UNFINISHED}" if count == 1 else None
    stem = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    return str(request.draw / f"{at + 1:03d}-{stem[:80]}.png{_UNFINISHED}")


def _publish(path: Path) -> None:
    path.replace(str(path).removesuffix(_UNFINISHED))
