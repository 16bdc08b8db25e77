"""Checks as plug-ins: built-in, entry points and files go one way, and failures stay visible."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path

import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.model import Findings, Severity, check, error, warning

from .conftest import Doctor

SECTIONS = ("## What it checks", "## Why it matters", "## How to fix it", "## Sources")


@pytest.mark.parametrize("one", registry.load().checks, ids=lambda one: one.id)
def test_every_built_in_check_is_documented_and_placed(one: registry.Check) -> None:
    assert one.family in registry.FAMILIES
    positions = [one.documentation.find(section) for section in SECTIONS]
    assert all(position > 0 for position in positions), one.id
    assert positions == sorted(positions)
    assert one.title
    assert one.level in (1, 2, 3)
    assert inspect.cleandoc(one.documentation).splitlines()[0].endswith((".", "?"))


def test_a_consequence_is_skipped_and_names_its_root() -> None:
    @check("root", family="packages", title="root")
    def root(packages: object) -> Findings:
        yield error("numpy is broken", about="numpy")

    @check("leaf", family="runs", title="leaf", requires=("root:numpy",))
    def leaf(packages: object) -> Findings:
        yield error("torch does not load", about="torch")

    @check("other", family="runs", title="other", requires=("root:opencv",))
    def other(packages: object) -> Findings:
        yield warning("something else", about="torch")

    found = {f.id: f for f in registry.judge([leaf, other, root], {"packages": {"x": 1}})}
    assert found["root"].severity is Severity.ERROR
    assert found["leaf"].severity is Severity.SKIP
    assert found["leaf"].requires == ("root:numpy",)
    assert found["other"].severity is Severity.WARNING


def test_a_chain_of_causes_ends_at_its_first_link() -> None:
    def link(name: str, cause: str) -> registry.Check:
        @check(name, family="packages", title=name, requires=(cause,) if cause else ())
        def one(packages: object) -> Findings:
            yield error(name, about="x")

        return one

    found = registry.judge([link("c", "b"), link("b", "a"), link("a", "")], {"packages": {"x": 1}})
    assert [f.id for f in found if f.is_problem] == ["a"]


def test_what_stands_behind_others_comes_first() -> None:
    """Among warnings nothing is skipped: the order says what to mend first."""

    def link(name: str, cause: str) -> registry.Check:
        @check(name, family="packages", title=name, requires=(cause,) if cause else ())
        def one(packages: object) -> Findings:
            yield warning(name, about="x")

        return one

    checks = [link("c", "b:x"), link("b", "a"), link("alone", ""), link("a", "")]
    found = [f.id for f in registry.judge(checks, {"packages": {"x": 1}})]
    assert found == ["alone", "a", "b", "c"]
    # Two that name each other are both told.
    found = [f.id for f in registry.judge([link("p", "q"), link("q", "p")], {"packages": {"x": 1}})]
    assert sorted(found) == ["p", "q"]


def test_a_check_without_its_facts_is_skipped_with_the_reason() -> None:
    @check("needs-gpu", family="gpu", title="needs a fact")
    def needs(gpu: object) -> Findings:
        return ()

    (finding,) = registry.judge([needs], {})
    assert finding.severity is Severity.SKIP
    assert "gpu" in finding.title


def test_a_check_that_raises_is_a_visible_row_and_the_rest_goes_on() -> None:
    @check("broken", family="packages", title="broken")
    def broken(packages: object) -> Findings:
        raise KeyError("no such fact")

    @check("fine", family="packages", title="fine")
    def fine(packages: object) -> Findings:
        return ()

    found = {f.id: f for f in registry.judge([broken, fine], {"packages": {"x": 1}})}
    assert found["check-failed"].about == "broken"
    assert "KeyError" in str(found["check-failed"].evidence)
    assert found["fine"].severity is Severity.PASS


def test_selection_by_id_family_and_pattern() -> None:
    everything = registry.load()
    assert {c.id for c in everything.selected(["backend-*"], [], 2)} >= {
        "backend-crash",
        "backend-timeout",
    }
    assert {c.family for c in everything.selected(["gpu"], [], 2)} == {"gpu"}
    assert "numpy-abi" not in {c.id for c in everything.selected([], ["numpy-abi"], 2)}
    assert all(c.level == 1 for c in everything.selected([], [], 1))
    with pytest.raises(UsageError, match="no check or family fits"):
        everything.selected(["nope"], [], 2)


PLUGIN = """
from mtcnn_doctor.model import check, warning

@check("house-rule", family="packages", title="our house rule holds")
def house_rule(packages):
    '''Whether our rule holds.'''
    names = [d["name"] for d in packages["distributions"]]
    yield warning("rule [broken]", about="house", evidence={"seen": len(names)}, fix="mend it")
"""


def test_a_file_named_in_the_configuration(doctor: Doctor, tmp_path: Path) -> None:
    work = tmp_path / "project"
    work.mkdir()
    (work / "rules.py").write_text(PLUGIN)
    (work / "broken.py").write_text("import no_such_module_at_all\n")
    (work / "pyproject.toml").write_text(
        textwrap.dedent(
            """
            [tool.mtcnn-doctor]
            plugins = ["rules.py", "broken.py"]
            ignore = [{ id = "thread-oversubscription", reason = "known" }]
            level = 1
            """
        )
    )
    answer = doctor("check", "--format", "json", cwd=work)
    by_id = {f["id"]: f for f in answer.report["findings"]}
    assert by_id["house-rule"]["severity"] == "warning"
    assert by_id["plugin-failed"]["about"].endswith("broken.py")
    assert "no_such_module_at_all" in by_id["plugin-failed"]["evidence"]["reason"]
    assert "python-version" in by_id
    assert "thread-oversubscription" not in by_id
    assert answer.code == 1  # a plug-in that does not load is an error: its checks were not made
    listed = doctor("list", cwd=work)
    assert "house-rule" in listed.out
    assert "rules.py" in listed.out
    text = doctor("check", cwd=work)
    assert "rule [broken]" in text.out
    assert doctor("explain", "house-rule", cwd=work).out.startswith("house-rule")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[tool.mtcnn-doctor\n", "not valid TOML"),
        ("[tool.mtcnn-doctor]\nselekt = []\n", "unknown setting 'selekt'"),
        ("[tool.mtcnn-doctor]\nlevel = 9\n", "level must be"),
        ("[tool.mtcnn-doctor]\nignore = 'x'\n", "must be a list"),
        ("[tool.mtcnn-doctor]\ntimeout = -3\n", "positive number"),
    ],
)
def test_a_bad_configuration_is_one_line(
    doctor: Doctor, tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    answer = doctor("check", cwd=tmp_path)
    assert answer.code == 2
    assert words in answer.err
    assert "pyproject.toml" in answer.err
    assert "Traceback" not in answer.err


def test_someone_elses_broken_pyproject_is_not_ours(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[broken")
    assert doctor("check", "--select", "python-version", cwd=tmp_path).code == 0
