"""A report as a piece of HTML that fits into a page: no script, no style sheet of its own.

Colours come from the page around it (light or dark); what matters is said in words as well.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from mtcnn_doctor.model import Finding, Outcome, Report, Run, Severity
from mtcnn_doctor.report import page_charts
from mtcnn_doctor.report.html import fold, lines, safe
from mtcnn_doctor.report.words import counted, meaning

#: As far from white as from the near-black of dark themes: about 4.3 to 1.
_COLOURS = {"fail": "#e0403a", "warn": "#b26a00", "pass": "#2e8840"}


def report(of: Report, text: str, pictures: Mapping[str, bytes] | None = None) -> str:
    """Return a report as HTML; ``text`` is the whole of it, to be folded away below.

    ``pictures``: PNG files by the name of what is on them.
    """
    colour = _COLOURS[of.verdict.value]
    head = (
        f"<div style='border-left:4px solid {colour};padding:.2em .8em;margin:.3em 0'>"
        f"<b style='color:{colour}'>{of.verdict.value.upper()}</b> {safe(meaning(of))} "
        f"<span style='opacity:.7'>({counted(of)}; "
        f"{safe(of.target.get('python'))}, Python {safe(of.target.get('version'))})</span></div>"
    )
    parts = [head, *(f"<div>incomplete: {safe(reason)}</div>" for reason in of.incomplete)]
    parts += [finding(one) for one in of.findings if one.is_problem]
    parts += _runs([run for run in of.runs if run.outcome is not Outcome.NOT_INSTALLED])
    parts += [image(name, "png", data) for name, data in (pictures or {}).items()]
    parts += [
        image(title, "svg+xml", svg.encode()) for title, svg in page_charts.documents(of.runs)
    ]
    whole = f"<pre style='white-space:pre-wrap'>{safe(text)}</pre>"
    parts.append(fold("the whole report", whole))
    return "\n".join(parts)


def image(title: str, kind: str, data: bytes) -> str:
    """Return a picture that is part of the page, below what it shows.

    Pages that trust nobody take drawings out of their HTML, and leave pictures in.
    """
    held = base64.b64encode(data).decode("ascii")
    return (
        f"<div>{safe(title)}</div><div><img alt='{safe(title)}' style='max-width:100%' "
        f"src='data:image/{kind};base64,{held}'></div>"
    )


def finding(one: Finding) -> str:
    """Return a finding, opened up."""
    word = "fail" if one.severity is Severity.ERROR else "warn"
    title = (
        f"<b style='color:{_COLOURS[word]}'>{one.severity.value}</b> "
        f"{f'<code>{safe(one.id)}</code> ' if one.id else ''}{safe(one.title)}"
    )
    rows = list(table_rows({**one.evidence, "effect": one.effect, "cause": one.cause}))
    if one.remedy is not None:
        commands = "".join(f"<pre>{safe(command)}</pre>" for command in one.remedy.commands)
        rows.append(_row("fix", f"{safe(one.remedy.text)}{commands}"))
    return fold(title, f"<table>{''.join(rows)}</table>", is_open=True)


def table_rows(values: Mapping[str, Any]) -> Iterable[str]:
    """Yield a row of a table for each value that there is."""
    for key, value in values.items():
        if value in (None, "", [], ()):
            continue
        yield _row(str(key), lines(value))


def _row(key: str, content: str) -> str:
    side = "text-align:left;vertical-align:top"
    return (
        f"<tr><td style='{side};opacity:.7'>{safe(key)}</td><td style='{side}'>{content}</td></tr>"
    )


def _runs(runs: Iterable[Run]) -> list[str]:
    rows = []
    for run in runs:
        median = run.timings_ms.get("median")
        cells = [
            run.name,
            run.version or "",
            run.outcome.value,
            "" if median is None else f"{median:.0f} ms",
            "" if run.peak_rss_mb is None else f"{run.peak_rss_mb:.0f} MiB",
            f"{len(run.detections)} faces" if run.outcome is Outcome.OK else run.reason or "",
        ]
        rows.append("<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in cells) + "</tr>")
    if not rows:
        return []
    names = ("", "version", "outcome", "median", "peak memory", "result")
    head = "".join(f"<th>{name}</th>" for name in names)
    return [f"<table><tr>{head}</tr>{''.join(rows)}</table>"]
