import inspect
import json
from pathlib import Path

import pytest

FACTS = Path(__file__).parent.parent / "facts"


def judge_facts(check, facts):
    """Call a check as the registry does; return None where a fact it needs is missing."""
    arguments = {}
    for name, parameter in inspect.signature(check.function).parameters.items():
        if name in facts:
            arguments[name] = facts[name]
        elif parameter.default is inspect.Parameter.empty:
            return None
    return list(check.function(**arguments) or ())


@pytest.fixture
def judge():
    """Return a function that gives the findings of a check on some facts."""

    def call(check, **facts):
        findings = judge_facts(check, facts)
        assert findings is not None, f"{check.id} lacks facts: {sorted(facts)}"
        abouts = [finding.about for finding in findings]
        assert len(set(abouts)) == len(abouts), abouts
        for finding in findings:
            assert "\n" not in finding.title
            json.dumps(dict(finding.evidence))
            assert None not in finding.evidence.values(), finding
        return findings

    return call


@pytest.fixture
def problems(judge):
    """Return a function that gives only the errors and warnings of a check."""

    def call(check, **facts):
        return [finding for finding in judge(check, **facts) if finding.is_problem]

    return call


@pytest.fixture
def recorded():
    """Return a function that reads recorded facts."""

    def read(name):
        return json.loads((FACTS / f"{name}.json").read_text(encoding="utf-8"))

    return read


@pytest.fixture
def installed():
    """Return a function that makes the fact `packages` from "name==version" lines."""

    def make(*lines, **more):
        rows = []
        for line in lines:
            requirement, _, requires = line.partition(":")
            name, _, version = requirement.strip().partition("==")
            rows.append(
                {
                    "name": name,
                    "key": name.lower().replace("_", "-"),
                    "version": version,
                    "location": "/venv/lib/python3.11/site-packages",
                    "requires": [row.strip() for row in requires.split("|") if row.strip()],
                    "files_checked": 0,
                }
            )
        return {"distributions": rows, "leftovers": [], "modules": {}, "numpy_abi": [], **more}

    return make


@pytest.fixture
def python311(recorded):
    """Return the facts of a CPython 3.11 on Linux x86-64."""
    return recorded("healthy-all")["python"]
