"""Two reports held against each other: "it works on mine"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mtcnn_doctor.history.compare import changes, faults_of, to_data
from mtcnn_doctor.history.state import state_of

SCHEMA_VERSION = 1


def diff(
    first: Mapping[str, Any], second: Mapping[str, Any], names: tuple[str, str]
) -> dict[str, Any]:
    """Return how two reports (as plain data) differ.

    Args:
        first: The report A.
        second: The report B.
        names: What they are called.

    Returns:
        ``same``, the two ``verdict`` s, ``findings`` only in one and in both, ``runs`` with the
        ratio of their medians, and ``changes`` from A to B, what can explain a fault first.
    """
    mine, theirs = _problems(first), _problems(second)
    runs = _runs(first, second)
    faults = faults_of([*first["findings"], *second["findings"]])
    for run in runs:
        if _outcome(run["a"]) != _outcome(run["b"]):
            faults.add(run["name"])
    found = changes(state_of(first), state_of(second), faults)
    if first["target"].get("python") != second["target"].get("python"):
        # Two environments lie in two places; that explains nothing.
        found = [one for one in found if one.kind != "import path" and one.name != "interpreter"]
    findings = {
        "only_a": [mine[key] for key in mine if key not in theirs],
        "only_b": [theirs[key] for key in theirs if key not in mine],
        "both": [mine[key] for key in mine if key in theirs],
    }
    same = (
        not found
        and not findings["only_a"]
        and not findings["only_b"]
        and all(_outcome(run["a"]) == _outcome(run["b"]) for run in runs)
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "same": same,
        "a": _head(first, names[0]),
        "b": _head(second, names[1]),
        "findings": findings,
        "runs": runs,
        "changes": [to_data(one) for one in found],
    }


def _head(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    target = report["target"]
    return {
        "name": name,
        "verdict": report["verdict"],
        "created": report["created"],
        "python": " ".join(
            str(target[key])
            for key in ("implementation", "version", "platform", "machine")
            if target.get(key)
        ),
    }


def _problems(report: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (one["id"], one["about"]): {key: one[key] for key in ("id", "about", "severity", "title")}
        for one in report["findings"]
        if one["severity"] in ("error", "warning")
    }


def _runs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    one, other = _by_name(first["runs"]), _by_name(second["runs"])
    rows = []
    for name in dict.fromkeys([*one, *other]):
        a, b = one.get(name), other.get(name)
        if {_outcome(a), _outcome(b)} <= {"not-installed", None}:
            continue
        medians = [run["median_ms"] if run is not None else None for run in (a, b)]
        ratio = None if None in medians or not medians[0] else medians[1] / medians[0]
        rows.append({"name": name, "a": a, "b": b, "ratio": ratio})
    return rows


def _by_name(runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        str(run["name"]): {
            "outcome": run["outcome"],
            "faces": len(run.get("detections") or ()) if run["outcome"] == "ok" else None,
            "median_ms": (run.get("timings_ms") or {}).get("median"),
        }
        for run in runs
    }


def _outcome(run: Mapping[str, Any] | None) -> str | None:
    return None if run is None else str(run["outcome"])
