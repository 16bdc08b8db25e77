"""A report as one HTML file that needs nothing else: no script, no network, no other file.

Made from strings rather than by a template engine: one page does not pay for a dependency that the
doctor would have to install everywhere. What comes from outside passes ``safe``, always.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Finding, Outcome, Report, Run, Severity
from mtcnn_doctor.registry import FAMILIES
from mtcnn_doctor.report import changes_text, page_charts, page_pictures
from mtcnn_doctor.report.html import fold, lines, safe
from mtcnn_doctor.report.look import MARKS
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.report.summary import values
from mtcnn_doctor.report.words import counted, meaning, runs_belong

#: Longest section of the facts that the page shows, in characters; the JSON report has all.
_LONGEST = 20_000
_VERDICT_MARKS = {"pass": MARKS["pass"], "warn": MARKS["warning"], "fail": MARKS["error"]}
#: Adds a button to each command where scripts run; nothing is lost where they do not.
_SCRIPT = """
for (const box of document.querySelectorAll("pre.command")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.textContent = "copy";
  button.onclick = () => navigator.clipboard.writeText(box.textContent)
    .then(() => { button.textContent = "copied"; });
  box.after(button);
}
"""


#: Nothing is loaded, and this one script is the only one that runs.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode('ascii')}'"
)


def render(report: Report, exit_code: int, fail_on: str) -> str:
    """Return the page."""
    shown = Redactor().report(report)
    style = resources.files("mtcnn_doctor.report").joinpath("page.css").read_text("utf-8")
    made = [run for run in shown.runs if run.outcome is not Outcome.NOT_INSTALLED]
    title = f"mtcnn-doctor: {shown.verdict.value}, {meaning(shown)}"
    body = [
        _head(shown, exit_code),
        *_changes(shown),
        *_findings(shown),
        *_families(shown),
        *(_runs(made) if made or runs_belong(shown) else ()),
        *page_pictures.figures(made),
        *_passed(shown),
        *_facts(shown),
        f"<footer>mtcnn-doctor {safe(__version__)}, {safe(shown.created)}. Home directories, user "
        "and host names and secrets were taken out; images of yours are not in this page.</footer>",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{safe(title)}</title>",
            f"<style>\n{style}</style></head>",
            f"<body><main>{chr(10).join(body)}</main>",
            f"<script>{_SCRIPT}</script></body></html>\n",
        ]
    )


def _head(report: Report, exit_code: int) -> str:
    target, verdict = report.target, report.verdict.value
    keys = ("implementation", "version", "platform", "machine")
    where = " ".join(str(target[key]) for key in keys if target.get(key))
    rows = [
        ("target", f"<code>{safe(target.get('python'))}</code> {safe(where)}"),
        ("result", f"{counted(report)}; exit code {exit_code}; {report.duration_s:.0f} s"),
        ("command", f"<code>{safe(shlex.join(report.command))}</code>"),
        *(("incomplete", f"<b>{safe(reason)}</b>") for reason in report.incomplete),
    ]
    badge = f"<span class='badge'><i>{_VERDICT_MARKS[verdict]}</i> {verdict}</span>"
    return (
        f"<header class='card verdict {verdict}'>{badge}"
        f"<h1>{_sentence(meaning(report))}</h1>{_list(rows)}</header>"
    )


def _changes(report: Report) -> Iterator[str]:
    if report.changes is None:
        return
    texts, more = changes_text.shown(report.changes)
    items = "".join(f"<li>{safe(text)}</li>" for text in texts)
    items += f"<li>and {more} more</li>" if more else ""
    commands = changes_text.way_back(report)
    tail = "".join(f"<pre class='command'>{safe(command)}</pre>" for command in commands)
    tried = "<p class='soft'>To try what was there before:</p>" if commands else ""
    yield (
        f"<section class='card'><h2>{_sentence(changes_text.heading(report.changes))}</h2>"
        f"<ul>{items}</ul>{tried}{tail}</section>"
    )


def _findings(report: Report) -> Iterator[str]:
    problems = [finding for finding in report.findings if finding.is_problem]
    if problems:
        yield "<h2>What is wrong, and what to do</h2>"
        yield from (finding_card(one) for one in problems)
    notes = [one for one in report.findings if one.severity is Severity.INFO]
    if notes:
        yield "<h2>Worth knowing</h2>"
        yield from (finding_card(one) for one in notes)


def finding_card(one: Finding) -> str:
    """Return a finding, opened up."""
    word = one.severity.value
    head = (
        f"<h3><span class='badge'><i>{MARKS[word]}</i> {word}</span> {safe(one.title)}</h3>"
        f"<code>{safe(one.id)}</code>"
    )
    rows = [(str(key), lines(value)) for key, value in one.evidence.items()]
    rows += [("effect", safe(one.effect))] if one.effect else []
    rows += [("cause", safe(one.cause))] if one.cause else []
    tail = ""
    if one.remedy is not None:
        proof = {True: " (tried, it helps)", False: " (tried, it does not help)"}
        told = safe(one.remedy.text + proof.get(one.remedy.verified, ""))  # type: ignore[arg-type]
        rows.append(("fix", told))
        if one.remedy.alternatives and len(one.remedy.commands) > 1:
            tail += "<p class='soft'>One of these:</p>"
        tail += "".join(f"<pre class='command'>{safe(c)}</pre>" for c in one.remedy.commands)
    return f"<article class='card finding {word}'>{head}{_list(rows)}{tail}</article>"


def _families(report: Report) -> Iterator[str]:
    rows = []
    for family in FAMILIES:
        told = " · ".join(values(family, report))
        if told:
            rows.append((family, safe(told)))
    if rows:
        yield f"<h2>The machine in a few lines</h2><div class='card'>{_list(rows)}</div>"


def _runs(runs: list[Run]) -> Iterator[str]:
    if not runs:
        # Metadata that look healthy are no proof that anything runs.
        yield "<h2>Runs</h2><p class='card'>Nothing was run for this report.</p>"
        return
    head = ("", "version", "outcome", "median", "peak memory", "faces", "agreement")
    numbers = ("median", "peak memory", "faces")
    cells = "".join(
        f"<th scope=col{' class=number' if name in numbers else ''}>{name}</th>" for name in head
    )
    body = "".join(_run(run) for run in runs)
    yield "<h2>Runs</h2>"
    yield f"<div class='card scroll'><table><tr>{cells}</tr>{body}</table></div>"
    charts = [chart for chart in (page_charts.stages(runs), page_charts.memory(runs)) if chart]
    if charts:
        cards = "".join(f"<div class='card'>{chart}</div>" for chart in charts)
        yield f"<div class='charts'>{cards}</div>"
    for run in runs:
        if run.failed and (run.python_traceback or run.stderr_tail):
            frames = "\n".join(
                f"{row['file']}:{row['line']} {row['function']}" for row in run.python_traceback
            )
            told = "\n\n".join(text for text in (frames, run.stderr_tail) if text)
            title = f"{safe(run.name)}: Python frames (innermost first), and stderr"
            yield f"<div class='card'>{fold(title, f'<pre>{safe(told)}</pre>')}</div>"


def _run(run: Run) -> str:
    fine = not run.failed
    how = f"{run.outcome.value} {run.signal or ''}".strip()
    median, agreement = run.timings_ms.get("median"), run.agreement
    agreed = ""
    if agreement is not None:
        agreed = f"{agreement.get('missing', 0)} missing, {agreement.get('extra', 0)} extra"
        error = agreement.get("max_box_error_px")
        if error is not None and fine:
            agreed += f", boxes within {max(error, 0.01):.2g} px"
    where = " ".join(word for word in (run.stage, run.step) if word)
    mark = MARKS["pass" if fine else "error"]
    median_ms = "" if median is None else f"{median:.0f} ms"
    peak = "" if run.peak_rss_mb is None else f"{run.peak_rss_mb:.0f} MiB"
    cells = [
        f"<td><b>{safe(run.name)}</b></td>",
        f"<td data-name=version>{safe(run.version or '')}</td>",
        f"<td data-name=outcome class='{'good' if fine else 'bad'}'>{mark} {safe(how)}</td>",
        f"<td data-name=median class=number>{median_ms}</td>",
        f"<td data-name='peak memory' class=number>{peak}</td>",
        f"<td data-name=faces class=number>{len(run.detections) if fine else ''}</td>",
        f"<td data-name={'where' if run.failed and not agreed else 'agreement'} class=wide>"
        f"{safe(agreed or (where if run.failed else ''))}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _passed(report: Report) -> Iterator[str]:
    for severity, title in ((Severity.PASS, "passed"), (Severity.SKIP, "not made")):
        found = [one for one in report.findings if one.severity is severity]
        if found:
            rows = [(one.id, safe(one.title)) for one in found]
            checks = "1 check" if len(found) == 1 else f"{len(found)} checks"
            yield f"<div class='card screen'>{fold(f'{checks} {title}', _list(rows))}</div>"


def _facts(report: Report) -> Iterator[str]:
    sections = []
    for name, fact in report.facts.items():
        text = json.dumps(_without_files(name, fact), indent=1, ensure_ascii=False, default=str)
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}\n... cut here; the JSON report has all of it"
        sections.append(fold(safe(name), f"<pre>{safe(text)}</pre>"))
    if sections:
        yield f"<h2 class=screen>Facts</h2><div class='card screen'>{''.join(sections)}</div>"


def _without_files(name: str, fact: Any) -> Any:
    """Return the packages as name and version: what else is known of them fills pages."""
    if name != "packages" or not isinstance(fact, Mapping):
        return fact
    listed = fact.get("distributions") or ()
    return sorted(f"{one.get('key')} {one.get('version')}" for one in listed)


def _list(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values; the values are HTML."""
    told = "".join(
        f"<dt>{safe(key)}</dt><dd{' class=fix' if key == 'fix' else ''}>{value}</dd>"
        for key, value in rows
        if value
    )
    return f"<dl>{told}</dl>"


def _sentence(text: str) -> str:
    return safe(text[:1].upper() + text[1:])
