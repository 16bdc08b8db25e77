"""Checks of what ``bench --repeat`` and ``bench --bisect`` found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.facts import Search
from mtcnn_doctor.model import Findings, check, error, info

from ._deaths import Runs, runs_with

_DECIDED = ("found", "likely", "interrupted")
#: Modules whose import has a finding of another name.
_FACTS = {"cv2": "opencv", "ai_edge_litert": "litert"}


@check("backend-flaky", family="runs", title="repeated processes end alike", level=2)
def backend_flaky(search: Search, runs: Runs | None = None) -> Findings:
    """Whether a backend fails in some of several fresh processes and works in others.

    ## What it checks
    `bench --repeat N` runs each backend in N fresh processes, and `--bisect` runs it several times
    before it changes anything. How many of them failed is given with the 95 % Wilson interval of
    the rate. A backend that failed in every process, the measurement included, is not flaky as far
    as is known; one that worked in the measurement and fails after it is.

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
    worked = {run["name"] for run in runs_with(runs or (), "ok")}
    for entry in searches:
        # What fails after another import alone is `import-order`.
        if entry.get("without") and (not entry.get("provoked_by") or _varies(entry["without"])):
            kept = {key: entry.get(key) for key in ("manner", "said")}
            told[entry["backend"]] = {**entry["without"], **kept}
    for name, tally in told.items():
        always = tally["failed"] == tally["runs"]
        if not tally["failed"] or (always and name not in worked):
            continue
        low, high = tally["interval"]
        searched = any(entry["backend"] == name for entry in searches)
        kinds = {fault["said"]: fault["count"] for fault in tally.get("faults") or ()}
        counted = f"failed in {tally['failed']} of {tally['runs']} fresh processes"
        evidence: dict[str, Any] = {
            "rate": f"95 % interval {100 * low:.0f} to {100 * high:.0f} %",
            "faults": [f"{said} ({count})" for said, count in kinds.items()] or tally.get("said"),
        }
        if always and tally.get("manner"):
            evidence["these ran with"] = _manner(tally["manner"])
        yield error(
            f"{name} worked in the measurement and {counted} after it"
            if always
            else f"{name} {counted}",
            about=name,
            evidence=evidence,
            effect="a program may work or fail, by its threads and by how often it calls"
            if always
            else "a program fails as often, and a test that passed proves little",
            fix="see the search below"
            if searched
            else f"search for a change that helps: mtcnn-doctor bench --backend {name} --bisect",
        )


def _varies(tally: Mapping[str, Any]) -> bool:
    return bool(0 < tally["failed"] < tally["runs"])


def _manner(manner: Mapping[str, Any]) -> str:
    lanes = f"{manner['lanes']} lane{'' if manner['lanes'] == 1 else 's'}"
    runs = manner["runs"] + manner["warmup"]
    return f"{lanes}, {runs} run{'' if runs == 1 else 's'} an image"


@check(
    "import-first-failure",
    family="runs",
    title="what --import-first names can be imported",
    level=2,
)
def import_first_failure(runs: Runs, settings: Mapping[str, Any]) -> Findings:
    """Whether a module that the user's program imports first loads in the target.

    ## What it checks
    `bench --import-first MODULE` imports it in each backend's process before the framework.

    ## Why it matters
    No backend was run: nothing is known of any. A program that imports the module ends there.

    ## How to fix it
    The last line of the error names what the module lacks. Install that, or install the module
    again.

    ## Sources
    - https://docs.python.org/3/reference/import.html
    """
    refused: dict[str, Mapping[str, Any]] = {}
    for run in runs_with(runs, "not-loadable"):
        if run.get("step") in (settings.get("import_first") or ()):
            refused.setdefault(str(run["step"]), run)
    for module, run in refused.items():
        yield error(
            f"{module}, which is to be imported first, fails to import: {run.get('reason')}",
            about=module,
            effect="a program that imports it ends there; no backend was run after it",
            fix=f"install what the last line names, or {module} again",
            requires=[f"import-failure:{_FACTS.get(module, module)}"],
        )


@check("import-order", family="runs", title="no import before it breaks a backend", level=2)
def import_order(search: Search) -> Findings:
    """Whether a backend that works by itself fails after another module was imported.

    ## What it checks
    Where a backend works, `bench --bisect` runs it once more after `import cv2`, and after the
    import of other frameworks, each in a process of its own. Runs in the very same manner without
    that import must work before it is blamed.

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
        alone = entry.get("alone")
        title = f"{entry['backend']} works alone and fails after import {before}"
        if _varies(without) and alone:
            # Rare faults may keep away from a few runs: no more is said than was counted.
            title = (
                f"{entry['backend']} failed in {alone['failed']} of {alone['runs']} runs alone and "
                f"in {without['failed']} of {without['runs']} after import {before}"
            )
        yield error(
            title,
            about=entry["backend"],
            evidence={
                "fault": entry["said"],
                "runs": f"{without['failed']} of {without['runs']} failed",
                **_alone(entry.get("alone")),
            },
            effect=f"a program that imports {before} first fails here",
            fix="see the search below for what avoids it",
        )


def _alone(tally: Mapping[str, Any] | None) -> dict[str, str]:
    return {"alone": f"{tally['failed']} of {tally['runs']} failed"} if tally else {}


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
