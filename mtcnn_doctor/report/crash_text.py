"""What a crash folder says of one failed run: the report to paste, the fault, the map, the command.

Pure functions of runs and reports that are redacted already: escaped names are not found any more.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Exhibit, Finding, Outcome, Report, Run
from mtcnn_doctor.report.markup import details, fenced, plain, printable, rows
from mtcnn_doctor.report.summary import values

#: Options of the command line that say where the report goes, or which runs are made.
_DROPPED = ("--keep", "--output", "-o", "--format", "--backend", "--subject")
#: Lines of each part of the report that are shown; the other files hold all of it.
_STDERR_LINES, _FRAMES = 60, 25
_FAMILIES = ("interpreter", "packages", "frameworks", "gpu", "machine")
#: What a redacted path begins with; in a list of paths each.
_HOME = re.compile(r"(?:^|(?<=[:=,]))~(?: \(contains [^)]*\))?(?=[/:,]|$)")


def markdown(run: Run, report: Report, files: Sequence[str]) -> str:
    """Return the report of one failed run, ready to be pasted into an issue."""
    lines = [f"## {_title(run)}", ""]
    lines += rows(
        [
            ("mtcnn-doctor", __version__),
            ("date", report.created),
            ("target", _target(report)),
            *((family, ", ".join(values(family, report))) for family in _FAMILIES),
            ("outcome", run.outcome.value),
            ("exit code", _exit(run)),
            ("stage", " ".join(word for word in (run.stage, run.step) if word)),
            ("reason", run.reason or ""),
            ("device", run.device),
            ("remark", (run.exhibit or Exhibit()).note),
        ]
    )
    lines += ["### Command", "", *fenced(command(run, report), "sh")]
    for finding in report.findings:
        if finding.is_problem and finding.about == run.name:
            lines += _finding(finding)
    lines += ["### Memory", "", *rows(_memory(run)), *_runtimes(run)]
    if run.python_traceback:
        lines += ["### Python frames, innermost first", ""]
        lines += fenced("\n".join(_frames(run.python_traceback)))
    lines += _native(run)
    lines += _search(run, report)
    lines += _folded("All Python threads", "\n\n".join(_threads(run)))
    tail = run.stderr_tail.splitlines()[-_STDERR_LINES:]
    lines += _folded("The end of stderr", printable("\n".join(tail)))
    lines += [f"Beside this file: {', '.join(name for name in files if name != 'report.md')}.", ""]
    return "\n".join(lines)


def fault_text(run: Run) -> str:
    """Return what the process said as it died: the fault handler's report, stderr, stdout."""
    exhibit = run.exhibit or Exhibit()
    parts = [
        ("What Python's fault handler said", exhibit.fault),
        ("The exception", "\n".join(_exception(run))),
        ("stderr", exhibit.stderr),
        ("stdout", exhibit.stdout),
    ]
    head = f"{_title(run)}\n"
    return head + "".join(f"\n== {name} ==\n{_or_nothing(text)}\n" for name, text in parts)


def map_text(run: Run) -> str:
    """Return the libraries that were loaded, and the memory map where the system told it."""
    exhibit = run.exhibit or Exhibit()
    known = [f"{row.get('runtime') or row['kind']}\t{row['path']}" for row in run.native_libraries]
    return (
        "== Libraries of a known kind, as seen until the end ==\n"
        + _or_nothing("\n".join(known))
        + "\n\n== Memory map, when it was looked at last ==\n"
        + _or_nothing(exhibit.process_map)
        + "\n"
    )


def native_text(run: Run) -> str:
    """Return what the debugger said, "" where it said nothing."""
    said = (run.exhibit or Exhibit()).native
    return printable(said) + "\n" if said else ""


def command_text(run: Run, report: Report) -> str:
    """Return a shell script that repeats the run."""
    environment = report.facts.get("environment") or {}
    # A line break in a comment would end it.
    title, whole = (text.replace("\n", " ") for text in (_title(run), _joined(report.command)))
    lines = ["#!/bin/sh", f"# Repeats this run: {title}", f"# The whole command was: {whole}"]
    folder = environment.get("working_directory")
    if folder:
        lines.append(f"cd {_quoted(str(folder))}")
    given = environment.get("variables") or {}
    variables = {name: value for name, value in given.items() if re.fullmatch(r"\w+", name)}
    if variables:
        lines.append("# What was set in the environment and matters to the frameworks:")
    lines += [f"export {name}={_quoted(str(value))}" for name, value in variables.items()]
    return "\n".join([*lines, command(run, report), ""])


def command(run: Run, report: Report) -> str:
    """Return the command that repeats this run alone."""
    words = iter(report.command)
    kept = []
    for word in words:
        name, _, value = word.partition("=")
        if name in _DROPPED:
            if not value and "=" not in word:
                next(words, None)
        elif not re.match(r"-o.", word):
            kept.append(word)
    option = "--subject" if run.kind == "subject" else "--backend"
    more = (run.exhibit or Exhibit()).options
    return _joined([*kept, option, run.name, *more])


# -- parts -----------------------------------------------------------------------------------------


def _title(run: Run) -> str:
    name = f"{run.name} {run.version}" if run.version else run.name
    how = run.signal or run.outcome.value
    code = f" (exit {run.exit_code})" if run.signal else ""
    return f"{name}: {how}{code} in {run.stage or 'an unknown stage'}"


def _target(report: Report) -> str:
    target = report.target
    keys = ("implementation", "version", "platform", "machine", "python")
    return " ".join(str(target[key]) for key in keys if target.get(key))


def _exit(run: Run) -> str:
    if run.error is not None or run.outcome is Outcome.WRONG_RESULT:
        return ""
    if run.outcome is Outcome.TIMEOUT:
        return "none: it hung and was ended by mtcnn-doctor"
    return f"{run.exit_code} ({run.signal})" if run.signal else str(run.exit_code)


def _memory(run: Run) -> list[tuple[str, str]]:
    memory = run.memory
    rows = [
        ("peak", memory.get("peak_rss_mb")),
        ("when it was looked at last", memory.get("last_rss_mb")),
        ("available at its start", memory.get("available_mb_at_start")),
        ("limit of its control group", memory.get("cgroup_limit_mb")),
        ("limit of address space (ulimit -v)", memory.get("address_space_limit_mb")),
    ]
    found = [(name, "unknown or none" if v is None else f"{v:.0f} MiB") for name, v in rows]
    for where in ("cgroup", "system"):
        before = memory.get(f"{where}_oom_kills_before")
        after = memory.get(f"{where}_oom_kills_after")
        if before is not None and after is not None:
            found.append((f"OOM kills, {where}", f"{before} before, {after} after"))
    return found


def _runtimes(run: Run) -> list[str]:
    native = (run.native or {}).get("runtimes") or ()
    seen = {row["path"]: row for row in (*run.native_libraries, *native) if "runtime" in row}
    if not seen:
        return []
    rows = [f"{row['kind']}\t{row['runtime']}\t{path}" for path, row in seen.items()]
    return ["### OpenMP, BLAS and CUDA runtimes loaded", "", *fenced("\n".join(rows))]


def _native(run: Run) -> list[str]:
    native = run.native
    if native is None:
        return []
    lines = ["### Native frames, innermost first (gdb, in another run)", ""]
    if native["state"] == "no-debugger":
        return [*lines, "gdb is not installed on this machine.", ""]
    if native["state"] == "refused":
        return [*lines, *fenced(f"gdb could not run it: {native['said']}")]
    if native["state"] == "not-reproduced":
        return [*lines, f"It did not fail in {native['tries']} runs under gdb.", ""]
    if not native["same"]:
        lines += [f"Under gdb it ended otherwise: {native['signal'] or 'without a signal'}.", ""]
    frames = native["frames"][:_FRAMES]
    return lines + fenced("\n".join(f"{row['function']}  {row['where']}" for row in frames))


def _search(run: Run, report: Report) -> list[str]:
    from mtcnn_doctor.report import search_text

    if report.search is None:
        return []
    keys = ("repeats", "backends")
    own = {key: [e for e in report.search[key] if e["backend"] == run.name] for key in keys}
    lines = []
    for title, entries in search_text.sections({**report.search, **own}):
        text = "\n".join(f"{key:<18} {said}" for key, said in entries)
        lines += [f"### {plain(title[:1].upper() + title[1:])}", "", *fenced(text)]
    return lines


def _finding(finding: Finding) -> list[str]:
    lines = [f"### {finding.id}", "", plain(finding.title), ""]
    told = [("effect", finding.effect), ("cause", finding.cause)]
    if finding.remedy is not None:
        told.append(("fix", finding.remedy.text))
        told += [("", command) for command in finding.remedy.commands]
    return lines + rows(told)


def _frames(frames: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (f"{row['file']}:{row['line']} {row['function']}" for row in frames)


def _threads(run: Run) -> Iterator[str]:
    for thread in run.python_threads:
        word = "Thread that died" if thread["current"] else "Thread"
        yield "\n".join([f"{word} {thread['thread']}", *_frames(thread["frames"])])


def _exception(run: Run) -> Iterator[str]:
    if run.error is None:
        return
    yield from _frames(run.python_traceback)
    yield f"{run.error.get('type')}: {run.error.get('message')}"


def _or_nothing(text: str) -> str:
    return printable(text).strip("\n") or "(nothing)"


# -- shell ----------------------------------------------------------------------------


def _folded(title: str, text: str) -> list[str]:
    return details(title, fenced(text)) if text.strip() else []


def _joined(words: Iterable[str]) -> str:
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    """Return a word for the shell, with the home directory as a variable instead of its mark."""
    pieces = _HOME.split(word)
    return '"$HOME"'.join(shlex.quote(piece) if piece else "" for piece in pieces) or "''"
