"""Checks of what ``bench --repeat`` and ``bench --bisect`` found."""

from __future__ import annotations

from mtcnn_doctor.facts import Search
from mtcnn_doctor.model import Findings, check, error, info

_DECIDED = ("found", "likely", "interrupted")


@check("backend-flaky", family="runs", title="repeated processes end alike", level=2)
def backend_flaky(search: Search) -> Findings:
    """Whether a backend fails in some of several fresh processes.

    ## What it checks
    `bench --repeat N` runs each backend in N fresh processes, and `--bisect` runs it several times
    before it changes anything. How many of them failed is given with the 95 % Wilson interval of
    the rate.

    ## Why it matters
    A fault that strikes now and then passes every quick test. It points at a race between threads,
    at memory that is used after it was freed, or at something outside that comes and goes.

    ## How to fix it
    `mtcnn-doctor bench --backend NAME --bisect` searches for a change that makes it disappear, with
    as many runs as its rate asks for.

    ## Sources
    - Wilson: Probable inference, the law of succession, and statistical inference, Journal of the
      American Statistical Association 22, 1927
    """
    told = {entry["backend"]: entry for entry in search.get("repeats") or ()}
    searches = search.get("backends") or ()
    for entry in searches:
        without = entry.get("without")
        if without and without["failed"] < without["runs"] and without["failed"]:
            told[entry["backend"]] = without
    for name, tally in told.items():
        if not tally["failed"]:
            continue
        low, high = tally["interval"]
        searched = any(entry["backend"] == name for entry in searches)
        kinds = {fault["said"]: fault["count"] for fault in tally.get("faults") or ()}
        yield error(
            f"{name} failed in {tally['failed']} of {tally['runs']} fresh processes",
            about=name,
            evidence={
                "rate": f"95 % interval {100 * low:.0f} to {100 * high:.0f} %",
                "faults": [f"{said} ({count})" for said, count in kinds.items()],
            },
            effect="a program fails as often, and a test that passed proves little",
            fix="see the search below"
            if searched
            else f"search for a change that helps: mtcnn-doctor bench --backend {name} --bisect",
        )


@check("import-order", family="runs", title="no import before it breaks a backend", level=2)
def import_order(search: Search) -> Findings:
    """Whether a backend that works by itself fails after another module was imported.

    ## What it checks
    Where a backend works, `bench --bisect` runs it once more after `import cv2`, and after the
    import of other frameworks, each in a process of its own.

    ## Why it matters
    Programs import several of them, and the order of two lines then decides whether they crash.

    ## How to fix it
    Import the framework first, or do without the other module in that process.

    ## Sources
    - https://docs.python.org/3/reference/import.html
    """
    for entry in search.get("backends") or ():
        if not entry.get("provoked_by") or not entry["without"]["failed"]:
            continue
        before = ", ".join(entry["imported_before"])
        without = entry["without"]
        yield error(
            f"{entry['backend']} works alone and fails after import {before}",
            about=entry["backend"],
            evidence={
                "fault": entry["said"],
                "runs": f"{without['failed']} of {without['runs']} failed",
            },
            effect=f"a program that imports {before} first fails here",
            fix="see the search below for what avoids it",
        )


@check("mitigation-found", family="runs", title="a search was made for what helps", level=2)
def mitigation_found(search: Search) -> Findings:
    """Whether a change was found that makes a fault disappear.

    ## What it checks
    `bench --bisect` tries changes of settings and environment, each in fresh processes, and holds
    the runs with a change against those without. A change counts as proven when chance would give
    so uneven a result in fewer than one of twenty searches (Fisher's exact test, divided by the
    number of attempts).

    ## Why it matters
    It lets work go on, and says where to look for the cause.

    ## How to fix it
    The line of code, or the variable, stands with the change. A makeshift is named as such.

    ## Sources
    - Fisher: The Design of Experiments, 1935
    - The changes: `mtcnn_doctor/knowledge/mitigations.toml`
    """
    for entry in search.get("backends") or ():
        answer = entry.get("answer")
        if not answer or entry["verdict"] not in _DECIDED:
            continue
        what = " and ".join(change["title"] for change in answer["changes"])
        without = entry["without"]
        sure = "makes" if answer["confirmed"] else "may make"
        yield info(
            f"{what} {sure} the fault of {entry['backend']} disappear: "
            f"{answer['failed']} of {answer['runs']} runs failed with it, "
            f"{without['failed']} of {without['runs']} without",
            about=entry["backend"],
            fix=" ".join(change["remedy"] for change in answer["changes"]),
        )
