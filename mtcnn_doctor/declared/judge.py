"""``check --requirements``: files, a place, facts, findings, report; nothing is installed."""

from __future__ import annotations

import datetime
import platform as machine
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtcnn_doctor import registry
from mtcnn_doctor.collect.request import Request, ask_child
from mtcnn_doctor.declared.facts import facts_of
from mtcnn_doctor.declared.read import read
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.knowledge.place import PLATFORMS, Place, platform_named, platform_of
from mtcnn_doctor.model import Check, Finding, Report, Severity
from mtcnn_doctor.targets import Target

#: Checks of an installed environment that versions alone decide.
_BY_VERSIONS = frozenset(
    (
        "facenet-pins", "keras-version", "known-bad-release", "mtcnn-missing-backend",
        "mtcnn-pkg-resources", "numpy-abi", "opencv-duplicates", "protobuf-mismatch",
        "python-version", "tensorflow-version-matrix", "torch-version-matrix",
        "torchvision-mismatch",
    )
)  # fmt: skip
# What these say of a name follows from its lines excluding each other, or the place.
_REPEATED = frozenset(
    (
        "facenet-pins", "keras-version", "known-bad-release", "protobuf-mismatch",
        "python-version", "tensorflow-version-matrix", "torch-version-matrix",
        "torchvision-mismatch",
    )
)  # fmt: skip
_HERE = frozenset(("declared", "packages", "python"))
_INSTALL = re.compile(r'pip install .*?"([^"]+)"$')


@dataclass(frozen=True)
class Question:
    """Which files to judge, and for where. What is not given is the target's."""

    files: Sequence[Path]
    python_version: str | None = None
    platform: str | None = None
    extras: Sequence[str] = ()
    groups: Sequence[str] = ()


def is_about_files(check: Check) -> bool:
    """Whether a check judges requirements files, and is idle where there are none."""
    return "declared" in registry.parameters(check)[0]


def judge(
    question: Question,
    target: Target,
    checks: Sequence[Check],
    *,
    command: Sequence[str] = (),
    plugin_failures: Sequence[Finding] = (),
    timeout_s: float = 120.0,
) -> Report:
    """Judge files for a place and return the report.

    Raises:
        UsageError: a file or an option cannot be understood, or there is nothing to examine.
    """
    began = time.monotonic()
    found = read(question.files, question.extras, question.groups)
    wanted = question.python_version or found.python_wanted or None
    place = place_of(wanted, question.platform, target, timeout_s)
    facts = facts_of(found, place)
    suitable = [check for check in checks if _suits(check)]
    findings = _settled(registry.judge(suitable, facts), facts["declared"])
    name = ", ".join(facts["declared"]["files"])
    return Report(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=tuple(command),
        target={
            "python": name,
            "version": place.python,
            "implementation": "CPython",
            "platform": place.sys_platform,
            "machine": place.machine,
        },
        findings=(*findings, *plugin_failures),
        runs=(),
        facts=facts,
        incomplete=tuple(_incomplete(facts["declared"])),
        duration_s=time.monotonic() - began,
    )


def place_of(
    python_version: str | None, platform: str | None, target: Target, timeout_s: float
) -> Place:
    """Return where something is to be installed: as given, else where the target is.

    Raises:
        UsageError: a version or platform that is not understood, or a target that does not answer.
    """
    key = None
    if platform is not None:
        key = platform_named(platform)
        if key is None:
            known = ", ".join(names[0] for names in PLATFORMS.values())
            raise UsageError(f"--platform {platform} is not known; the tables know: {known}")
    match = re.fullmatch(r"(3\.\d{1,2}(?:\.\d{1,3})?)(t?)", python_version or "3.0")
    if match is None:
        raise UsageError(f"--python-version {python_version}: give one such as 3.13 or 3.12.1")
    python = {} if python_version and key else _ask(target, timeout_s)
    if key is None:
        key = platform_of(python.get("platform", ""), python.get("machine", ""))
        if key is None:
            known = ", ".join(names[0] for names in PLATFORMS.values())
            raise UsageError(
                f"the tables know nothing of {python.get('platform')} {python.get('machine')}; "
                f"give --platform, one of: {known}"
            )
    if python_version:
        return Place(match[1], key, bool(match[2]))
    return Place(str(python["version"]), key, bool(python.get("free_threaded")))


def _ask(target: Target, timeout_s: float) -> dict[str, Any]:
    if target.python == sys.executable and not target.environment:
        version = ".".join(map(str, sys.version_info[:3]))
        return {"version": version, "platform": sys.platform, "machine": machine.machine()}
    request = Request(target, (), timeout_s=timeout_s)
    ending = ask_child(request, "metadata", {"task": "facts", "probes": ["python"]})
    for message in ending.of("fact"):
        if message["name"] == "python":
            return dict(message["value"])
    raise UsageError(
        f"{target.python} did not say which Python it is; give --python-version and --platform"
    )


def _suits(check: Check) -> bool:
    needed, _ = registry.parameters(check)
    if not needed <= _HERE:
        return False
    return is_about_files(check) or check.id in _BY_VERSIONS or check.origin != "built-in"


def _settled(findings: Iterable[Finding], declared: dict[str, Any]) -> list[Finding]:
    """Return findings that name lines of files, and none that repeats what an exclusion says."""
    excluded = {
        name: "pin-no-wheel" if one["kind"] == "wheel" else "pin-conflict"
        for one in declared["exclusions"] for name in (one["name"], *one["others"])
    }  # fmt: skip
    where: dict[str, list[str]] = {}
    for line in declared["lines"]:
        if line["name"]:
            where.setdefault(line["name"], []).append(line["where"])
    unknown = {one["name"]: one["text"] for one in declared["unknown"]}
    return [
        replace(finding, severity=Severity.SKIP, title=unknown[finding.about], requires=())
        if finding.is_problem and finding.about in unknown and not finding.id.startswith("pin-")
        else _at_its_line(finding, where, declared["chosen"], excluded)
        for finding in findings
    ]


def _at_its_line(
    finding: Finding,
    where: dict[str, list[str]],
    chosen: Sequence[dict[str, Any]],
    excluded: dict[str, str],
) -> Finding:
    if finding.id.startswith("pin-") or not finding.is_problem:
        return finding
    about = finding.about.split(" ")[0]
    if about in excluded and finding.id in _REPEATED:
        return replace(finding, severity=Severity.SKIP, requires=(excluded[about],))
    evidence = dict(finding.evidence)
    brought = {
        one["name"]: one["brought_by"] for one in chosen
        if one["brought_by"] and (one["name"] == about or one["name"] in evidence)
    }  # fmt: skip
    for name, by in brought.items():
        evidence[f"{name} is brought by"] = ", ".join(by)
    lines = [
        place for name, places in where.items() for place in places
        if name == about or name in evidence
    ]  # fmt: skip
    if lines:
        evidence["declared in"] = ", ".join(dict.fromkeys(lines))
    finding = replace(
        finding,
        title=_to_be(finding.title),
        effect=_to_be(finding.effect),
        cause=_to_be(finding.cause),
    )
    remedy = finding.remedy
    if remedy is not None and remedy.commands:
        # Nothing is installed yet: what a command would install is what a line should say.
        asked = [match[1] for one in remedy.commands if (match := _INSTALL.match(one))]
        text = f"{remedy.text} As a line: {' or '.join(asked)}" if asked else remedy.text
        remedy = replace(remedy, text=text, commands=())
    return replace(finding, evidence=evidence, remedy=remedy)


def _to_be(text: str) -> str:
    """Return a text on what is installed as one on what would be: nothing is, yet."""
    text = re.sub(r"\bis installed and (\w+) is not\b", r"would be installed, and \1 not", text)
    return re.sub(r"\b(?:is|are) installed\b", "would be installed", text)


def _incomplete(declared: dict[str, Any]) -> list[str]:
    found = [one["text"] for one in declared["unknown"]]
    if declared["undecided"]:
        found.append("whether any releases meet all lines could not be decided: too many ways")
    return found
