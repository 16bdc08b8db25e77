"""The report as text: healthy families one line each, failures opened up, the counts last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

from mtcnn_doctor import __version__
from mtcnn_doctor.errors import EXIT_OK
from mtcnn_doctor.model import Finding, Outcome, Report, Severity
from mtcnn_doctor.registry import FAMILIES
from mtcnn_doctor.report import summary
from mtcnn_doctor.report.look import STYLES, Look
from mtcnn_doctor.report.redact import Redactor

if TYPE_CHECKING:
    from rich.console import Console

_KEY_WIDTH = 18


class ConsoleReporter:
    """Writes a report to a stream for people."""

    def __init__(
        self,
        stream: IO[str],
        *,
        no_color: bool = False,
        verbose: bool = False,
        quiet: bool = False,
        redactor: Redactor | None = None,
    ) -> None:
        self._stream = stream
        self._look = Look.of(stream, no_color)
        self._verbose = verbose
        self._quiet = quiet
        self._redact = redactor or Redactor()
        self._console = _colored(stream) if self._look.color else None

    def report(self, report: Report, exit_code: int) -> None:
        """Write the whole report."""
        self._heading(report)
        self._changes(report)
        families = _by_family(report.findings)
        for family, findings in families:
            self._family(family, findings, report)
        self._incomplete(report)
        self._not_run(report)
        self._counts(report, exit_code)

    # -- parts ----------------------------------------------------------------------------------

    def _heading(self, report: Report) -> None:
        if self._quiet:
            return
        target = report.target
        platform = " ".join(str(target[key]) for key in ("platform", "machine") if target.get(key))
        details = ", ".join(part for part in (str(target.get("version") or ""), platform) if part)
        python = self._redact.text(str(target.get("python")))
        text = f"mtcnn-doctor {__version__} {self._look.dot} checking {python}"
        self._line(text + (f" ({details})" if details else ""), "bold")
        self._line("")

    def _changes(self, report: Report) -> None:
        if report.changes is None:
            return
        from mtcnn_doctor.report import changes_text

        self._line(changes_text.heading(report.changes), "bold")
        texts, more = changes_text.shown(report.changes, self._verbose)
        for text in texts:
            self._line(f"  {self._look.fit(self._redact.text(text))}")
        if more:
            self._line(f"  and {more} more (--verbose)", "dim")
        for command in changes_text.way_back(report):
            self._line(f"  to try what was there: $ {self._redact.text(command)}", "dim")
        self._line("")

    def _family(self, family: str, findings: list[Finding], report: Report) -> None:
        problems = [finding for finding in findings if finding.is_problem]
        infos = [finding for finding in findings if finding.severity is Severity.INFO]
        made = [finding for finding in findings if finding.severity is not Severity.SKIP]
        worst = min((finding.severity for finding in made), key=lambda s: s.rank, default=None)
        if worst is None:
            if self._verbose:
                self._skipped_family(family, findings)
            return
        mark = worst.value if problems else ("info" if infos and not _passes(made) else "pass")
        if not problems and _something_failed(report, family):
            # Its cause stands under another family; a tick here would look like a contradiction.
            mark = "skip"
        if not self._quiet or problems:
            values = [self._redact.text(v) for v in summary.values(family, report)]
            line = f" {self._look.dot} ".join(values)
            if problems:
                line = f"{line}   " if line else ""
                line += _count(len(problems), "problem")
            self._family_line(mark, family, line)
        for finding in problems:
            self._finding(finding)
        if problems:
            self._line("")
        if not self._quiet:
            for finding in infos:
                self._note(finding)
            self._consequences(findings)
        if self._verbose:
            self._passed(findings)

    def _family_line(self, severity: str, family: str, text: str) -> None:
        parts = [(f"{self._look.mark(severity)} ", STYLES[severity]), (f"{family:<12} ", "bold")]
        lines = self._look.wrap(text, 16)
        self._pieces([*parts, (lines[0], "")])
        for line in lines[1:]:
            self._line(" " * 16 + line)

    def _finding(self, finding: Finding) -> None:
        word = "error" if finding.severity is Severity.ERROR else "warning"
        self._line("")
        # A file name may hold a line break.
        title = self._redact.text(finding.title).replace("\n", "\\n")
        lines = self._look.wrap(title, 4 + len(finding.id))
        self._pieces(
            [("  ", ""), (finding.id, STYLES[word]), (f"  {lines[0]}", "bold"), (f"  [{word}]", "")]
        )
        for line in lines[1:]:
            self._line(" " * (4 + len(finding.id)) + line, "bold")
        for key, value in finding.evidence.items():
            if isinstance(value, (list, tuple)):
                self._entry(str(key), [self._redact.text(str(item)) for item in value])
            else:
                self._entry(str(key), [self._redact.text(str(value))])
        for key, text in (("effect", finding.effect), ("cause", finding.cause)):
            if text:
                self._entry(key, [self._redact.text(text)])
        if finding.remedy is not None:
            self._entry("fix", [self._redact.text(finding.remedy.text)])
            for number, command in enumerate(finding.remedy.commands):
                if number and finding.remedy.alternatives:
                    self._entry("", ["or"])
                self._entry("", [f"$ {self._redact.text(command)}"])
        if finding.docs:
            self._entry("more", [finding.docs])

    def _entry(self, key: str, values: Iterable[str]) -> None:
        label = f"    {self._look.fit(key):<{_KEY_WIDTH}} "
        blank = " " * len(label)
        for value in values:
            for line in self._look.wrap(value, len(label)):
                self._pieces([(label, "dim"), (line, "")])
                label = blank

    def _note(self, finding: Finding) -> None:
        text = f"{finding.title}"
        self._entry_note(finding.id, self._redact.text(text))
        if self._verbose and finding.remedy is not None:
            self._entry("fix", [self._redact.text(finding.remedy.text)])

    def _entry_note(self, key: str, text: str) -> None:
        lines = self._look.wrap(text, 20)
        self._pieces(
            [(f"  {self._look.mark('info')} ", STYLES["info"]), (f"{key}  ", "dim"), (lines[0], "")]
        )
        for line in lines[1:]:
            self._line(" " * 6 + line)

    def _consequences(self, findings: list[Finding]) -> None:
        """Say which findings are left out because a root cause explains them."""
        left_out: dict[str, list[str]] = {}
        for finding in findings:
            if finding.severity is Severity.SKIP and finding.about and finding.requires:
                left_out.setdefault(finding.requires[0], []).append(
                    f"{finding.id} ({finding.about})"
                )
        for root, names in left_out.items():
            verb = "follows" if len(names) == 1 else "follow"
            text = f"  {_count(len(names), 'finding')} {verb} from {root}: {', '.join(names)}"
            self._line(text, "dim")

    def _passed(self, findings: list[Finding]) -> None:
        for finding in findings:
            if finding.severity in (Severity.PASS, Severity.SKIP):
                severity = finding.severity.value
                text = f"  {self._look.mark(severity)} {finding.id}: {finding.title}"
                self._line(self._look.fit(self._redact.text(text)), STYLES[severity])

    def _skipped_family(self, family: str, findings: list[Finding]) -> None:
        reasons = sorted({finding.title for finding in findings})
        self._family_line("skip", family, f"skipped: {'; '.join(reasons)}")

    def _incomplete(self, report: Report) -> None:
        for reason in report.incomplete:
            self._line(f"incomplete: {self._look.fit(self._redact.text(reason))}", "yellow")

    def _not_run(self, report: Report) -> None:
        missing = [
            run
            for run in report.runs
            if run.outcome is Outcome.NOT_INSTALLED and run.kind == "backend"
        ]
        absent = [run.name for run in missing if run.reason is None]
        if self._quiet:
            return
        for run in missing:
            if run.reason is not None:
                self._family_line("skip", "not run", f"{run.name}: {run.reason}")
        if absent:
            self._family_line("skip", "not run", f"{', '.join(absent)}: not installed")
        if not report.runs:
            # Metadata that look healthy are no proof that anything runs.
            self._family_line("skip", "not run", "nothing was imported or run for this report")

    def _counts(self, report: Report, exit_code: int) -> None:
        counts = Counter(finding.severity for finding in report.findings)
        parts = [
            _count(counts[Severity.ERROR], "error"),
            _count(counts[Severity.WARNING], "warning"),
            f"{counts[Severity.PASS]} passed",
            f"{counts[Severity.SKIP]} skipped",
        ]
        style = "bold red" if counts[Severity.ERROR] else "bold"
        if not counts[Severity.ERROR] and not counts[Severity.WARNING]:
            style = "bold green" if exit_code == EXIT_OK else "bold"
        self._line("")
        took = f" in {report.duration_s:.1f} s" if report.duration_s else ""
        self._line(f"{', '.join(parts)}{took}. Exit {exit_code}.", style)

    # -- printing -------------------------------------------------------------------------------

    def _line(self, text: str, style: str = "") -> None:
        self._pieces([(text, style)])

    def _pieces(self, pieces: Iterable[tuple[str, str]]) -> None:
        fitting = [(self._look.fit(text), style) for text, style in pieces]
        if self._console is None:
            self._stream.write("".join(text for text, _ in fitting).rstrip() + "\n")
            return
        from rich.text import Text

        line = Text()
        for text, style in fitting:
            line.append(text, style or None)
        self._console.print(line)


def _colored(stream: IO[str]) -> Console:
    """Return a console for coloured text; rich is loaded only where there are colours."""
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=True,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def _by_family(findings: Iterable[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.family, []).append(finding)
    for family in [*FAMILIES, *sorted(set(grouped) - set(FAMILIES))]:
        if family in grouped and (family != "doctor" or _worth_showing(grouped[family])):
            yield family, grouped[family]


def _worth_showing(findings: list[Finding]) -> bool:
    return any(finding.is_problem for finding in findings)


def _something_failed(report: Report, family: str) -> bool:
    kind = {"runs": "backend", "subjects": "subject"}.get(family)
    return any(
        run.outcome not in (Outcome.OK, Outcome.NOT_INSTALLED)
        for run in report.runs
        if run.kind == kind
    )


def _passes(findings: list[Finding]) -> bool:
    return any(finding.severity is Severity.PASS for finding in findings)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
