"""The knowledge base: every row is complete and readable, and fires where it should only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.knowledge import numpy2_support, schema, signatures
from mtcnn_doctor.knowledge.issues import Machine, holds, issues, known_issues
from mtcnn_doctor.knowledge.lookup import table
from mtcnn_doctor.knowledge.releases import packages, release, rows
from mtcnn_doctor.knowledge.text import literal, squeeze

ROOT = Path(__file__).parent.parent
FACTS = ROOT / "tests" / "facts"
NAMES = [*schema.TABLES, *(f"releases/{name}" for name in packages())]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_complete(name: str) -> None:
    assert list(schema.problems(table(name))) == []


def test_a_faulty_table_is_told_what_is_wrong() -> None:
    row = {"id": "Bad id", "package": "x", "affected": [">=one"], "trigger": "sometimes"}
    said = "\n".join(schema.problems({"schema_version": 2, "issue": [row, row], "oops": []}))
    for fault in (
        "schema_version is not 1", "stands there twice", "lacks source", "lacks severity",
        "Invalid specifier", "trigger cannot be sometimes", "confidence is", "reviewed is a date",
        "no kind of row is called oops",
    ):  # fmt: skip
        assert fault in said


def test_ids_are_unique_over_all_tables() -> None:
    ids = [
        row["id"]
        for name in NAMES
        for rows in table(name).values()
        if isinstance(rows, list)
        for row in rows
    ]
    assert [id for id in set(ids) if ids.count(id) > 1] == []


def test_no_failure_has_the_id_of_a_check() -> None:
    """Or ``explain`` could show only one of the two."""
    checks = {check.id for check in registry.load(()).checks}
    assert checks & {row.id for row in (*signatures(), *issues())} == set()


def test_every_known_release_and_issue_came_along() -> None:
    assert sum(len(rows(name)) for name in packages()) >= 668
    assert len(issues()) >= 83
    assert len(signatures()) >= 131
    assert {row.trigger for row in issues()} == {"static", "observed", "missing-import"}


PATTERNS = [
    (row.id, pattern) for row in signatures() for pattern in (*row.patterns, *row.needs)
]  # fmt: skip


@pytest.mark.parametrize(("id", "pattern"), PATTERNS)
def test_patterns_compile_and_repeat_nothing_without_bound(id: str, pattern: str) -> None:
    re.compile(pattern)
    re.compile(squeeze(pattern))
    without_classes = re.sub(r"\\.|\[[^\]]*\]", "x", pattern)
    assert not re.search(r"[*+]", without_classes), "give the repetition a bound: {0,60}"
    # A space that may be missing would make the character before it optional without spaces.
    assert not re.search(r" [?{]", pattern)


@pytest.mark.parametrize(
    ("id", "pattern"), [(row.id, p) for row in signatures() for p in row.patterns]
)
def test_patterns_hold_plain_characters_to_look_for(id: str, pattern: str) -> None:
    plain = literal(pattern)
    assert len(plain) >= 6
    assert literal(squeeze(pattern)) in squeeze(pattern).replace("\\", "")


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        (r"No module named '(?:distutils|imp)'", "No module named '"),
        (r"lib(?:GL|EGL)\.so\.\d{1,2}: cannot open", ": cannot open"),
        (r"colou?r of the error", "r of the error"),
        (r"[Ii]llegal instruction", "llegal instruction"),
        (r"torch\.cat\(\): expected", "torch.cat(): expected"),
        (r"a(?:b(?:c)d|[)])efg{2}hi", "ef"),
    ],
)
def test_the_plain_part_of_a_pattern(pattern: str, plain: str) -> None:
    assert literal(pattern) == plain


def healthy() -> Machine:
    facts: dict[str, Any] = json.loads((FACTS / "healthy-all.json").read_text())
    installed = {row["key"]: row["version"] for row in facts["packages"]["distributions"]}
    return Machine(installed, "3.11.7", "linux", "x86_64", driver="580.65.06",
                   capabilities=("9.0",), variants={"torch": "cpu"})  # fmt: skip


def test_a_healthy_machine_has_no_known_issue() -> None:
    machine = healthy()
    assert {"torch", "tensorflow-cpu", "numpy"} <= machine.installed.keys()
    assert [row.id for row in known_issues(machine) if row.severity != "info"] == []


def test_rows_that_go_by_what_is_seen_never_fire_by_themselves() -> None:
    """Whatever is installed: on a machine with everything, only static rows fire unasked."""
    everything = {row.package: "0" for row in issues()}
    for row in issues():
        if row.trigger == "static":
            continue
        machine = Machine(everything, "3.11.7", row.platform[0].split("-")[0], "x86_64")
        assert row not in known_issues(machine)


def test_an_observed_issue_fires_when_a_run_showed_it() -> None:
    machine = Machine({"facenet-pytorch": "2.6.0"}, "3.11.7", "linux", "x86_64")
    assert known_issues(machine) == []
    shown = known_issues(machine, shown={"torchvision-nms"})
    assert [row.id for row in shown] == ["facenet-torchvision-nms"]
    assert "Install torch and torchvision together" in shown[0].remedy


def test_a_missing_import_fires_when_it_is_missing() -> None:
    machine = Machine({"mtcnn": "0.1.1"}, "3.12.1", "linux", "x86_64")
    assert known_issues(machine) == []
    found = known_issues(machine, missing={"pkg_resources"})
    assert [row.id for row in found] == ["mtcnn01-pkg-resources"]


@pytest.mark.parametrize(
    ("id", "fires", "silent"),
    [
        ("torch-numpy2-old", "torch 2.2.2 numpy 2.2.6", "torch 2.2.2 numpy 1.26.4"),
        ("tf-numpy2-uncapped", "tensorflow-cpu 2.8.0 numpy 2.0.0", "numpy 2.0.0"),
        ("tf-protobuf4", "tensorflow 2.8.0 protobuf 4.21", "tensorflow 2.8.4 protobuf 4.21"),
        (
            "opencv-both-installed",
            "opencv-python 4.9 opencv-python-headless 4.9",
            "opencv-python-headless 4.9",
        ),
        (
            "tf-torch-nvidia-pins",
            "tensorflow 2.16.1 torch 2.5.0+cu124",
            "tensorflow 2.16.1 torch 2.13.0",
        ),
    ],
)
def test_versions_decide(id: str, fires: str, silent: str) -> None:
    row = next(row for row in issues() if row.id == id)
    for text, expected in ((fires, True), (silent, False)):
        words = text.split()
        installed = dict(zip(words[::2], words[1::2], strict=True))
        assert holds(row, Machine(installed, "3.10.0", "linux", "x86_64")) is expected


def test_the_first_releases_for_numpy_2_agree() -> None:
    """What the check of binaries looks up says the same as the known issues."""
    by_id = {row.id: row for row in issues()}
    assert by_id["torch-numpy2-old"].affected == (f"<{numpy2_support('torch').first}",)
    windows = numpy2_support("torch", "win32").first
    assert by_id["torch-23-windows-numpy1"].affected == (f">=2.3,<{windows}",)
    assert by_id["ort-numpy2"].affected == (f"<{numpy2_support('onnxruntime').first}",)


def test_platform_gpu_and_driver_decide() -> None:
    def ids(**about: Any) -> set[str]:
        return {row.id for row in known_issues(Machine({"torch": "2.13.0"}, "3.12.0", **about))}

    old_card = {"capabilities": ("6.1",), "variants": {"torch": "cu130"}}
    assert "torch-pascal-dropped" in ids(platform="linux", machine="x86_64", **old_card)
    assert "torch-pascal-dropped" not in ids(platform="linux", machine="x86_64")
    mac = {"platform": "darwin", "machine": "x86_64"}
    assert "torch-intel-mac" not in ids(**mac)  # whoever has it there has built it
    assert "torch-intel-mac" in ids(**mac, planned=frozenset({"torch"}))
    assert "torch-intel-mac" not in ids(platform="darwin", machine="arm64")
    card = {"platform": "linux", "machine": "x86_64", "capabilities": ("8.6",)}
    assert "torch-driver-too-old-cu13" in ids(driver="550.54", **card)
    assert "torch-driver-too-old-cu13" not in ids(driver="580.65.06", **card)
    assert "torch-driver-too-old-cu13" not in ids(**card)


def test_releases_are_found_by_version() -> None:
    assert release("torch", "2.2.2")["default_cuda"] == "12.1"
    assert release("jupyter", "6.30.1", "ipykernel")["distribution"] == "ipykernel"
    assert release("torch", "99") is None
    assert rows("no-such-package") == []
    assert {row["torch"] for row in rows("torch", "wheel_arch")}
    assert any(row["format"] == "SavedModel" for row in rows("mask-rcnn", "format_rule"))
    assert any("8.6" in row["version"] for row in rows("tensorrt"))


def test_the_large_tables_stay_closed_until_they_are_needed() -> None:
    program = (
        "import sys, runpy; sys.argv = ['mtcnn-doctor', 'check', '--level', '1']\n"
        "from mtcnn_doctor.__main__ import main\n"
        "main()\n"
        "from mtcnn_doctor.knowledge import lookup\n"
        "read = lookup.table.cache_info().currsize\n"
        "lookup.table('signatures'); lookup.table('releases/torch')\n"
        "print('FRESH', lookup.table.cache_info().currsize - read)\n"
        "print('LOADED', [m for m in sys.modules if m.startswith('mtcnn_doctor.knowledge.')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "FRESH 2" in done.stdout
    loaded = done.stdout.rsplit("LOADED", 1)[1]
    for module in ("recognition", "text", "schema"):
        assert f"knowledge.{module}" not in loaded


def test_the_script_reports_old_reviews() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "scripts" / "knowledge_age.py", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    young = run("--today", "2026-11-22")
    assert (young.returncode, len(young.stdout.splitlines())) == (0, 1)
    old = run("--today", "2030-01-01", "--rows")
    assert old.returncode == 1
    assert "signatures               numpy-abi-array-api  https://numpy.org" in old.stdout
    assert "releases/torch           torch-2.2.2" in old.stdout
