"""What the tests share: targets with real faults in them, and the command line as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mtcnn_doctor.report.json_report import SchemaName, schema


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report on stdout."""
        return json.loads(self.out)

    def findings(self, *severities: str) -> list[dict[str, Any]]:
        """The findings of the given severities (default: errors and warnings)."""
        wanted = severities or ("error", "warning")
        return [f for f in self.report["findings"] if f["severity"] in wanted]

    def run(self, name: str) -> dict[str, Any]:
        """The run of one backend."""
        return next(run for run in self.report["runs"] if run["name"] == name)


Doctor = Callable[..., Answer]


@pytest.fixture(scope="session", autouse=True)
def _no_history() -> None:
    """Keep the developer's own history, and each test's target, out of the other tests."""
    os.environ["MTCNN_DOCTOR_NO_HISTORY"] = "1"


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Run ``python -m mtcnn_doctor`` in an empty folder, in a process of its own."""
    work = tmp_path / "work"
    work.mkdir()

    def run(
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        prefix: Sequence[str] = (),
        timeout: float = 300,
    ) -> Answer:
        # PYTHONWARNINGS: our own process must not warn; the children are the target's business.
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "mtcnn_doctor", *map(str, arguments)],
            cwd=cwd or work,
            env={**os.environ, "NO_COLOR": "1", **(environment or {})},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        _hold_to_schema(done.stdout)
        for option, word in pairwise(arguments):
            path = (cwd or work) / word
            if option in ("--output", "-o") and path.is_file():
                _hold_to_schema(path.read_text(encoding="utf-8", errors="replace"))
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


def _hold_to_schema(text: str) -> None:
    """Hold what a command wrote to the shipped schema, where it is JSON that has one."""
    if not text.lstrip().startswith("{"):
        return
    try:
        document = json.loads(text)
    except ValueError:
        return  # the test that wants JSON will say so
    # By the one key that each of them has alone; other commands promise no schema.
    for name, key in (("report", "verdict"), ("lint", "not_linted"), ("matrix", "combinations")):
        if key in document:
            _validator(name).validate(document)


@lru_cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    document = schema(SchemaName(name))
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


@pytest.fixture
def customize(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Put a ``sitecustomize`` into the target's environment; returns the variables to set."""

    def write(code: str) -> dict[str, str]:
        folder = tmp_path / "customized"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(textwrap.dedent(code), encoding="utf-8")
        return {"PYTHONPATH": str(folder)}

    return write


#: Source of a sitecustomize that runs ``patch(module)`` right after a module was imported.
AFTER_IMPORT = """
import importlib.abc, importlib.util, sys

class AfterImport(importlib.abc.MetaPathFinder):
    def __init__(self, name, patch):
        self.name, self.patch = name, patch
    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            self.patch(module)
        spec.loader.exec_module = exec_module
        return spec

def after_import(name, patch):
    sys.meta_path.insert(0, AfterImport(name, patch))
"""


Customize = Callable[[str], dict[str, str]]


@pytest.fixture
def patch_module(customize: Customize) -> Callable[[str, str], dict[str, str]]:
    """Change a module of the target right after its import, by a sitecustomize."""

    def write(module: str, body: str) -> dict[str, str]:
        patch = "def patch(module):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        return customize(f"{AFTER_IMPORT}\n{patch}\nafter_import({module!r}, patch)\n")

    return write
