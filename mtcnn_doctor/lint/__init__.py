"""Static rules on users' code: read, never run. See docs/lint.md."""

from __future__ import annotations

from mtcnn_doctor.lint.model import Edit, Problem, Rule, Unit
from mtcnn_doctor.lint.run import lint, rules
from mtcnn_doctor.lint.source import units_of

__all__ = ["Edit", "Problem", "Rule", "Unit", "lint", "rules", "units_of"]
