"""From findings to a plan: which remedies, in which order, as which commands. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mtcnn_doctor.investigate.fix_choice import (
    Choice,
    Installed,
    Way,
    broken_by,
    choose,
    ranges_of,
)
from mtcnn_doctor.investigate.fix_commands import Change, named, read
from mtcnn_doctor.investigate.fix_place import Place
from mtcnn_doctor.knowledge.resolve import possible
from mtcnn_doctor.model import Finding, Severity

AUTOMATIC, MANUAL = "automatic", "manual"
#: All of them own the folder cv2.
_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless",
           "opencv-contrib-python-headless")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One thing to do.

    ``findings`` are those it answers ("id:about"), ``expected`` all that should be gone after it,
    their consequences included. An automatic step has ``commands`` (words, for the installer); a
    manual one only ``shown``, as the finding has them, and ``reason`` says why it is manual.
    """

    number: int
    kind: str
    findings: tuple[str, ...]
    text: str
    commands: tuple[tuple[str, ...], ...] = ()
    shown: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    reversible: bool = True
    expected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be done about the findings of one examination."""

    place: Place
    steps: tuple[Step, ...]
    problems: int = 0
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def automatic(self) -> tuple[Step, ...]:
        """The steps that can be carried out."""
        return tuple(step for step in self.steps if step.kind == AUTOMATIC)

    def to_data(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {
            "environment": {
                "python": self.place.python,
                "kind": self.place.kind,
                "installer": self.place.installer,
                "refused": self.place.refusal or None,
                "remarks": list(self.place.remarks),
            },
            "problems": self.problems,
            "steps": [
                {
                    "number": step.number,
                    "kind": step.kind,
                    "findings": [
                        {"name": name, "title": self.titles.get(name, "")} for name in step.findings
                    ],
                    "text": step.text,
                    "commands": [list(one) for one in step.commands],
                    "shown": list(step.shown),
                    "reason": step.reason,
                    "notes": list(step.notes),
                    "reversible": step.reversible,
                    "expected": list(step.expected),
                    "verified": None,
                }
                for step in self.steps
            ],
        }


def name_of(finding: Finding) -> str:
    """Return what a finding is called in a plan."""
    return f"{finding.id}:{finding.about}" if finding.about else finding.id


def plan(
    findings: Sequence[Finding],
    facts: Mapping[str, Any],
    place: Place,
    selected: frozenset[str] | None = None,
    lost: frozenset[str] = frozenset(),
) -> Plan:
    """Return the plan for findings, which are in the order of what is best mended first.

    Args:
        findings: As judged, consequences as skips that name their causes.
        facts: Of the same examination.
        place: Where installing would be done.
        selected: Ids to mend; all where None.
        lost: Distributions that could not be brought back once they are gone.
    """
    problems = [
        finding
        for finding in findings
        if finding.is_problem and (selected is None or finding.id in selected)
    ]
    installed = Installed(facts)
    special = {
        name_of(one): repair
        for one in problems
        if one.id == "opencv-duplicates" and (repair := _one_opencv(installed)) is not None
    }
    offers = [_ways(one, place.python, special) for one in problems]
    choice = choose(offers, installed)
    ranges = ranges_of(choice.ways)
    rank = {name_of(finding): number for number, finding in enumerate(problems)}
    drafts = _merged(choice, installed, place)
    for name, repair in special.items():
        drafts.append(_replaced_opencv(name, repair, ranges, installed, place))
    if place.refusal:
        drafts = [_refused(step, place) for step in drafts]
    answered = {name for step in drafts for name in step.findings}
    drafts += [_by_hand(one, choice) for one in problems if name_of(one) not in answered]
    drafts.sort(key=lambda step: min(rank.get(name, 0) for name in step.findings))
    texts = {name_of(finding): finding for finding in problems}
    return Plan(
        place,
        tuple(
            replace(
                step,
                number=number,
                text=step.text or _text(step, texts),
                reversible=step.reversible and not lost & _named_in(step),
                expected=_expected(step, findings),
            )
            for number, step in enumerate(drafts, start=1)
        ),
        problems=len(problems),
        titles={name: finding.title for name, finding in texts.items()},
    )


def _ways(finding: Finding, python: str, special: Mapping[str, OneOpenCV]) -> list[Way]:
    """Return the ways out of a finding that are only installations; none where a person must."""
    name = name_of(finding)
    if finding.remedy is None or name in special:
        return []
    changes = [read(command, python) for command in finding.remedy.commands]
    for repair in special.values():
        # What is about to be uninstalled is not to be installed anew by another remedy.
        changes = [change and _renamed(change, repair) for change in changes]
    if finding.remedy.alternatives:
        return [Way(name, (change,)) for change in changes if change is not None]
    known = tuple(change for change in changes if change is not None)
    # Half of a remedy is none.
    return [Way(name, known)] if known and len(known) == len(changes) else []


def _merged(choice: Choice, installed: Installed, place: Place) -> list[Step]:
    """Make one command of all that one command can do."""
    ranges = ranges_of(choice.ways)
    groups: dict[tuple[str, bool, bool], list[tuple[Way, Change]]] = {}
    for way in choice.ways:
        for change in way.changes:
            groups.setdefault((change.index, change.again, change.alone), []).append((way, change))
    steps = []
    for (index, again, alone), members in groups.items():
        names = dict.fromkeys(name for _, change in members for name in sorted(change.names))
        wanted = [_joint(name, members, ranges) for name in names]
        notes: list[str] = []
        if not alone:
            kept = _kept(names, ranges, installed)
            notes += [
                f"{one.name} is named so that it keeps what it requires"
                if one.specifier
                else f"{one.name} requires what is about to change, and may be replaced as well"
                for one in kept
            ]
            wanted += kept
        change = Change(tuple(wanted), any(one.upgrade for _, one in members), again, alone, index)
        answered = tuple(dict.fromkeys(way.name for way, _ in members))
        steps.append(Step(0, AUTOMATIC, answered, "", (place.install(change),), notes=tuple(notes)))
    return steps


def _joint(
    name: str, members: Sequence[tuple[Way, Change]], ranges: Mapping[str, str]
) -> Requirement:
    """Return the requirement on one distribution that all remedies agree on."""
    extras = {
        extra
        for _, change in members
        for one in change.requirements
        if canonicalize_name(one.name) == name
        for extra in one.extras
    }
    joint = Requirement(name)
    joint.extras = extras
    joint.specifier = SpecifierSet(ranges[name])
    return joint


def _kept(
    names: Iterable[str], ranges: Mapping[str, str], installed: Installed
) -> list[Requirement]:
    """Return those that require what is changed, so that the installer heeds them as well.

    An installer looks at what it is told to install, and not at what else is there. One whose
    requirements are not met anyway (it was installed without them on purpose) stays out.
    """
    found: dict[str, Requirement] = {}
    for name in names:
        broken = broken_by(name, ranges[name], ranges, installed)
        for dependant, wanted in installed.asks.get(name, ()):
            if dependant in ranges or dependant in found:
                continue
            if dependant in broken:
                found[dependant] = Requirement(dependant)
            elif possible(",".join(filter(None, (ranges[name], wanted)))) and _is_sound(
                dependant, ranges, installed
            ):
                pin = named(f"{dependant}=={installed.version(dependant)}")
                if pin is not None:
                    found[dependant] = pin
    return [found[key] for key in sorted(found)]


def _is_sound(key: str, ranges: Mapping[str, str], installed: Installed) -> bool:
    """Whether the requirements of a distribution are met, but for those about to be mended."""
    row = installed.rows[key]
    if row.get("editable"):
        return False  # what is worked on is not to be installed from an index
    return all(
        name in ranges or installed.meets(name, wanted)
        for name, asking in installed.asks.items()
        for dependant, wanted in asking
        if dependant == key
    )


@dataclass(frozen=True)
class OneOpenCV:
    """Which OpenCV distribution stays of all that are installed."""

    stays: str
    present: tuple[str, ...]


def _one_opencv(installed: Installed) -> OneOpenCV | None:
    """Return what is to be done about several: the one that most packages ask for stays.

    Without any that asks, it is the headless one. None where its release cannot be named.
    """
    present = tuple(key for key in _OPENCV if key in installed.rows)
    order = sorted(
        present,
        key=lambda key: (
            -len(installed.asks.get(key, ())),
            "headless" not in key,
            "contrib" in key,
        ),
    )
    if len(order) < 2 or named(f"{order[0]}=={installed.version(order[0])}") is None:
        return None
    return OneOpenCV(order[0], present)


def _renamed(change: Change, repair: OneOpenCV) -> Change:
    def one(requirement: Requirement) -> Requirement:
        if canonicalize_name(requirement.name) not in repair.present:
            return requirement
        return Requirement(f"{repair.stays}{requirement.specifier}")

    return replace(change, requirements=tuple(one(each) for each in change.requirements))


def _replaced_opencv(
    name: str,
    repair: OneOpenCV,
    ranges: Mapping[str, str],
    installed: Installed,
    place: Place,
) -> Step:
    stays = repair.stays
    release = ranges.get(stays) or f"=={installed.version(stays)}"
    notes = [
        f"{key} is required by {', '.join(sorted({one for one, _ in installed.asks[key]}))},"
        f" which will find cv2 in {stays}"
        for key in repair.present
        if key != stays and key in installed.asks
    ]
    if stays not in ranges:
        notes.insert(0, f"{stays} keeps its release")
    return Step(
        0,
        AUTOMATIC,
        (name,),
        f"Uninstall {' and '.join(repair.present)}, then install {stays} alone.",
        (
            place.uninstall(list(repair.present)),
            place.install(Change((Requirement(f"{stays}{release}"),), alone=True)),
        ),
        notes=tuple(notes),
    )


def _named_in(step: Step) -> set[str]:
    """Return the distributions that the commands of a step name."""
    words = [named(word) for command in step.commands for word in command]
    return {canonicalize_name(word.name) for word in words if word is not None}


def _refused(step: Step, place: Place) -> Step:
    return replace(
        step,
        kind=MANUAL,
        reason=place.refusal,
        commands=(),
        shown=tuple(shown(command) for command in step.commands),
    )


def _by_hand(finding: Finding, choice: Choice) -> Step:
    remedy = finding.remedy
    name = name_of(finding)
    if name in choice.refused:
        reason = f"contradicts another remedy: {choice.refused[name]}"
    elif remedy is None:
        reason = "no remedy is known"
    elif remedy.commands:
        reason = "more than an installation into this environment"
    else:
        reason = "no command does it"
    return Step(
        0,
        MANUAL,
        (name,),
        remedy.text if remedy else "",
        shown=remedy.commands if remedy else (),
        reason=reason,
        reversible=False,
    )


def _text(step: Step, findings: Mapping[str, Finding]) -> str:
    texts = [findings[name].remedy.text for name in step.findings if findings[name].remedy]  # type: ignore[union-attr]
    return "\n".join(dict.fromkeys(texts))


def _expected(step: Step, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return what should be gone: the findings answered, and what they explain."""
    gone = list(step.findings)
    ids = set(gone) | {name.partition(":")[0] for name in gone}
    gone += [
        name_of(finding)
        for finding in findings
        if finding.severity is Severity.SKIP and set(finding.requires) & ids
    ]
    return tuple(dict.fromkeys(gone))


def shown(command: Sequence[str]) -> str:
    """Return a command as a shell takes it."""
    import shlex

    return shlex.join(command)
