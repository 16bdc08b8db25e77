"""A plot of a sweep as SVG: faces found, their confidence, and time, over the parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from mtcnn_doctor.report.look import clean
from mtcnn_doctor.report.redact import Redactor

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 760, 190, 70, 24, 46, 46
#: Told apart by people who see colours differently, too (Okabe and Ito).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MOST_LINES = 12

_Line = tuple[str, str, list[tuple[float, float | None]]]


def draw(result: Mapping[str, Any]) -> str:
    """Return the plot of a sweep as an SVG document."""
    values = result["values"]
    panels = [
        ("faces found", _faces(result), (0.0, None)),
        ("confidence of each face", _confidences(result), (None, None)),
        ("ms", _times(result), (0.0, None)),
    ]
    height = _TOP + len(panels) * (_PANEL + _GAP) + 10
    unit = f" ({result['unit']})" if result["unit"] else ""
    title = f"{result['parameter']}{unit} with {result['detector']['name']}"
    title += f" {result['detector']['version'] or ''}"
    body = [
        f'<text x="{_LEFT}" y="24" font-size="15">{_text(title)}</text>',
        *(
            line
            for number, (name, lines, bounds) in enumerate(panels)
            for line in _panel(name, lines, values, bounds, _TOP + number * (_PANEL + _GAP))
        ),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _faces(result: Mapping[str, Any]) -> list[_Line]:
    return [
        (
            image["name"],
            _COLORS[number % len(_COLORS)],
            [(s["value"], float(s["faces"])) for s in image["steps"] if "error" not in s],
        )
        for number, image in enumerate(result["images"])
    ]


def _confidences(result: Mapping[str, Any]) -> list[_Line]:
    lines: list[_Line] = []
    for number, image in enumerate(result["images"]):
        for face in image["faces"][:_MOST_LINES]:
            points = list(zip(result["values"], face["confidence"], strict=True))
            lines.append((image["name"], _COLORS[number % len(_COLORS)], points))
    return lines


def _times(result: Mapping[str, Any]) -> list[_Line]:
    return [
        (
            image["name"],
            _COLORS[number % len(_COLORS)],
            [(s["value"], s["ms"]) for s in image["steps"] if s.get("ms") is not None],
        )
        for number, image in enumerate(result["images"])
    ]


def _panel(
    name: str,
    lines: Sequence[_Line],
    values: Sequence[float],
    bounds: tuple[float | None, float | None],
    top: float,
) -> Iterator[str]:
    bottom, right = top + _PANEL, _WIDTH - _RIGHT
    known = [y for _, _, points in lines for _, y in points if y is not None]
    low = bounds[0] if bounds[0] is not None else min(known, default=0.0)
    high = max(known, default=1.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    span = values[-1] - values[0]

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - values[0]) / span * (right - _LEFT)
        return round(_LEFT + across, 1), round(bottom - (y - low) / (high - low) * _PANEL, 1)

    yield f'<text x="{_LEFT}" y="{top - 6}" font-weight="bold">{_text(name)}</text>'
    yield (
        f'<path d="M{_LEFT},{top} V{bottom} H{right}" fill="none" stroke="#444" stroke-width="1"/>'
    )
    for mark in _marks(low, high):
        y = at(values[0], mark)[1]
        yield f'<path d="M{_LEFT},{y} H{right}" stroke="#ddd" stroke-width="0.5"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{mark:g}</text>'
    last = -math.inf
    for value in values:
        x = at(value, low)[0]
        if x - last >= 34:  # or the numbers would lie on each other
            yield f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{value:g}</text>'
            last = x
    for number, (label, color, points) in enumerate(lines):
        for part in _unbroken(points):
            path = " ".join(f"{x},{y}" for x, y in (at(*point) for point in part))
            yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
            for point in part:
                x, y = at(*point)
                yield f'<circle cx="{x}" cy="{y}" r="2.2" fill="{color}"/>'
        if name == "faces found":
            y = top + 14 + 14 * number
            yield (
                f'<text x="{right - 4}" y="{y}" text-anchor="end" fill="{color}">'
                f"{_text(label)}</text>"
            )


def _unbroken(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts between the steps at which nothing was found."""
    part: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _marks(low: float, high: float) -> list[float]:
    """Return three to six round numbers between two bounds."""
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _text(text: str) -> str:
    return escape(clean(Redactor().text(text)))
