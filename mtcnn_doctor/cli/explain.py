"""``mtcnn-doctor explain``: what a finding means, or what is behind an error text."""

from __future__ import annotations

import difflib
import inspect
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcnn_doctor import config as configuration
from mtcnn_doctor import registry
from mtcnn_doctor.cli import options
from mtcnn_doctor.errors import EXIT_FINDINGS, UsageError
from mtcnn_doctor.model import Check

if TYPE_CHECKING:
    from mtcnn_doctor.lint import Rule


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID|TEXT|FILE|-",
            help="Id of a finding (numpy-abi), an error text or traceback in quotes, a log file, "
            "or - for standard input.",
        ),
    ],
    format: options.FormatOption = options.Format.TEXT,
) -> None:
    """Explain a finding, or the known failures that an error text or a log shows.

    Exit code 0: explained. 1: no known failure in the text. 2: nothing that can be read.
    """
    # Imported here: the knowledge base is of use to no other command's start.
    from mtcnn_doctor.investigate import explain as knowledge
    from mtcnn_doctor.lint import rules
    from mtcnn_doctor.report import explain_text
    from mtcnn_doctor.report.look import Look

    config = configuration.find_here()
    checks = {check.id: check for check in registry.load(config.plugins).checks}
    look = Look.of(sys.stdout, no_color=True)
    as_json = format is options.Format.JSON
    if what in checks:
        _print(_finding(checks[what]) if as_json else look.fit(_documentation(checks[what])))
        return
    rule = {rule.id: rule for rule in rules()}.get(what)
    if rule is not None:
        _print(_rule(rule) if as_json else look.fit(_rule_text(rule)))
        return
    known = knowledge.by_id(what)
    if known is not None:
        _print(known if as_json else explain_text.entry(known, checks, look))
        return
    question = knowledge.read(what)
    found = knowledge.answer(question)
    if not found["matches"] and knowledge.looks_like_an_id(what) and question.text == what:
        near = difflib.get_close_matches(
            what, [*checks, *(rule.id for rule in rules()), *knowledge.known_ids()], n=1
        )
        hint = f"; did you mean {near[0]}?" if near else "; see mtcnn-doctor list"
        raise UsageError(f"no finding is called {what}{hint}")
    if found["only_the_end"]:
        limit = knowledge.LIMIT // 2**20
        print(f"only the last {limit} MiB of {question.name} were searched", file=sys.stderr)
    if as_json:
        _print(found)
    elif found["matches"]:
        _print(explain_text.answer(found, checks, look))
    else:
        _print(look.fit(explain_text.nothing(found)) + "\n")
    if not found["matches"]:
        raise typer.Exit(EXIT_FINDINGS)


def _documentation(check: Check) -> str:
    heading = f"{check.id} (family {check.family}, from level {check.level})"
    return f"{heading}\n\n{inspect.cleandoc(check.documentation) or check.title}\n"


def _rule_text(rule: Rule) -> str:
    return f"{rule.id} (rule of lint)\n\n{inspect.cleandoc(rule.documentation)}\n"


def _rule(rule: Rule) -> dict[str, Any]:
    documentation = inspect.cleandoc(rule.documentation)
    return {"id": rule.id, "family": "lint", "title": rule.title, "documentation": documentation}


def _finding(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "family": check.family,
        "level": check.level,
        "title": check.title,
        "documentation": inspect.cleandoc(check.documentation),
    }


def _print(answer: str | dict[str, Any]) -> None:
    text = answer if isinstance(answer, str) else json.dumps(answer, indent=2) + "\n"
    options.write(text, None)
