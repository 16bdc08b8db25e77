"""What a matrix will install, and what came of it: for people, and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import SCHEMA_VERSION
from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

#: A combination's state as mark and words.
_STATES = {
    "ok": ("pass", "ok"),
    "failed": ("error", "failed"),
    "unresolvable": ("error", "no such set of releases"),
    "not-installed": ("error", "could not be installed"),
    "not-run": ("skip", "not run"),
}
_OUTCOMES = {
    "ok": "ok",
    "wrong-result": "wrong faces",
    "error": "error",
    "crash": "crash",
    "timeout": "hangs",
    "out-of-memory": "out of memory",
    "not-installed": "not installed",
    "not-loadable": "not loadable",
}
#: Findings that are shown of one combination; the JSON report has all.
_MOST_FINDINGS = 3


def render(result: Mapping[str, Any]) -> str:
    """Return a plan or a result as JSON text."""
    tool = {"name": "mtcnn-doctor", "version": __version__}
    data = {"schema_version": SCHEMA_VERSION, "tool": tool, **Redactor().data(dict(result))}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


class MatrixReporter:
    """Writes plans and results for people."""

    def __init__(self, stream: IO[str], *, no_color: bool = False, quiet: bool = False) -> None:
        self._stream = stream
        self._look = Look.of(stream, no_color)
        self._redact = Redactor()
        self._quiet = quiet

    # -- before ---------------------------------------------------------------------------------

    def plan(self, plan: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], cache: str) -> None:
        """Say what will be installed, where, and how much it is."""
        todo = [row for row in rows if row["state"] == "not-run"]
        for row in rows:
            if row["state"] != "not-run":
                self._line(f"{self._look.mark('error')} {row['name']}: {_STATES[row['state']][1]}")
                self._entry("", str(row["reason"]))
        if not todo:
            self._line("nothing can be installed")
            return
        self._line(f"{_count(plan['environments'], 'environment')} with {plan['installer']}, in")
        self._line(f"  {cache}")
        shared = set.intersection(*(set(row["resolved"].items()) for row in todo))
        if len(todo) > 1 and shared:
            self._entry("in each", _releases(shared))
        for row in todo:
            own = set(row["resolved"].items()) - (shared if len(todo) > 1 else set())
            self._entry(f"Python {row['python']}", _releases(own))
        if plan["bisect"] is not None:
            self._line(f"of these, at most {plan['bisect']} are made (--bisect)")
        self._line(f"{_count(plan['wheels'], 'download')} of {self._size(plan)}")

    def _size(self, plan: Mapping[str, Any]) -> str:
        if plan["download_bytes"] is None:
            return "unknown size: the index does not tell (less what is cached)"
        text = f"{plan['download_bytes'] / 1e6:,.0f} MB"
        if plan["sizes_unknown"]:
            text += f" and {plan['sizes_unknown']} of unknown size"
        return text + " (less what is cached)"

    # -- after ----------------------------------------------------------------------------------

    def result(self, result: Mapping[str, Any], exit_code: int) -> None:
        """Write the table, what is wrong in its rows, and the bisections."""
        rows = result["combinations"]
        if not self._quiet:
            count = _count(len(rows), "combination")
            self._line(f"mtcnn-doctor {__version__} {self._look.dot} {count}")
            self._line("")
        self._table(result)
        for row in rows:
            if row["state"] not in ("ok", "not-run") or row["environment"]:
                self._row(row)
        for bisection in result["bisections"]:
            self._bisection(bisection)
        self._line("")
        counts = Counter(row["state"] for row in rows)
        parts = [f"{counts[state]} {_STATES[state][1]}" for state in _STATES if counts[state]]
        self._line(f" {self._look.dot} ".join([*parts, f"exit code {exit_code}"]))
        if result["resumed"]:
            self._line(f"{result['resumed']} of them by an earlier run that was interrupted")
        if result["interrupted"]:
            self._line("interrupted: the same command goes on from here")

    def _table(self, result: Mapping[str, Any]) -> None:
        packages, rows = result["packages"], result["combinations"]
        kinds = [(run["kind"], run["name"]) for row in rows for run in row["runs"]]
        columns = sorted(
            dict.fromkeys(kinds), key=lambda one: (one[0] != "backend", kinds.index(one))
        )
        names = [("package " if kind == "subject" else "run ") + name for kind, name in columns]
        table = [["", "Python", *packages, *names]]
        for row in rows:
            versions = [row["resolved"].get(p) or row["requested"].get(p, "") for p in packages]
            start = [self._look.mark(_STATES[row["state"]][0]), row["python"], *versions]
            if row["runs"]:
                runs = {(run["kind"], run["name"]): run for run in row["runs"]}
                cells = [_cell(runs.get(column)) for column in columns]
            else:
                cells = [_STATES[row["state"]][1]]
            table.append([*start, *cells])
        for line in _aligned(table):
            self._line(line)

    def _row(self, row: Mapping[str, Any]) -> None:
        self._line("")
        mark, words = _STATES[row["state"]]
        self._line(f"{self._look.mark(mark)} {row['name']}: {words}")
        errors = [f for f in row["findings"] if f["severity"] == "error"]
        explained = [finding["title"] for finding in errors] + [run["said"] for run in row["runs"]]
        if row["reason"] and row["reason"] not in explained:
            self._entry("why", row["reason"])
        for run in row["runs"]:
            if run["outcome"] != "ok":
                self._entry(run["name"], run["said"] or _OUTCOMES[run["outcome"]])
                if run["reason"] and run["reason"].strip() not in str(run["said"]):
                    self._entry("", run["reason"])
        for finding in errors[:_MOST_FINDINGS]:
            self._entry(finding["id"], finding["title"])
            if finding["fix"]:
                self._entry("fix", finding["fix"])
        for reason in row["incomplete"]:
            self._entry("incomplete", reason)
        if row["environment"]:
            self._entry("kept", row["environment"])

    def _bisection(self, found: Mapping[str, Any]) -> None:
        self._line("")
        self._line(f"bisect {found['package']} ({found['beside']})")
        for label, text in bisection_lines(found):
            self._entry(label, text)

    # -- lines ----------------------------------------------------------------------------------

    def _entry(self, label: str, text: str) -> None:
        start = f"    {label:<14} " if label else "    " + " " * 15
        start = self._look.fit(start)
        for line in self._look.wrap(self._redact.text(text), len(start)):
            self._stream.write(f"{start}{line}".rstrip() + "\n")
            start = " " * len(start)

    def _line(self, text: str) -> None:
        self._stream.write(self._look.fit(self._redact.text(text)).rstrip() + "\n")


def bisection_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a bisection came to, as labelled lines."""
    run = found["run"]
    told = [one for one in run if one["good"] is not None]
    package = found["package"]
    if found["verdict"] == "found":
        if found["begins"]:
            yield "last good", f"{package} {found['last_good']}"
            yield "first bad", f"{package} {found['first_bad']}"
        else:
            yield "last bad", f"{package} {found['last_bad']}"
            yield "first good", f"{package} {found['first_good']}"
        if found["untold_between"]:
            yield "between them", f"{', '.join(found['untold_between'])}: could not be installed"
    elif found["verdict"] == "not-monotone":
        places = "; ".join(f"between {one} and {other}" for one, other in found["changes"])
        yield "not one place", f"good and bad change more than once: {places}"
    elif found["verdict"] in ("good-at-both-ends", "bad-at-both-ends"):
        word = found["verdict"].partition("-")[0]
        yield (
            "no change",
            (
                f"{told[0]['version']} and {told[-1]['version']} are both {word}; what lies "
                "between was not looked at (leave out --bisect to run every release)"
            ),
        )
    elif found["verdict"] == "too-few":
        yield "no answer", f"{_count(len(told), 'release')} could be run; it takes two"
    else:
        yield "no answer", "it was interrupted"
    yield (
        "run",
        f"{len(run)} of {_count(len(found['releases']), 'release')}: "
        + ", ".join(f"{one['version']} {_verdict(one['good'])}" for one in run),
    )
    if found["verdict"] == "found" and len(run) < len(found["releases"]):
        yield "", "the others were not run, and are taken to be like their end"
    faults = _faults(run)
    for fault, versions in faults.items():
        yield "fault", f"{', '.join(versions)}: {fault}"
    roots = {one["root"] for one in run if one["fault"]}
    if faults and len(roots) == 1 and None not in roots:
        yield "root", f"{next(iter(roots))} in each (mtcnn-doctor explain {next(iter(roots))})"
    elif len(faults) > 1:
        yield "", "these are different faults; this is where any of them begins or ends"
    if found["unresolvable"]:
        yield "left out", f"{', '.join(found['unresolvable'])}: no such set of releases"


def _faults(run: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in run:
        if not one["good"] and one["fault"]:
            found.setdefault(str(one["fault"]), []).append(str(one["version"]))
    return found


def _releases(pins: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(pins))


def _verdict(good: bool | None) -> str:
    return "could not be installed" if good is None else "good" if good else "bad"


def _cell(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return "not installed"
    text = _OUTCOMES[run["outcome"]]
    if run["outcome"] == "crash":
        text += f" {run['signal'] or 'exit ' + str(run['exit_code'])}"
    return text


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; the last cell of a short row may be as long as it likes."""
    widths = [0] * max(map(len, table))
    for row in table:
        short = len(row) < len(table[0])
        for place, cell in enumerate(row[:-1] if short else row):
            widths[place] = max(widths[place], len(cell))
    for row in table:
        yield "  ".join(f"{cell:<{widths[place]}}" for place, cell in enumerate(row)).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
