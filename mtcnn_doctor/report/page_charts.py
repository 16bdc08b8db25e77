"""Bars for the HTML report, as SVG: the time of each stage, and the memory of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtcnn_doctor.model import Run
from mtcnn_doctor.report.html import safe

_STAGES = {"pyramid": "pyramid", "pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
_TIME, _MEMORY = "Time of an image, by stage", "Peak memory"
_WIDTH, _BAR, _LONGEST_NAME, _MARGIN = 360, 14, 32, 10
#: Those of page.css on white.
_COLOURS = ("#4c78a8", "#e0862b", "#3f9b62", "#b5568f")

_Row = tuple[str, Sequence[tuple[int, float]], str, str]


def stages(runs: Sequence[Run]) -> str:
    """Return a bar for each run, its stages one after the other; "" where nothing was timed."""
    rows = _stage_rows(runs)
    if not rows:
        return ""
    keys = "".join(
        f"<span><i class='s{index}'></i>{name}</span>"
        for index, name in enumerate(_STAGES.values(), 1)
    )
    return f"<h3>{_TIME}</h3><div class='keys'>{keys}</div>{_bars(rows)}"


def memory(runs: Sequence[Run]) -> str:
    """Return a bar for each run's peak of resident memory; "" where none is known."""
    rows = _memory_rows(runs)
    return f"<h3>{_MEMORY}</h3>{_bars(rows)}" if rows else ""


def documents(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return both charts as title and SVG document, which needs no style sheet around it."""
    return [
        (title, _document(rows))
        for title, rows in ((_TIME, _stage_rows(runs)), (_MEMORY, _memory_rows(runs)))
        if rows
    ]


def _stage_rows(runs: Sequence[Run]) -> list[_Row]:
    rows: list[_Row] = []
    for run in runs:
        times = run.timings_ms.get("stages") or {}
        known = {name: float(times.get(name) or 0) for name in _STAGES}
        total = sum(known.values())
        if total > 0:
            parts = list(enumerate(known.values(), 1))
            # In words, too: the colours alone say nothing to many.
            told = " · ".join(f"{_STAGES[name]} {time:.0f}" for name, time in known.items())
            rows.append((run.name, parts, f"{total:.0f} ms", told))
    return rows


def _memory_rows(runs: Sequence[Run]) -> list[_Row]:
    return [
        (run.name, [(1, run.peak_rss_mb)], f"{run.peak_rss_mb:.0f} MiB", "")
        for run in runs
        if run.peak_rss_mb
    ]


def _document(rows: Sequence[_Row]) -> str:
    content, height, label = _drawn(rows)
    rules = "".join(f".s{index}{{fill:{colour}}}" for index, colour in enumerate(_COLOURS, 1))
    return _svg(
        _WIDTH + 2 * _MARGIN,
        height + 2 * _MARGIN,
        f"<style>text{{fill:#1b1f24;font:13px sans-serif}}.soft{{fill:#57606a;font-size:11px}}"
        f"{rules}</style><rect width='100%' height='100%' rx='4' fill='#fff'/>"
        f"<g transform='translate({_MARGIN} {_MARGIN})'>{content}</g>",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "width": f"{_WIDTH + 2 * _MARGIN}",
            "height": f"{height + 2 * _MARGIN}",
            "role": "img",
            "aria-label": label,
        },
    )


def _bars(rows: Sequence[_Row]) -> str:
    content, height, label = _drawn(rows)
    return _svg(_WIDTH, height, content, {"role": "img", "aria-label": label})


def _drawn(rows: Sequence[_Row]) -> tuple[str, int, str]:
    """Return the bars, how high they are together, and what they say in words."""
    longest = max(sum(value for _, value in parts) for _, parts, _, _ in rows)
    drawn, top = [], 0
    for name, parts, total, told in rows:
        shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        drawn.append(f"<text x='0' y='{top + 13}'>{safe(shown)}</text>")
        drawn.append(f"<text x='{_WIDTH}' y='{top + 13}' text-anchor='end'>{safe(total)}</text>")
        left = 0.0
        for index, value in parts:
            width = _WIDTH * value / longest
            drawn.append(
                f"<rect class='s{index}' x='{left:.1f}' y='{top + 18}' width='{width:.1f}' "
                f"height='{_BAR}'/>"
            )
            left += width
        top += 18 + _BAR
        if told:
            drawn.append(f"<text class='soft' x='0' y='{top + 12}'>{safe(told)}</text>")
            top += 14
        top += 8
    label = "; ".join(f"{name} {total} {told}".strip() for name, _, total, told in rows)
    return "".join(drawn), top, label


def _svg(width: float, height: float, content: str, more: Mapping[str, str]) -> str:
    named = "".join(f' {key}="{safe(value)}"' for key, value in more.items())
    return f"<svg viewBox='0 0 {width:g} {height:g}'{named}>{content}</svg>"
