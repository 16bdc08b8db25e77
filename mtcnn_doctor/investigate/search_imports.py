"""``--import-first``: a module that is not there is the user's slip, not a fault of the target."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Outcome, Run

_MISSING = re.compile(r"No module named '([^']+)'")


def check_imports(before: Sequence[str], runs: Sequence[Run]) -> None:
    """Tell a module that the target does not have from one that fails to load.

    Raises:
        UsageError: one of the modules is not there.
    """
    for run in runs:
        name, error = run.step or "", run.error or {}
        if run.outcome is not Outcome.NOT_LOADABLE or name not in before:
            continue
        said = _MISSING.match(str(error.get("message") or ""))
        # What the module itself lacks has another name, and is a fault.
        if error.get("type") == "ModuleNotFoundError" and said and _part(said[1], name):
            raise UsageError(
                f"--import-first {name}: no module {name} in the target; give one that its Python "
                "can import, or install it there"
            )


def _part(found: str, name: str) -> bool:
    return name == found or name.startswith(f"{found}.")
