"""A report as JUnit XML, as Jenkins, GitLab and Azure read it: a suite a family, a case a finding.

The form is that of Jenkins' ``junit-10.xsd``, which has no standard behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree as XML

from mtcnn_doctor.lint.model import SEVERITIES, Problem, Unit
from mtcnn_doctor.model import Finding, Report, Severity
from mtcnn_doctor.registry import FAMILIES
from mtcnn_doctor.report.redact import Redactor
from mtcnn_doctor.report.words import steps

#: What XML 1.0 cannot hold at all, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report, exit_code: int, fail_on: str) -> str:
    """Return the XML; a warning is a failure where ``fail_on`` says so, else its case's output."""
    clean = Redactor().report(report)
    suites = [_suite(family, list(found), clean, fail_on) for family, found in _families(clean)]
    if clean.incomplete:
        suites.append(_incomplete(clean))
    return _document(suites, clean.duration_s)


def render_lint(
    units: Sequence[Unit],
    found: Sequence[tuple[Unit, Problem]],
    failed: Mapping[str, str],
    fail_on: str,
) -> str:
    """Return what ``lint`` found: a suite a file, a case a problem, one that passes for no problem.

    Args:
        units: What was linted.
        found: The problems, each with where it is.
        failed: Why files could not be linted, by their paths.
        fail_on: Lowest severity that is a failure: error, warning or info.
    """
    suites, redactor = [], Redactor()
    for unit in units:
        own = [problem for of, problem in found if of is unit]
        cases = [_problem(unit, problem, fail_on, redactor) for problem in own]
        if not cases:
            cases = [XML.Element("testcase", {"classname": "mtcnn_doctor.lint", "name": "lint"})]
        suites.append(_filled(redactor.text(unit.path), cases))
    for path, reason in failed.items():
        case = XML.Element("testcase", {"classname": "mtcnn_doctor.lint", "name": "lint"})
        message = _legal(redactor.text(reason))
        XML.SubElement(case, "error", {"type": "not-linted", "message": message})
        suites.append(_filled(redactor.text(path), [case]))
    return _document(suites)


def _problem(unit: Unit, problem: Problem, fail_on: str, redactor: Redactor) -> XML.Element:
    place = redactor.text(unit.place(problem.line))
    case = XML.Element("testcase", {"classname": "mtcnn_doctor.lint"})
    case.set("name", _legal(f"{problem.rule} ({place})"))
    told = redactor.text(
        "\n".join([place, problem.message, *([f"fix: {problem.fix}"] if problem.fix else [])])
    )
    if SEVERITIES.index(problem.severity) <= SEVERITIES.index(fail_on):
        failure = XML.SubElement(case, "failure", {"type": problem.severity})
        failure.set("message", _legal(redactor.text(problem.message)))
        failure.text = _legal(told)
    else:
        XML.SubElement(case, "system-out").text = _legal(f"{problem.severity}: {told}")
    return case


def _document(suites: list[XML.Element], duration_s: float | None = None) -> str:
    root = XML.Element("testsuites", _summed(suites, name="mtcnn-doctor"))
    if duration_s is not None:
        root.set("time", f"{duration_s:.3f}")
    root.extend(suites)
    XML.indent(root)
    text = XML.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _families(report: Report) -> Iterator[tuple[str, list[Finding]]]:
    names = [*FAMILIES, *sorted({f.family for f in report.findings} - set(FAMILIES))]
    for name in names:
        found = [finding for finding in report.findings if finding.family == name]
        if found:
            yield name, found


def _suite(family: str, found: list[Finding], report: Report, fail_on: str) -> XML.Element:
    cases = [_case(finding, fail_on) for finding in found]
    suite = XML.Element("testsuite", _counts(family, cases))
    suite.set("timestamp", report.created[:19])
    properties = XML.SubElement(suite, "properties")
    for key, value in report.target.items():
        XML.SubElement(properties, "property", {"name": _legal(key), "value": _legal(str(value))})
    suite.extend(cases)
    return suite


def _case(finding: Finding, fail_on: str) -> XML.Element:
    # A case of one name in one suite: the id, and what it is about.
    name = f"{finding.id} ({finding.about})" if finding.about else finding.id
    case = XML.Element("testcase", {"classname": f"mtcnn_doctor.{_legal(finding.family)}"})
    case.set("name", _legal(name))
    failing = finding.severity.rank <= Severity(fail_on).rank
    if failing:
        failure = XML.SubElement(case, "failure", {"type": finding.severity.value})
        failure.set("message", _legal(finding.title))
        failure.text = _legal(_told(finding))
    elif finding.severity is Severity.SKIP:
        XML.SubElement(case, "skipped", {"message": _legal(finding.title)})
    elif finding.severity is not Severity.PASS:
        told = f"{finding.severity.value}: {finding.title}\n{_told(finding)}"
        XML.SubElement(case, "system-out").text = _legal(told)
    return case


def _told(finding: Finding) -> str:
    lines = []
    for key, value in finding.evidence.items():
        items = value if isinstance(value, (list, tuple)) else [value]
        lines += [f"{key}: {item}" for item in items]
    lines += [
        f"{key}: {text}" for key, text in (("effect", finding.effect), ("cause", finding.cause))
        if text
    ]  # fmt: skip
    if finding.remedy is not None:
        lines.append(f"fix: {finding.remedy.text}")
        lines += [f"    {line}" for line in steps(finding.remedy)]
    return "\n".join(lines)


def _incomplete(report: Report) -> XML.Element:
    cases = []
    for number, reason in enumerate(report.incomplete, 1):
        case = XML.Element("testcase", {"classname": "mtcnn_doctor.doctor"})
        case.set("name", f"complete ({number})")
        XML.SubElement(case, "error", {"type": "incomplete", "message": _legal(reason)})
        cases.append(case)
    return _filled("the report is complete", cases)


def _filled(name: str, cases: list[XML.Element]) -> XML.Element:
    suite = XML.Element("testsuite", _counts(name, cases))
    suite.extend(cases)
    return suite


def _counts(name: str, cases: list[XML.Element]) -> dict[str, str]:
    def having(tag: str) -> str:
        return str(sum(case.find(tag) is not None for case in cases))

    return {
        "name": _legal(name),
        "tests": str(len(cases)),
        "failures": having("failure"),
        "errors": having("error"),
        "skipped": having("skipped"),
    }


def _summed(suites: list[XML.Element], name: str) -> dict[str, str]:
    keys = ("tests", "failures", "errors")
    return {"name": name, **{key: str(sum(int(s.get(key, 0)) for s in suites)) for key in keys}}


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
