"""What changed since it last worked: on a real environment, and what a history must never do."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.history.compare import changes, faults_of
from mtcnn_doctor.history.state import state_of
from mtcnn_doctor.model import Report
from mtcnn_doctor.report.changes_text import way_back
from mtcnn_doctor.report.json_report import schema
from tests.conftest import Doctor
from tests.matrix_wheels import wheel


@pytest.fixture
def kept(tmp_path: Path) -> dict[str, str]:
    """Variables that let a history be kept, in a folder of the test."""
    return {"MTCNN_DOCTOR_NO_HISTORY": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with a backend that needs another package, and one that it does not need."""
    import sys

    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", tmp_path / "env"], check=True)
    install(python, tmp_path, "numpy", "1.26.4")
    install(python, tmp_path, "bystander", "1.0")
    install(python, tmp_path, "torch", "2.2.2", requires=["bystander"])
    return python


def install(
    python: Path, folder: Path, name: str, version: str, requires: list[str] | None = None
) -> None:
    """Put a package made here into an environment, whatever it breaks."""
    import sys

    files = {f"{name}/__init__.py": ""}
    made = wheel(folder, name, version, requires=requires or [], files=files)
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--offline",
         "--python", python, made],
        check=True,
    )  # fmt: skip


def test_an_upgrade_between_two_runs_is_named_first(
    doctor: Doctor, environment: Path, tmp_path: Path, kept: dict[str, str]
) -> None:
    check = ("check", "--python", environment, "--level", "1")
    assert doctor(*check, environment=kept).code == 0
    install(environment, tmp_path, "aaa", "1.0")
    install(environment, tmp_path, "bystander", "2.0")
    install(environment, tmp_path, "numpy", "2.1.0")
    answer = doctor(*check, "--format", "json", environment={**kept, "NEW_OMP": "1"})
    assert answer.code == 1, answer.out
    jsonschema.validate(answer.report, schema())
    told = answer.report["changes"]["list"]
    assert told[0]["text"] == "numpy 1.26.4 -> 2.1.0 (upgraded)"
    assert {row["name"] for row in told} == {"numpy", "bystander", "aaa"}
    text = doctor(*check, environment=kept)
    lines = text.out.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("changed since"))
    assert lines[start + 1].strip() == "numpy 1.26.4 -> 2.1.0 (upgraded)"
    assert "pip install --python " in text.out  # uv made it, without pip
    assert '"numpy==1.26.4"' in text.out
    # A bad state takes no good one's place.
    again = doctor(*check, "--format", "json", environment=kept)
    assert again.report["changes"]["since"] == answer.report["changes"]["since"]


def test_where_nothing_changed_that_is_said(
    doctor: Doctor, environment: Path, tmp_path: Path, kept: dict[str, str]
) -> None:
    check = ("check", "--python", environment, "--level", "1")
    assert doctor(*check, environment=kept).code == 0
    record = next((tmp_path / "cache" / "mtcnn-doctor" / "history").iterdir())
    saved = record.read_bytes()
    install(environment, tmp_path, "numpy", "2.1.0")
    assert doctor(*check, environment=kept).code == 1
    assert record.read_bytes() == saved
    document = json.loads(saved)
    document["state"]["package"]["numpy"] = "2.1.0"
    record.write_text(json.dumps(document), encoding="utf-8")
    assert "nothing that is looked at has changed since" in doctor(*check, environment=kept).out


def test_no_history_is_kept_where_none_is_wanted(
    doctor: Doctor, environment: Path, tmp_path: Path, kept: dict[str, str]
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    check = ("check", "--python", environment, "--level", "1")
    assert doctor(*check, "--no-history", environment=kept).code == 0
    assert doctor(*check, environment={**kept, "MTCNN_DOCTOR_NO_HISTORY": "1"}).code == 0
    (folder / "mtcnn-doctor.toml").write_text("history = false\n", encoding="utf-8")
    assert doctor(*check, environment=kept, cwd=folder).code == 0
    assert not (tmp_path / "cache").exists()


def test_a_history_that_cannot_be_read_harms_nothing(
    doctor: Doctor, environment: Path, tmp_path: Path, kept: dict[str, str]
) -> None:
    check = ("check", "--python", environment, "--level", "1")
    assert doctor(*check, environment=kept).code == 0
    record = next((tmp_path / "cache" / "mtcnn-doctor" / "history").iterdir())
    install(environment, tmp_path, "numpy", "2.1.0")
    for damage in (b"\xff{]", b'{"version": 99}', b"[" * 100_000, b'{"version": 1, "state": 3}'):
        record.write_bytes(damage)
        answer = doctor(*check, environment=kept)
        assert answer.code == 1
        assert answer.err == ""
        assert "last good" not in answer.out
    install(environment, tmp_path, "numpy", "1.26.4")
    record.unlink()
    record.mkdir()  # nothing can be kept in its place
    for place in (kept["XDG_CACHE_HOME"], "/proc"):
        answer = doctor(*check, environment={**kept, "XDG_CACHE_HOME": place})
        assert answer.code == 0
        assert answer.err == ""


def test_what_is_kept_tells_no_secret(
    doctor: Doctor, environment: Path, tmp_path: Path, kept: dict[str, str]
) -> None:
    secret = {"PIP_INDEX_URL": "https://me:hunter2@example.org/simple", "TF_API_KEY": "hunter2"}
    check = ("check", "--python", environment, "--level", "1")
    assert doctor(*check, environment={**kept, **secret}).code == 0
    folder = tmp_path / "cache" / "mtcnn-doctor" / "history"
    (record,) = folder.iterdir()
    assert "hunter2" not in record.read_text(encoding="utf-8")
    assert os.stat(record).st_mode & 0o077 == 0


# -- the comparison ------------------------------------------------------------------------------


def facts(**changed: object) -> dict[str, object]:
    """Facts of a machine."""
    base: dict[str, object] = {
        "packages": {
            "distributions": [
                {"key": "torch", "version": "2.12.0", "requires": ["filelock", "sympy>=1"]},
                {"key": "sympy", "version": "1.13", "requires": ["mpmath; extra == 'x'"]},
                {"key": "rich", "version": "13.0"},
            ]
        },
        "python": {"version": "3.11.7", "executable": "/env/bin/python", "markers": {}},
        "environment": {"variables": {"LANG": "C"}},
        "gpu": {"driver_version": "550.1", "devices": [{"name": "A"}]},
    }
    return {**base, **changed}


def versions(**given: str) -> dict[str, object]:
    return {"distributions": [{"key": key, "version": value} for key, value in given.items()]}


def test_what_a_fault_names_comes_before_what_it_stands_on_and_bystanders() -> None:
    before = state_of(facts())
    later = state_of(
        facts(packages=versions(torch="2.13.0", sympy="1.12", rich="14.0"),
              gpu={"driver_version": "560.1", "devices": [{"name": "A"}]},
              environment={"variables": {"LANG": "C", "OMP_NUM_THREADS": "8"}})
    )  # fmt: skip
    found = [one.text for one in changes(before, later, {"torch"})]
    assert found == [
        "torch 2.12.0 -> 2.13.0 (upgraded)",
        "sympy 1.13 -> 1.12 (downgraded)",
        "driver 550.1 -> 560.1 (upgraded)",
        "variable OMP_NUM_THREADS 8 set",
        "rich 13.0 -> 14.0 (upgraded)",
    ]


def test_the_first_variable_that_is_set_is_a_change() -> None:
    bare = state_of(facts(environment={"variables": {}}))
    found = changes(bare, state_of(facts(environment={"variables": {"OMP_NUM_THREADS": "8"}})))
    assert [one.text for one in found] == ["variable OMP_NUM_THREADS 8 set"]


def test_a_driver_that_is_gone_a_limit_and_another_picture_of_the_same_name_are_changes() -> None:
    image = {"path": "a.png", "width": 10, "height": 10, "size_bytes": 5}
    before = facts(gpu={"nvml": "ok", "devices": []}, cpu={"affinity": 8}, images=[image])
    after = facts(
        gpu={"nvml": "no-driver", "devices": []}, cpu={"affinity": 8, "quota": 1.0},
        images=[{**image, "size_bytes": 9}],
    )  # fmt: skip
    settings = {"settings": {"level": 2}}
    found = changes(state_of({**before, **settings}), state_of({**after, **settings}))
    assert [one.name for one in found] == [
        "access to the driver", "share of the CPUs", "images of yours",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "damaged",
    [
        {"packages": {"distributions": [{"key": "a", "requires": 5, "wheel_tags": 5}]}},
        {"packages": {"distributions": 5}, "environment": {"variables": [1]}},
        {"python": {"sys_path": 7, "markers": 1}, "settings": {"backends_requested": 3}},
        {"cpu": [1], "gpu": 5, "memory": {"rlimits": [1], "total": "x"}},
    ],
)
def test_facts_that_others_damaged_are_compared_as_far_as_they_go(
    damaged: dict[str, object],
) -> None:
    assert changes(state_of(damaged), state_of(damaged)) == []


def test_a_way_back_survives_a_path_with_a_space() -> None:
    row = {"kind": "package", "name": "numpy", "before": "1.26.4", "after": "2.1.0", "near": 0}
    of = Report("", (), {"python": "/my env/bin/python"}, (), (), {}, changes={"list": [row]})
    (command,) = way_back(of)
    assert shlex.split(command) == ["/my env/bin/python", "-m", "pip", "install", "numpy==1.26.4"]
    without_pip = {"packages": {"distributions": [{"key": "numpy"}]}}
    (command,) = way_back(replace(of, facts=without_pip))
    assert shlex.split(command)[:4] == ["uv", "pip", "install", "--python"]


def test_what_is_not_known_is_no_change() -> None:
    bare = state_of({"python": {"version": "3.11.7"}})
    assert changes(state_of(facts()), bare, set()) == []


def test_the_names_in_an_error_count_and_those_in_a_warning_do_not() -> None:
    error = {"severity": "error", "about": "torch", "title": "numpy 2 is there", "evidence": {}}
    warning = {"severity": "warning", "about": "keras", "title": "", "evidence": {}}
    names = faults_of([error, warning])
    assert {"torch", "numpy"} <= names
    assert "keras" not in names


# -- diff ------------------------------------------------------------------------------------------

HEALTHY = Path(__file__).parent / "facts" / "healthy-all.json"


def test_diff_of_two_machines(doctor: Doctor, tmp_path: Path) -> None:
    document = json.loads(HEALTHY.read_text(encoding="utf-8"))
    facts = document.get("facts", document)
    for one in facts["packages"]["distributions"]:
        if one["key"] == "numpy":
            one["version"] = "1.21.0"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document), encoding="utf-8")
    assert doctor("diff", HEALTHY, HEALTHY).code == 0
    answer = doctor("diff", HEALTHY, other, "--format", "json")
    assert answer.code == 1
    assert any(row["name"] == "numpy" for row in json.loads(answer.out)["changes"])
    assert "numpy" in doctor("diff", HEALTHY, other).out


_HEAD = '"target": {}, "verdict": "pass", "created": "", "facts": {"python": {"version": "3"}}'


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[1]", '{"schema_version": 9}',
        f'{{"findings": [{{"id": "x"}}], "runs": [], {_HEAD}}}',
        f'{{"findings": 5, "runs": [{{"name": "torch"}}], {_HEAD}}}',
    ],
)  # fmt: skip
def test_diff_of_what_is_no_report(doctor: Doctor, tmp_path: Path, text: str) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(text, encoding="utf-8")
    answer = doctor("diff", HEALTHY, bad)
    assert answer.code == 2
    assert answer.out == ""
    assert "bad.json" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
