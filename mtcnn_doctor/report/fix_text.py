"""The plan of ``fix`` as text, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

_INDENT = 15
_VERDICTS = {
    "fixed": "fixed: no errors and no warnings are left",
    "better": "better, and something is left",
    "unchanged": "nothing got better",
    "restored": "it got worse, so the former releases were brought back",
    "damaged": "the environment is neither mended nor as it was",
    "interrupted": "interrupted",
}


class FixReporter:
    """Writes plans and results to a stream for people."""

    def __init__(self, stream: IO[str], *, no_color: bool = False, quiet: bool = False) -> None:
        self._stream = stream
        self._look = Look.of(stream, no_color)
        self._redact = Redactor()
        self._quiet = quiet

    def plan(self, data: Mapping[str, Any]) -> None:
        """Write the steps of a plan."""
        environment = data["environment"]
        self._say(f"{environment['python']} ({_kind(environment)})")
        for remark in environment["remarks"]:
            self._say(f"  ! {remark}")
        if environment["refused"] and data["steps"]:
            self._say(f"  ! nothing is installed here: {environment['refused']}")
        if not data["steps"]:
            self._say("\nnothing to fix: no errors and no warnings")
            return
        for step in data["steps"]:
            self._step(step, environment["refused"])
        automatic = sum(step["kind"] == "automatic" for step in data["steps"])
        manual = len(data["steps"]) - automatic
        parts = [
            f"{automatic} of {len(data['steps'])} steps can be carried out with --apply"
            if automatic
            else "no step can be carried out by the doctor"
        ]
        if manual and automatic:
            parts.append(f"{manual} {'is' if manual == 1 else 'are'} for you")
        self._say(f"\n{', '.join(parts)}")

    def _step(self, step: Mapping[str, Any], refused: str | None) -> None:
        names = ", ".join(finding["name"] for finding in step["findings"])
        self._say(f"\n{step['number']}. {names}  [{step['kind']}]")
        commands = {
            self._redact.text(one) for one in (*map(shlex.join, step["commands"]), *step["shown"])
        }
        for label, text in _entries(step, refused):
            text = self._redact.text(text)
            # A command is to be copied, and a line break would end it.
            is_command = text in commands
            lines = [text] if is_command else self._look.wrap(text, _INDENT)
            self._say(f"   {label:<{_INDENT - 3}}{lines[0]}")
            for line in lines[1:]:
                self._say(" " * _INDENT + line)

    def result(self, data: Mapping[str, Any], code: int) -> None:
        """Write what carrying out a plan came to."""
        done = data["applied"]
        for step in done["steps"]:
            failed = f": {step['said']}" if step["said"] else ""
            self._say(f"step {step['number']}: {step['outcome']}{failed}")
        for change in done["changes"]:
            before, after = change["before"] or "not installed", change["after"] or "removed"
            self._say(f"  {change['name']}: {before} -> {after}")
        if not self._quiet:
            for label in ("gone", "remaining", "new"):
                for name in done[label]:
                    self._say(f"  {label:<10} {name}")
            for row in done["runs"]:
                self._say(f"  run        {row['name']}: {row['before']} -> {row['after']}")
        self._say(_VERDICTS[done["state"]])
        for line in done["advice"]:
            self._say(f"  {line}")
        self._say(f"freeze {done['freeze']}\nlog    {done['log']}\nexit code {code}")

    def _say(self, text: str) -> None:
        text = "\n".join(self._look.fit(line) for line in self._redact.text(text).split("\n"))
        self._stream.write(text + "\n")


def _kind(environment: Mapping[str, Any]) -> str:
    words = {"venv": "a virtual environment", "conda": "a conda environment"}
    kind = words.get(environment["kind"], "no virtual environment")
    installer = environment["installer"]
    return f"{kind}, {installer} installs" if installer and not environment["refused"] else kind


def _entries(step: Mapping[str, Any], refused: str | None) -> Iterator[tuple[str, str]]:
    for finding in step["findings"]:
        yield "found", finding["title"]
    for number, line in enumerate(filter(None, step["text"].split("\n"))):
        yield ("" if number else "fix"), line
    for command in step["commands"]:
        yield "runs", shlex.join(command)
    if step["kind"] == "manual":
        # What the environment forbids is told once, above, and is no advice.
        forbidden = step["reason"] == refused
        for number, command in enumerate(step["shown"]):
            yield ("" if number else "would run" if forbidden else "by hand"), command
        if not forbidden:
            yield "manual, for", step["reason"]
    for note in step["notes"]:
        yield "note", note
    if step["kind"] == "automatic":
        yield "reversible", "from the freeze" if step["reversible"] else "not wholly"
    consequences = step["expected"][len(step["findings"]) :]
    if consequences:
        yield "ends, too", _joined(consequences)


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names)
