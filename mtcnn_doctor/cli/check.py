"""``mtcnn-doctor check``: will MTCNN run here, and find the right faces?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options, outputs
from mtcnn_doctor.collect import early
from mtcnn_doctor.collect.request import Tuning
from mtcnn_doctor.errors import EXIT_FINDINGS, EXIT_INTERRUPTED, EXIT_OK, UsageError
from mtcnn_doctor.examine import Interrupted, Request, examine, judge_facts
from mtcnn_doctor.model import SCHEMA_VERSION, Report, Severity
from mtcnn_doctor.targets import resolve


def check(
    python: options.PythonOption = None,
    kernel: options.KernelOption = None,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="NAME", help="Backend to run; repeatable, or 'all'."),
    ] = None,
    subject: options.SubjectOption = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="An image of yours, too; repeatable."),
    ] = None,
    level: options.LevelOption = None,
    select: options.SelectOption = None,
    ignore: options.IgnoreOption = None,
    fail_on: options.FailOnOption = None,
    expect_gpu: options.ExpectGpuOption = False,
    timeout: options.TimeoutOption = None,
    facts: Annotated[
        Path | None,
        typer.Option("--facts", metavar="FILE", help="Judge recorded facts, or a JSON report."),
    ] = None,
    notebook: Annotated[
        Path | None,
        # For the notebook extension, which knows what only the living kernel can tell.
        typer.Option("--notebook", metavar="FILE", hidden=True),
    ] = None,
    weights: options.WeightsOption = None,
    requirements: Annotated[
        list[Path] | None,
        typer.Option(
            "--requirements",
            metavar="FILE",
            help="Judge a requirements or lock file, before anything is installed; repeatable.",
        ),
    ] = None,
    python_version: options.PythonVersionOption = None,
    platform: options.PlatformOption = None,
    extra: Annotated[
        list[str] | None,
        typer.Option("--extra", metavar="NAME", help="With --requirements: this extra, too."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", metavar="NAME", help="With --requirements: this group, too."),
    ] = None,
    keep: options.KeepOption = None,
    native: options.NativeOption = False,
    no_history: Annotated[
        bool,
        typer.Option("--no-history", help="Do not keep this state, nor compare it with the last."),
    ] = False,
    format: outputs.ReportFormatOption = None,
    output: outputs.OutputsOption = None,
    verbose: options.VerboseOption = False,
    quiet: options.QuietOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Check whether MTCNN runs on an interpreter and finds the right faces."""
    config = configuration.find_here()
    places = outputs.check_outputs(output, format)
    options.check_keep(keep)
    if facts is not None and (keep is not None or native):
        option = "--keep" if keep is not None else "--native"
        raise UsageError(f"{option} is for runs, and --facts makes none; leave one of them out")
    _refuse_mixtures(
        requirements,
        {"--python-version": python_version, "--platform": platform, "--extra": extra,
         "--group": group},
        {"--facts": facts, "--keep": keep, "--native": native, "--image": image,
         "--backend": backend, "--subject": subject, "--expect-gpu": expect_gpu,
         "--weights": weights, "--notebook": notebook},
    )  # fmt: skip
    if facts is not None and (python is not None or kernel is not None):
        option = "--python" if python is not None else "--kernel"
        raise UsageError(f"--facts looks at no interpreter; leave {option} out")
    checks = registry.load(config.plugins)
    run_level = level or config.level or 2
    ignored = options.split([*(ignore or ()), *config.ignore])
    chosen = checks.selected(
        options.split(select or config.select),
        ignored,
        run_level if facts is None and not requirements else 3,
    )
    document = recorded(facts) if facts is not None else None
    if not requirements and "declared" not in (document or {}).get("facts", document or {}):
        chosen = [check for check in chosen if "declared" not in registry.parameters(check)[0]]
    # Failures of plug-ins are findings like any other, and can be ignored like any other.
    failures = [] if "plugin-failed" in ignored else list(checks.failures)
    limit = options.timeout(timeout, config.timeout)
    own = options.weights(weights)
    if own is not None and (facts is not None or run_level < 2):
        reason = "--facts" if facts is not None else "--level 1"
        raise UsageError(f"--weights is for runs, and {reason} makes none; leave one of them out")
    command = options.command()
    interrupted = False
    if requirements:
        from mtcnn_doctor.declared.judge import Question, judge

        report = judge(
            Question(requirements, python_version, platform, options.split(extra or ()),
                     options.split(group or ())),
            resolve(python, kernel),
            chosen,
            command=command,
            plugin_failures=failures,
            timeout_s=limit,
        )  # fmt: skip
    elif document is not None:
        report = judge_facts(
            document,
            chosen,
            expect_gpu=expect_gpu,
            command=command,
            plugin_failures=failures,
        )
    else:
        from mtcnn_doctor.report.progress import Progress

        with Progress(sys.stderr, limit, enabled=not quiet) as progress:
            request = Request(
                target=resolve(python, kernel),
                checks=chosen,
                level=run_level,
                backends=options.backends(backend or config.backends),
                # Who names backends wants to know about those.
                subjects=options.subjects(subject or (), () if backend else ("all",)),
                images=options.images(image or config.images),
                tuning=Tuning(weights=own),
                timeout_s=limit,
                expect_gpu=expect_gpu,
                native=native,
                command=command,
                plugin_failures=failures,
                listener=progress.hear,
                given={} if notebook is None else {"notebook": _object(notebook, "--notebook ")},
                started=early.BEGAN,
            )
            try:
                report = examine(request)
            except Interrupted as stop:
                report, interrupted = stop.report, True
    if requirements is None and document is None and not interrupted:
        report = _followed(report, config.history and not no_history, {
            "level": run_level, "backends": options.backends(backend or config.backends),
            "subjects": options.subjects(subject or (), () if backend else ("all",)),
            "select": options.split(select or config.select), "ignore": ignored,
        })  # fmt: skip
    report = options.keep(report, keep)
    threshold = fail_on.value if fail_on is not None else config.fail_on or "error"
    code = EXIT_INTERRUPTED if interrupted else exit_code(report, threshold)
    show(
        report,
        code,
        places,
        fail_on=threshold,
        verbose=verbose,
        quiet=quiet,
        no_color=no_color,
    )
    raise typer.Exit(code)


def _followed(report: Report, wanted: bool, looked_at: dict[str, Any]) -> Report:
    """Return the report with what changed since the target's last good one."""
    from mtcnn_doctor.history import store

    if not (wanted and store.is_allowed()):
        return report
    from mtcnn_doctor.history.follow import follow
    from mtcnn_doctor.report.redact import Redactor

    return follow(report, store.scope_of(**looked_at), Redactor().data)


def _refuse_mixtures(
    requirements: list[Path] | None, needing: dict[str, Any], excluding: dict[str, Any]
) -> None:
    """Refuse options that say nothing without, or beside, ``--requirements``.

    Raises:
        UsageError: one was given.
    """
    for name, value in (needing if not requirements else excluding).items():
        if value not in (None, False, []):
            raise UsageError(
                f"{name} says nothing beside --requirements, which runs nothing; leave it out"
                if requirements
                else f"{name} goes with --requirements FILE; add the file, or leave it out"
            )


def exit_code(report: Report, fail_on: str) -> int:
    """Return 1 when a finding is at or above the threshold, or warnings count and it is partial."""
    threshold = Severity(fail_on).rank
    if any(finding.severity.rank <= threshold for finding in report.findings):
        return EXIT_FINDINGS
    if report.incomplete and fail_on == "warning":
        return EXIT_FINDINGS
    return EXIT_OK


def show(
    report: Report,
    code: int,
    places: Sequence[outputs.Output],
    *,
    fail_on: str = "error",
    verbose: bool,
    quiet: bool,
    no_color: bool,
) -> None:
    """Write a report to its places."""

    def print_to(stream: IO[str]) -> None:
        from mtcnn_doctor.report.console import ConsoleReporter

        ConsoleReporter(stream, no_color=no_color, verbose=verbose, quiet=quiet).report(
            report, code
        )

    outputs.show_report(report, code, places, print_to, fail_on=fail_on)


def recorded(path: Path, option: str = "--facts ") -> dict[str, Any]:
    """Read a facts file, or a report.

    Raises:
        UsageError: missing, no JSON, no facts in it, or of a version that is not known.
    """
    document = _object(path, option, "; make one with check --format json --output FILE")
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is not None and version != SCHEMA_VERSION:
        raise UsageError(
            f"{option}{path} has schema_version {version}, this mtcnn-doctor reads "
            f"{SCHEMA_VERSION}; use the release that wrote it"
        )
    facts = document.get("facts", document) if isinstance(document, dict) else None
    if not isinstance(facts, dict) or not (facts.get("python") or facts.get("packages")):
        raise UsageError(
            f"{option}{path} holds no facts; make them with check --format json --output FILE"
        )
    for name, fact in {**facts, "runs": document.get("runs")}.items():
        listed = name in ("images", "runs", "weights")
        rows = fact if listed and isinstance(fact, list) else [None if listed else fact]
        if fact is not None and not all(isinstance(row, dict) for row in rows):
            kind = "a list of objects" if listed else "an object"
            raise UsageError(f"{option}{path}: {name} must be {kind}; record the file afresh")
    return dict(document)


def _object(path: Path, option: str, advice: str = "") -> Any:
    """Read a JSON file.

    Raises:
        UsageError: it is missing, or no JSON.
    """
    if path.exists() and not path.is_dir() and not path.is_file():
        raise UsageError(f"{option}{path} is not a regular file; name a file{advice}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{option}{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}{path} is not JSON{advice}") from error
