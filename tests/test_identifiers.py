"""Every id that a user can see is documented, in the words of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.knowledge import provocations, signatures
from mtcnn_doctor.knowledge.issues import issues
from mtcnn_doctor.knowledge.mitigations import mitigations
from mtcnn_doctor.lint import rules

PAGE = Path(__file__).parent.parent / "docs" / "identifiers.md"


def known() -> dict[str, list[tuple[str, str]]]:
    return {
        "findings": [(check.id, check.title) for check in registry.load(()).checks],
        "rules": [(rule.id, rule.title) for rule in rules()],
        "mitigations": [(row.id, row.title) for row in mitigations()],
        "provocations": [(row.id, row.title) for row in provocations()],
        "signatures": [(row.id, row.cause) for row in signatures()],
        "issues": [(row.id, row.cause) for row in issues()],
    }


@pytest.mark.parametrize("kind", known())
def test_every_id_is_documented(kind: str) -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [f"| `{id}` | {text.replace('|', chr(92) + '|')} |" for id, text in known()[kind]]
    assert [row for row in rows if row not in lines] == [], f"add these to {PAGE.name}"


def test_nothing_else_is_documented() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    ids = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert sorted(ids) == sorted(id for rows in known().values() for id, _ in rows)
