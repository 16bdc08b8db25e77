"""Reports in the formats of other programs: accepted by their readers, whatever stands in them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as XML

import jsonschema
import pytest

from mtcnn_doctor.model import Finding, Outcome, Remedy, Report, Run, Severity
from mtcnn_doctor.report.formats import ReportFormat, render

from .conftest import Doctor

TESTS = Path(__file__).parent
#: The official schema, as the npm package @microsoft/jest-sarif (MIT) ships it.
SARIF = json.loads((TESTS / "schemas" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
BROKEN = TESTS / "facts" / "torch-2.2.2-numpy-2.2.6.json"
RENDERED = [one for one in ReportFormat if one is not ReportFormat.TEXT]

#: Breaks out of whatever does not expect it.
EVIL = (
    "<script>alert(1)</script> ]]> --> ``` ~~~ \x00\x1b[31m\u202e\ud7ff % :: , ' \" \\ & @octocat "
    "#123 GH-7 https://evil.example www.evil.example a1b2c3d4e5 |\n::error::x\r\n</details> ünïcode"
)

HOSTILE = Report(
    created="2026-11-21T00:00:00+00:00",
    command=("mtcnn-doctor", "check", EVIL),
    target={
        "python": f"/opt/{EVIL}/python",
        "version": "3.11.7",
        "implementation": "CPython",
        "platform": "linux",
        "machine": EVIL,
    },
    findings=tuple(
        Finding(
            id=id,
            family="packages",
            severity=severity,
            title=f"{severity.value} {EVIL}",
            about=EVIL,
            evidence={"said": EVIL, EVIL: [EVIL, "b"], "path": f"/opt/{EVIL}.png"},
            effect=EVIL,
            cause=EVIL,
            remedy=Remedy(EVIL, (EVIL, "pip install 'numpy<2'")),
        )
        for id, severity in zip(
            ("numpy-abi", "backend-crash", "gpu-none", "python-version", "threads"),
            Severity,
            strict=True,
        )
    ),
    runs=(
        Run(
            name=f"torch {EVIL}",
            outcome=Outcome.CRASH,
            version=EVIL,
            exit_code=139,
            signal="SIGSEGV",
            stage="pnet",
            stderr_tail=EVIL * 3,
            peak_rss_mb=12.5,
            python_traceback=({"file": EVIL, "line": 3, "function": EVIL},),
        ),
        Run(
            name="numpy",
            outcome=Outcome.OK,
            timings_ms={"median": 12.5, "stages": {"pnet": 8.0, "rnet": 1.0, "onet": 2.0}},
            peak_rss_mb=80.0,
            images=({"image": EVIL, "width": 100, "height": 80, "faces": 1},),
            detections=({"image": EVIL, "box": [1, 2, 30, 40], "confidence": 0.9,
                         "keypoints": {"nose": [5, 6]}},),
        ),
    ),
    facts={"packages": {"distributions": [{"key": EVIL, "version": EVIL}]}, EVIL: {EVIL: EVIL}},
    incomplete=(EVIL,),
    duration_s=3.25,
    changes={
        "since": EVIL,
        "list": [{"near": 0, "kind": "package", "name": EVIL, "before": EVIL, "after": EVIL,
                  "text": EVIL}],
    },
)  # fmt: skip

#: What junit-10.xsd of Jenkins' xUnit plugin allows: attributes (those that must be there with an
#: exclamation mark), and what may stand in an element.
JUNIT: Mapping[str, tuple[str, str]] = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name! tests! failures! errors! group time skipped timestamp hostname id package file log "
        "url",
        "testsuite properties testcase system-out system-err",
    ),
    "testcase": (
        "name! time classname group",
        "skipped error failure rerunFailure rerunError flakyFailure flakyError system-out "
        "system-err",
    ),
    "properties": ("", "property"),
    "property": ("name! value!", ""),
    "failure": ("type message", ""),
    "error": ("type message", ""),
    "skipped": ("type message", ""),
    "system-out": ("", ""),
    "system-err": ("", ""),
}


def held_to_junit(text: str) -> XML.Element:
    """Parse JUnit XML as its readers do, and hold it to what their schema allows."""
    root = XML.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        names, children = (words.split() for words in JUNIT[element.tag])
        assert {name.rstrip("!") for name in names} >= set(element.attrib)
        assert {name[:-1] for name in names if name.endswith("!")} <= set(element.attrib)
        assert set(children) >= {child.tag for child in element}
        if "time" in element.attrib:
            assert re.fullmatch(r"\d*\.?\d*", element.attrib["time"])
        if element.tag == "testsuite":
            cases = element.findall("testcase")
            assert int(element.attrib["tests"]) == len(cases)
            assert len({case.attrib["name"] for case in cases}) == len(cases)
            for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
                assert int(element.attrib[key]) == sum(c.find(tag) is not None for c in cases)
    return root


def samples_of(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse metrics by the grammar of Prometheus' text format; HELP and TYPE precede samples."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    typed: set[str] = set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind == "gauge"
            assert name not in typed
            typed.add(name)
        elif not line.startswith("# HELP "):
            match = re.fullmatch(
                r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (-?[\d.]+(?:e[+-]?\d+)?)',
                line,
            )
            assert match, line
            assert match[1] in typed
            labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2])
            key = (match[1], frozenset(labels))
            assert key not in found
            found[key] = float(match[3])
    return found


class Page(HTMLParser):
    """What a browser would see of a page."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def test_all_formats_in_one_run(doctor: Doctor, tmp_path: Path) -> None:
    names = ("r.json", "r.md", "r.html", "r.xml", "r.sarif", "r.prom", "r.txt")
    paths = {name: tmp_path / name for name in names}
    outputs = [word for path in paths.values() for word in ("--output", path)]
    answer = doctor("check", "--facts", BROKEN, *outputs, "-o", "-", "--format", "github")
    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith("::error title=numpy-abi::torch")
    report = json.loads(paths["r.json"].read_text(encoding="utf-8"))
    (problem,) = (f for f in report["findings"] if f["severity"] == "error")
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    assert all("numpy-abi" in text for text in texts.values())
    assert texts["r.txt"].startswith("mtcnn-doctor ")
    first, second = problem["remedy"]["commands"]
    assert f"```sh\n{first}\n# or\n{second}\n```" in texts["r.md"]
    page = Page(texts["r.html"])
    assert problem["title"] in page.text
    assert first in page.text
    root = held_to_junit(texts["r.xml"])
    assert root.attrib["failures"] == "1"
    log = json.loads(texts["r.sarif"])
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    result = next(row for row in run["results"] if row["level"] == "error")
    assert result["ruleId"] == "numpy-abi"
    (place,) = result["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "file:///venv/bin/python"
    assert place["logicalLocations"][0]["name"] == "torch"
    told = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert (told["id"], "## How to fix it" in told["help"]["text"]) == ("numpy-abi", True)
    metrics = samples_of(texts["r.prom"])
    assert [value for (name, labels), value in metrics.items()
            if name == "mtcnn_doctor_verdict" and ("verdict", "fail") in labels] == [1]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "report.yaml"], "--output report.yaml: its ending says no format"),
        (["-o", "summary"], "end it in one of .txt .json .md .html .xml .sarif .prom"),
        (["-o", "a.json", "-o", "./a.json"], "--output a.json is given twice"),
        (["-o", "a.json", "-o", "b.md", "--format", "html"], "--format html is for none"),
        (["-o", "a.json", "-o", "none/b.md"], "--output none/b.md: its folder does not exist"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    doctor: Doctor, arguments: list[str], reason: str, tmp_path: Path
) -> None:
    answer = doctor("check", "--facts", tmp_path / "is-not-read.json", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err
    assert len(answer.err.splitlines()) == 1
    assert list((tmp_path / "work").iterdir()) == []


def test_a_format_names_that_of_a_file_without_ending(doctor: Doctor, tmp_path: Path) -> None:
    summary = tmp_path / "step_summary_f3c1"
    summary.write_text("")
    answer = doctor("check", "--facts", BROKEN, "--format", "markdown", "--output", summary)
    assert answer.out == ""
    assert summary.read_text(encoding="utf-8").startswith("## mtcnn-doctor: fail")


def test_one_output_that_fails_does_not_stop_the_others(doctor: Doctor, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no device that is always full")
    page = tmp_path / "r.html"
    answer = doctor("check", "--facts", BROKEN, "-o", full, "-o", page)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: --output /dev/full cannot be written: No space left on device; the others are "
        "there\n"
    )
    assert page.read_text(encoding="utf-8").endswith("</html>\n")
    assert stat.S_IMODE(page.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_html_has_nothing_in_it_but_itself() -> None:
    text = render(ReportFormat.HTML, HOSTILE, 1)
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert "<script>alert(1)</script>" in page.text
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        address = attributes.get("href") or attributes.get("src") or ""
        assert address.startswith(("data:image/", "#")) or not address, (tag, address)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    # Only our own script runs, whatever else should find its way in.
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert not re.search(r"url\(|@import", text)
    assert "\x1b" not in text
    assert "\u202e" not in text
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_junit_of_a_hostile_report_is_xml_that_its_readers_take() -> None:
    root = held_to_junit(render(ReportFormat.JUNIT, HOSTILE, 1))
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("error <script>alert(1)</script> ]]>")
    assert root.attrib["failures"] == "1"
    # What made the report incomplete is no green.
    assert root.attrib["errors"] == "1"
    assert (
        held_to_junit(render(ReportFormat.JUNIT, HOSTILE, 1, "warning")).attrib["failures"] == "2"
    )


def test_sarif_of_a_hostile_report_is_valid() -> None:
    log = json.loads(render(ReportFormat.SARIF, HOSTILE, 1))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    assert [row["level"] for row in run["results"]] == ["error", "warning", "none"]
    assert run["invocations"][0]["executionSuccessful"] is False
    other = json.loads(render(ReportFormat.SARIF, replace(HOSTILE, created="2027"), 1))
    prints = [row["partialFingerprints"] for row in run["results"]]
    assert prints == [row["partialFingerprints"] for row in other["runs"][0]["results"]]
    assert len({json.dumps(one) for one in prints}) == 3


def test_workflow_commands_are_one_line_each() -> None:
    lines = render(ReportFormat.GITHUB, HOSTILE, 1).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning", "::warning"]
    for line in lines:
        properties, _, message = line.partition(" ")[2].partition("::")
        assert re.fullmatch(r"title=[\w -]+", properties)
        assert "%25 ::" in message
        assert "%0A::error::x%0D%0A" in message


def test_metrics_of_a_hostile_report_follow_the_grammar() -> None:
    text = render(ReportFormat.PROMETHEUS, HOSTILE, 1)
    metrics = samples_of(text)
    by_name = {name: value for (name, _), value in metrics.items()}
    assert by_name["mtcnn_doctor_run_median_seconds"] == 0.0125
    assert by_name["mtcnn_doctor_report_timestamp_seconds"] == 1795219200
    assert by_name["mtcnn_doctor_complete"] == 0
    peaks = {value for (name, _), value in metrics.items() if name.endswith("peak_memory_bytes")}
    assert peaks == {12.5 * 2**20, 80 * 2**20}
    counts = {
        labels: value for (name, labels), value in metrics.items() if name.endswith("_findings")
    }
    assert [value for labels, value in counts.items() if ("severity", "error") in labels] == [1]
    parser = pytest.importorskip("prometheus_client.parser")
    families = list(parser.text_string_to_metric_families(text))
    assert sum(len(family.samples) for family in families) == len(metrics)


def test_markdown_of_a_hostile_report_breaks_nothing_and_calls_nobody() -> None:
    text = render(ReportFormat.MARKDOWN, HOSTILE, 1)
    prose, fence = [], ""
    for line in text.splitlines():
        mark = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif mark:
            fence = mark[0]
        else:
            prose.append(line)
    assert fence == ""
    said = "\n".join(prose)
    assert said.count("<details>") == said.count("</details>")
    assert len(re.findall(r"^<details><summary>", said, re.MULTILINE)) == said.count("<details>")
    # What is a tag here is one of ours; GitHub makes links of what is left of the escaped text.
    assert set(re.findall(r"(?<!\\)<[^>]*>", said)) == {
        "<details>", "</details>", "<summary>", "</summary>", "<!-- -->",
    }  # fmt: skip
    seen = re.sub(r"\\(?=[^\w\s])", "", said)
    for reference in (r"@\w", r"#\d", r"GH-\d", r"https?://", r"www\.\w", r"a1b2c3d"):
        assert not re.search(reference, seen), reference


@pytest.mark.parametrize("format", RENDERED)
def test_who_and_where_is_redacted_in_every_format(format: ReportFormat) -> None:
    home = str(Path.home())
    finding = replace(HOSTILE.findings[0], evidence={"file": f"{home}/secret-project/x.so"})
    text = render(format, replace(HOSTILE, findings=(finding,)), 1)
    assert f"{home}/secret-project" not in text


def test_lint_writes_sarif_and_junit_with_lines(doctor: Doctor, tmp_path: Path) -> None:
    code = "import cv2\nfrom mtcnn import MTCNN\nimage = cv2.imread('a.png')\n"
    (tmp_path / "work" / "a b.py").write_text(f"{code}MTCNN().detect_faces(image)\n")
    (tmp_path / "work" / "clean.py").write_text("print('no face')\n")
    answer = doctor("lint", ".", "-o", "l.sarif", "-o", "l.xml", "--fail-on", "warning")
    assert (answer.code, answer.out) == (1, "")
    work = tmp_path / "work"
    log = json.loads((work / "l.sarif").read_text(encoding="utf-8"))
    jsonschema.validate(log, SARIF)
    places = [row["locations"][0]["physicalLocation"] for row in log["runs"][0]["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"a%20b.py"}
    assert {place["region"]["startLine"] for place in places} == {3, 4}
    root = held_to_junit((work / "l.xml").read_text(encoding="utf-8"))
    suites = {suite.attrib["name"]: suite.attrib["failures"] for suite in root}
    assert suites == {"a b.py": str(len(places)), "clean.py": "0"}
    refused = doctor("lint", ".", "--format", "html")
    assert (refused.code, refused.out) == (2, "")
    assert "this command has no html; it has text, json, junit, sarif, github" in refused.err


@pytest.mark.parametrize("name", ["report", "lint", "matrix"])
def test_the_schema_can_be_had(doctor: Doctor, name: str) -> None:
    answer = doctor("schema", name)
    document = json.loads(answer.out)
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["properties"]["schema_version"] == {"const": 1}
