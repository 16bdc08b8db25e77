"""A plan for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from mtcnn_doctor import __version__
from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

_MIB, _GIB = 1 << 20, 1 << 30
#: Predictions for larger images than this are told to nobody.
_MEASURED_PIXELS = 4 * 3840 * 2160
#: More levels than this are told by the first and the last ones.
_MOST_LEVELS = 6


def render(plan: Mapping[str, Any]) -> str:
    """Return the plan as JSON text."""
    data = {"tool": {"name": "mtcnn-doctor", "version": __version__}, **Redactor().data(plan)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def is_good(plan: Mapping[str, Any]) -> bool:
    """Whether nothing in the plan says that the detection would not work."""
    memory = plan["memory"] or {}
    return not (
        not plan["levels"]
        or _stays_empty(plan)
        or memory.get("fits") is False
        or plan["time"]["failed"]
        or plan.get("unmet")
    )


def print_to(stream: IO[str], plan: Mapping[str, Any]) -> None:
    """Write the plan for people."""
    look, redact = Look.of(stream, no_color=True), Redactor()
    for name, text in _lines(plan):
        line = f"{name:<12}{text}" if name else text
        stream.write(look.fit(redact.text(line)).rstrip() + "\n")


def _lines(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    settings, detector = plan["settings"], plan["detector"]
    image = f" {plan['image']}" if plan["image"] else ""
    yield (
        "",
        f"mtcnn-doctor {__version__} · plan for{image} {plan['width']}x{plan['height']}, "
        f"min_face_size {settings['min_face_size']:g}, scale_factor {settings['scale_factor']:g}",
    )
    yield "detector", f"{detector['name']} {detector['version'] or ''} ({detector['kind']})"
    if plan["resize"] is not None:
        yield from _resize(plan["resize"])
    yield "levels", _levels(plan)
    faces = plan["faces"]
    if faces["smallest"] is not None:
        span = f"of {faces['smallest']:g} to about {faces['largest']:.0f} pixels"
        yield "faces", f"{span} of the original image"
    yield from _memory(plan["memory"])
    time = plan["time"]
    yield "time", f"about {time['ms']:.0f} ms: {time['how']}" if time["ms"] else time["how"]
    yield from _mtcnn_1(plan)
    yield from _suggestions(plan)


def _levels(plan: Mapping[str, Any]) -> str:
    levels = plan["levels"]
    if not levels:
        return "none: no face of that size fits on the image, so nothing is searched or found"
    shown = [f"{one['width']}x{one['height']} ({one['face']:.0f} px)" for one in levels]
    if len(shown) > _MOST_LEVELS:
        shown = [*shown[:3], "…", *shown[-2:]]
    return f"{len(levels)}: {' · '.join(shown)}"


def _resize(resize: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kept = f"{resize['pixels_kept']:.0%} of the pixels are kept"
    words = [f"to {resize['width']}x{resize['height']}: {kept}"]
    if resize["enlarges"]:
        words.append("enlarging adds no detail")
    words.append(f"faces below {resize['smallest_face']:.0f} px of the original are lost")
    yield "resize", ", ".join(words)
    if resize["distorts"]:
        aspect = resize["aspect"]
        how = f"{1 - aspect:.0%} narrower" if aspect < 1 else f"{1 - 1 / aspect:.0%} flatter"
        width, height = resize["same_shape"]
        yield (
            "",
            f"{'':<12}it distorts: faces get {how}; {width}x{height} keeps their shape",
        )
    yield (
        "",
        f"{'':<12}boxes go back by x / {resize['scale_x']:.4g} and y / {resize['scale_y']:.4g}",
    )


def _memory(memory: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if memory is None:
        yield "memory", "not known: nobody measured this detector"
        return
    words = (
        f"about {amount(memory['peak'])} at the peak of a process "
        f"(within {memory['within_percent']:.0f} %, by measurements of {memory['measured']})"
    )
    yield "memory", words
    if memory["room"] is None:
        return
    count = memory["processes"]
    fits = "does not fit" if not memory["fits"] else f"{count} such processes fit"
    if memory["fits"] and count == 1:
        fits = "one such process fits"
    yield "", f"{'':<12}{amount(memory['room'])} may be used ({memory['bound']}): {fits}"
    if memory["largest_image"] is None:
        yield "", f"{'':<12}no image fits"
    else:
        width, height = memory["largest_image"]
        # Nothing was measured that far out.
        if width * height <= _MEASURED_PIXELS:
            yield "", f"{'':<12}the largest image of this shape that fits is {width}x{height}"


def _stays_empty(plan: Mapping[str, Any]) -> bool:
    return _is_mtcnn_1(plan) and bool(plan["mtcnn_1"]["always_empty"])


def _is_mtcnn_1(plan: Mapping[str, Any]) -> bool:
    detector = plan["detector"]
    version = str(detector["version"] or "")
    return detector["kind"] == "subject" and detector["name"] == "mtcnn" and version[:2] != "0."


def _mtcnn_1(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = plan["mtcnn_1"]
    own = _is_mtcnn_1(plan)
    if not found["always_empty"]:
        if own:
            yield "mtcnn 1.0", f"looks at the image; faces up to about {found['largest_face']:g} px"
        return
    last = found["last_level"]
    why = "it makes no level" if last is None else f"its last level is {last[0]}x{last[1]}"
    safe = found["largest_safe_min_face"]
    advice = f"; up to min_face_size {safe} it looks at such an image" if safe else ""
    does = (
        "raises ValueError (with Keras 3.15; with older ones it may return [])"
        if found["keras_refuses"]
        else "returns []"
    )
    yield "mtcnn 1.0", f"{does} whatever the image shows ({why}){advice}"
    if not own:
        yield "", f"{'':<12}(of importance where you use that package)"


def _suggestions(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "limits" not in plan:
        return
    limits = plan["limits"]
    words = [f"{amount(limits['memory'])}"] if limits["memory"] is not None else []
    words += [f"{limits['ms']:g} ms"] if limits["ms"] is not None else []
    limit = " and ".join(words)
    if plan["unmet"]:
        yield f"{limit}", f" cannot be kept: {plan['unmet']}"
        return
    yield "", f"within {limit}:"
    for way in plan["suggestions"]:
        costs = [amount(way["peak"])] if way["peak"] is not None else []
        costs += [f"{way['ms']:.0f} ms"] if way["ms"] is not None else []
        yield (
            "",
            f"  {way['what']:<24}{way['width']}x{way['height']}, min_face_size "
            f"{way['min_face_size']:g}: about {', '.join(costs)}; faces from "
            f"{way['smallest_face']:g} px of the original",
        )


def amount(size: float) -> str:
    """Return bytes in words: whole MiB below one GiB, else GiB."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / _MIB:.0f} MiB"
