"""Asking all rules about a unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from mtcnn_doctor.lint import rules_framework, rules_input, rules_use
from mtcnn_doctor.lint.flow import follow
from mtcnn_doctor.lint.model import SEVERITIES, Problem, Rule, Unit

#: A comment that takes a line out: all rules, or those that are named.
_IGNORE = re.compile(r"#\s*mtcnn-doctor:\s*ignore(?:\[([\w\-, ]*)\])?")


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules."""
    return (*rules_input.RULES, *rules_use.RULES, *rules_framework.RULES)


def lint(unit: Unit, chosen: Sequence[Rule]) -> list[Problem]:
    """Return what the rules find in a unit, in the order of its lines."""
    flow = follow(unit.tree)
    found = []
    seen = set()
    for rule in chosen:
        for problem in rule.function(unit, flow):
            key = (rule.id, problem.line, problem.message)
            if key not in seen and not _ignored(unit, rule.id, problem.line):
                seen.add(key)
                found.append(replace(problem, rule=rule.id))
    return sorted(found, key=lambda one: (one.line, SEVERITIES.index(one.severity), one.rule))


def _ignored(unit: Unit, rule: str, line: int) -> bool:
    lines = unit.lines
    match = _IGNORE.search(lines[line - 1]) if 0 < line <= len(lines) else None
    if match is None:
        return False
    names = [name.strip() for name in (match[1] or "").split(",") if name.strip()]
    return not names or rule in names
