"""What repeating and searching found, as titles with labelled lines: pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Entries = list[tuple[str, str]]
#: Attempts that are named one by one; the rest is counted.
_MOST = 4


def sections(search: Mapping[str, Any]) -> Iterator[tuple[str, Entries]]:
    """Yield the title and the lines of each part."""
    for repeat in search["repeats"]:
        yield _repeat(repeat)
    for entry in search["backends"]:
        yield _entry(entry, search)
    if search["interrupted"]:
        yield "interrupted: this is what was known by then", []


def rate(tally: Mapping[str, Any]) -> str:
    """Return a tally in words: "3 of 10 runs failed (95 % interval 11 to 60 %)"."""
    low, high = tally["interval"]
    return (
        f"{tally['failed']} of {tally['runs']} runs failed "
        f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    )


def _repeat(repeat: Mapping[str, Any]) -> tuple[str, Entries]:
    entries = [("fresh processes", rate(repeat))]
    if repeat["runs"] and repeat["failed"] == repeat["runs"]:
        entries.append(("", "always so far; only more runs would tell whether it ever works"))
    if repeat["runs"] < repeat["asked"]:
        entries.append(("", f"{repeat['asked']} were asked for"))
    entries += [("fault", f"{fault['said']}, {fault['count']} times") for fault in repeat["faults"]]
    return f"repeated: {repeat['backend']}", entries


def _entry(entry: Mapping[str, Any], search: Mapping[str, Any]) -> tuple[str, Entries]:
    title = f"search: {entry['backend']}"
    if entry["verdict"] == "no-fault":
        tried = ", ".join(name.replace("after-", "") for name in entry["provocations"])
        said = "it works: there is no fault to search for"
        if tried:
            said += f"; it works after an import of {tried}, too"
        return title, [("", said)]
    if entry["verdict"] == "not-searched":
        said = f"{entry['said']}: what it lacks is named above; a search is for faults after that"
        return title, [("", said)]
    entries: Entries = []
    if entry["said"]:
        entries.append(("fault", entry["said"]))
    if entry["imported_before"]:
        before = ", ".join(entry["imported_before"])
        alone = entry.get("alone")
        own = f" (alone {alone['failed']} of {alone['runs']} runs failed)" if alone else ""
        entries.append(("imported before", before + own))
    entries += [("without change", rate(entry["without"])), *_verdict(entry, search)]
    entries += _attempts(entry)
    return title, entries


def _verdict(entry: Mapping[str, Any], search: Mapping[str, Any]) -> Entries:
    answer = entry["answer"]
    if answer is not None:
        return _answer(answer, entry["verdict"])
    tried, untried = len(entry["tried"]), len(entry["untried"])
    left = f"; not tried: {', '.join(entry['untried'])}" if untried else ""
    said = {
        "not-found": f"none of {tried} attempts made it disappear",
        "budget-spent": f"none found in the {search['budget_s']:g} s of --budget{left}",
        "interrupted": f"none found until the interruption{left}",
        "not-reproduced": "the fault did not come back, so nothing can be said of changes; "
        "more runs (--repeat N) may show it",
    }
    entries = [("cure", said[entry["verdict"]])]
    if entry["verdict"] == "not-found":
        tool = 'mtcnn-doctor matrix "PACKAGE>=OLD&<=NEW" --bisect PACKAGE'
        entries.append(("next", f"another release of a package may: {tool}"))
    return entries


def _answer(answer: Mapping[str, Any], verdict: str) -> Entries:
    changes = answer["changes"]
    heading = "cure" if answer["confirmed"] else "likely cure"
    entries: Entries = [(heading, " and ".join(change["title"] for change in changes))]
    runs = f"{answer['failed']} of {answer['runs']} runs failed"
    if answer["confirmed"]:
        runs += f" (by chance: p = {answer['chance']:.2g})"
    entries.append(("with it", runs))
    if not answer["confirmed"]:
        said = "these runs cannot rule out chance"
        if verdict != "interrupted":
            said += "; a larger --budget would tell"
        entries.append(("", said))
    if not answer["checked"]:
        entries.append(("", "whether its faces are right could not be checked"))
    for change in changes:
        entries.append(("do", change["remedy"]))
        if change["code"]:
            entries.append(("", change["code"]))
        entries.append(("cost", change["price"]))
        entries.append(("why", change["why"]))
    return entries


def _attempts(entry: Mapping[str, Any]) -> Entries:
    """Return what else was tried: changes of the fault by name, the rest as a count."""
    entries: Entries = []
    other = [one for one in entry["tried"] if one["verdict"] == "changes-the-fault"]
    single = [one for one in other if len(one["changes"]) <= 2]
    for one in single[:_MOST]:
        entries.append(("changes the fault", f"{' and '.join(one['changes'])}: {one['said']}"))
    if len(other) > len(single[:_MOST]):
        entries.append(("", f"{len(other) - len(single[:_MOST])} more of these"))
    same = [one for one in entry["tried"] if one["verdict"] == "same-fault"]
    if same:
        entries.append(("no help", f"{len(same)} of {len(entry['tried'])} attempts"))
    unseen = [" and ".join(one["changes"]) for one in entry["tried"] if _unseen(one)]
    if unseen:
        named = ", ".join(unseen[:_MOST]) + (" and more" if len(unseen) > _MOST else "")
        entries.append(("proves nothing", f"{named}: the faces of these runs cannot be checked"))
    return entries


def _unseen(attempt: Mapping[str, Any]) -> bool:
    return bool(attempt["verdict"] == "not-judged")
