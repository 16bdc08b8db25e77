"""A report, or what ``lint`` found, as SARIF 2.1.0: for code scanning and for editors.

The format: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mtcnn_doctor import __version__, registry
from mtcnn_doctor.lint.model import Problem, Rule, Unit
from mtcnn_doctor.model import Finding, Report, Severity
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.report.words import steps

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_PLACE = re.compile(r"(?P<file>[^,]+?):(?P<line>\d+)(?:, |$)")


def render(report: Report, exit_code: int, fail_on: str) -> str:
    """Return the SARIF log of a report: its errors, warnings and notes."""
    clean = Redactor().report(report)
    found = [f for f in clean.findings if f.severity.value in _LEVELS]
    checks = {check.id: check for check in registry.load().checks}
    rules: dict[str, dict[str, Any]] = {}
    for finding in found:
        check = checks.get(finding.id)
        title = check.title if check is not None else finding.id
        text = inspect.cleandoc(check.documentation) if check is not None else ""
        rules.setdefault(finding.id, _rule(finding.id, title, text))
    order = list(rules)
    results = [
        _result(finding, order.index(finding.id), str(clean.target.get("python") or "python"))
        for finding in found
    ]
    notes = [{"level": "warning", "message": {"text": reason}} for reason in clean.incomplete]
    return _log(rules.values(), results, exit_code, notes, not clean.incomplete)


def render_lint(
    found: Sequence[tuple[Unit, Problem]],
    rules: Iterable[Rule],
    failed: Mapping[str, str],
    exit_code: int,
) -> str:
    """Return the SARIF log of what ``lint`` found, with its fixes as replacements."""
    used = {problem.rule for _, problem in found}
    told = {
        one.id: _rule(one.id, one.title, inspect.cleandoc(one.documentation))
        for one in rules
        if one.id in used
    }
    order = list(told)
    results = [_problem(unit, problem, order.index(problem.rule)) for unit, problem in found]
    notes = [
        {
            "level": "warning",
            "message": {"text": f"not linted: {reason}"},
            "locations": [_physical(path)],
        }
        for path, reason in failed.items()
    ]
    return _log(told.values(), results, exit_code, notes, not failed)


def _log(
    rules: Iterable[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    exit_code: int,
    notes: Sequence[Mapping[str, Any]],
    whole: bool,
) -> str:
    run = {
        "tool": {
            "driver": {
                "name": "mtcnn-doctor",
                "semanticVersion": __version__,
                "rules": list(rules),
            }
        },
        "invocations": [
            {
                "executionSuccessful": whole,
                "exitCode": exit_code,
                "toolExecutionNotifications": list(notes),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": list(results),
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _rule(id: str, title: str, documentation: str) -> dict[str, Any]:
    words = "".join(part.capitalize() for part in re.split(r"\W+", id))
    rule: dict[str, Any] = {"id": id, "name": words, "shortDescription": {"text": title}}
    if documentation:
        rule["fullDescription"] = {"text": documentation.split("\n\n")[0].replace("\n", " ")}
        rule["help"] = {"text": documentation, "markdown": documentation}
    return rule


def _result(finding: Finding, index: int, python: str) -> dict[str, Any]:
    parts = [finding.title, finding.effect, finding.cause]
    if finding.remedy is not None:
        parts += [f"Fix: {finding.remedy.text}", *steps(finding.remedy)]
    key = hashlib.sha256(f"{finding.id}:{finding.about}".encode()).hexdigest()
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity.value],
        "message": {"text": "\n".join(part for part in parts if part)},
        "partialFingerprints": {"findingAndSubject/v1": key},
    }
    result["locations"] = list(_places(finding, python))
    if finding.severity is Severity.INFO:
        result["kind"] = "informational"
        result["level"] = "none"  # every other kind than "fail" must say so
    return result


def _places(finding: Finding, python: str) -> Iterator[dict[str, Any]]:
    """Yield where a finding is: lines of requirements, a file, or else the interpreter.

    GitHub refuses a whole log for one result without a file
    (https://github.com/github/codeql-action/issues/1738).
    """
    logical = [{"name": finding.about or finding.family, "kind": "module"}]
    declared = str(finding.evidence.get("declared in") or "")
    lines = list(_PLACE.finditer(declared))
    for match in lines:
        yield {**_physical(match["file"], int(match["line"])), "logicalLocations": logical}
    if not lines:
        path = finding.evidence.get("path")
        file = path if isinstance(path, str) and path else python
        yield {**_physical(file), "logicalLocations": logical}


def _physical(path: str, line: int | None = None) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if line is not None:
        place["region"] = {"startLine": line}
    return {"physicalLocation": place}


def _uri(path: str) -> str:
    """Return a path as a relative reference where it lies below the working directory."""
    if os.path.isabs(path):
        try:
            path = os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
        except OSError:  # the working directory is gone
            pass
    path = path.replace("\\", "/") if re.match(r"[A-Za-z]:[\\/]", path) else path
    scheme = "file://" if path.startswith("/") else "file:///" if path[1:3] == ":/" else ""
    return scheme + quote(path.replace(os.sep, "/"), safe="/~:" if scheme else "/~")


def _problem(unit: Unit, problem: Problem, index: int) -> dict[str, Any]:
    notebook = problem.line in unit.places
    cell, inside = unit.places.get(problem.line, (0, problem.line))
    text = f"cell {cell}, line {inside}: {problem.message}" if notebook else problem.message
    # A line of the text that the cells make together is no line of the notebook's file.
    place = _physical(unit.path, None if notebook else problem.line)
    code = unit.lines[problem.line - 1].strip() if problem.line <= len(unit.lines) else ""
    key = hashlib.sha256(f"{problem.rule}:{code}".encode()).hexdigest()
    result: dict[str, Any] = {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": _LEVELS[problem.severity],
        "message": {"text": text},
        "locations": [place],
        "partialFingerprints": {"ruleAndLine/v1": key},
    }
    if problem.edits and not notebook:
        result["fixes"] = [_fix(unit, problem)]
    return result


def _fix(unit: Unit, problem: Problem) -> dict[str, Any]:
    replacements = []
    for edit in problem.edits:
        # From the start of the first line to the start of the line behind the last.
        region = {
            "startLine": edit.first,
            "startColumn": 1,
            "endLine": edit.last + 1,
            "endColumn": 1,
        }
        new = "".join(f"{line}\n" for line in edit.lines)
        replacements.append({"deletedRegion": region, "insertedContent": {"text": new}})
    change = {"artifactLocation": {"uri": _uri(unit.path)}, "replacements": replacements}
    fix: dict[str, Any] = {"artifactChanges": [change]}
    if problem.fix:
        fix["description"] = {"text": problem.fix}
    return fix
