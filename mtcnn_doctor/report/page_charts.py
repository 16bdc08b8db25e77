"""Bars for the HTML report, as SVG: the time of each stage, and the memory of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mtcnn_doctor.model import Run
from mtcnn_doctor.report.look import clean

_STAGES = {"pyramid": "pyramid", "pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
_WIDTH, _NAME, _ROW, _VALUE = 460, 100, 26, 90


def stages(runs: Sequence[Run]) -> str:
    """Return a bar for each run, its stages one after the other; "" where nothing was timed."""
    rows = []
    for run in runs:
        times = run.timings_ms.get("stages") or {}
        parts = [(index, float(times.get(name) or 0)) for index, name in enumerate(_STAGES, 1)]
        if sum(time for _, time in parts) > 0:
            rows.append((run.name, parts, f"{sum(time for _, time in parts):.0f} ms"))
    if not rows:
        return ""
    keys = "".join(
        f"<span><i class='s{index}'></i>{name}</span>"
        for index, name in enumerate(_STAGES.values(), 1)
    )
    return f"<h3>Time of an image, by stage</h3><div class='keys'>{keys}</div>{_bars(rows)}"


def memory(runs: Sequence[Run]) -> str:
    """Return a bar for each run's peak of resident memory; "" where none is known."""
    rows = [
        (run.name, [(1, run.peak_rss_mb)], f"{run.peak_rss_mb:.0f} MiB")
        for run in runs
        if run.peak_rss_mb
    ]
    return f"<h3>Peak memory</h3>{_bars(rows)}" if rows else ""


def _bars(rows: Sequence[tuple[str, Sequence[tuple[int, float]], str]]) -> str:
    longest = max(sum(value for _, value in parts) for _, parts, _ in rows)
    room = _WIDTH - _NAME - _VALUE
    drawn = []
    for number, (name, parts, told) in enumerate(rows):
        top, left = number * _ROW, float(_NAME)
        drawn.append(f"<text x='0' y='{top + 17}'>{_text(name)}</text>")
        for index, value in parts:
            width = room * value / longest
            drawn.append(
                f"<rect class='s{index}' x='{left:.1f}' y='{top + 4}' width='{width:.1f}' "
                f"height='{_ROW - 8}'><title>{value:.1f}</title></rect>"
            )
            left += width
        drawn.append(f"<text class='soft' x='{left + 6:.1f}' y='{top + 17}'>{_text(told)}</text>")
    label = "; ".join(f"{name} {told}" for name, _, told in rows)
    return _svg(_WIDTH, len(rows) * _ROW, "".join(drawn), {"role": "img", "aria-label": label})


def _svg(width: float, height: float, content: str, more: Mapping[str, str]) -> str:
    named = "".join(f' {key}="{_text(value)}"' for key, value in more.items())
    return f"<svg viewBox='0 0 {width:g} {height:g}'{named}>{content}</svg>"


def _text(value: str) -> str:
    return escape(clean(value))
