"""What each MTCNN package does with the inputs: as is known, and tried where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtcnn_doctor.backends import Backend
from mtcnn_doctor.collect.choice import installed_version, is_present
from mtcnn_doctor.collect.each import Work, each
from mtcnn_doctor.knowledge.inputs import answered, conditions
from mtcnn_doctor.subjects import Subject, known

#: Releases that are told of where the package is not installed, so that nobody measured here.
_RELEASES = {"mtcnn": ("0.1.1", "1.0.0"), "facenet-pytorch": ("2.6.0",)}
#: Inputs that are tried on a package, and the largest of them in values: it is to be cheap.
_MOST, _LARGEST = 24, 3 * 4_000_000


def answers_of(
    work: Work, wanted: Sequence[str], given: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """Return what the packages do with each array and with what each loader makes of a file.

    A row has ``name``, ``call`` (None for an array), ``conditions``, ``subject``, ``version``,
    ``says`` (by the knowledge base, None where unknown), and where it was tried ``faces`` or
    ``error``.
    """
    facts = work.collected.facts
    inputs = _inputs(facts, given)
    packages = facts.get("packages") or {}
    modules = packages.get("modules") or {}
    rows = []
    for subject in known(packages).values():
        if subject.name not in wanted and "all" not in wanted:
            continue
        there = is_present(modules, subject.module)
        package = Backend(subject.name, subject.module, None, subject.distributions)
        version = installed_version(package, packages)
        tried = _tried(work, subject, inputs) if there else {}
        releases = [version] if there else list(_RELEASES.get(subject.name, ()))
        for at, one in enumerate(inputs):
            for release in releases:
                said = answered(one["conditions"], subject.name, release)
                row = {**one, "subject": subject.name, "version": release, "says": said}
                del row["array"]
                rows.append({**row, **tried.get(at, {})})
    return rows


def _inputs(facts: Mapping[str, Any], given: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the arrays that a package would be given, with what is wrong with each."""
    paths = {one.name: one.array for several in given.values() for one in several}
    found = [
        {
            "name": array["name"],
            "call": None,
            "conditions": conditions(array),
            "array": paths.get(array["name"]),
        }
        for array in facts["arrays"]
    ]
    for decoding in facts["decodings"]:
        array = decoding["array"]
        if array is None:
            continue
        wrong = conditions(array)
        if decoding["decoder"] == "cv2" and not wrong and not array.get("equal_channels"):
            wrong = ["bgr"]
        found.append(
            {
                "name": decoding["name"],
                "call": decoding["call"],
                "conditions": wrong,
                "array": decoding.pop("raw", None),
            }
        )
    return found


def _tried(
    work: Work, subject: Subject, inputs: Sequence[Mapping[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Give the inputs to an installed package as they are; by the number of the input."""
    orders = [
        {"index": at, "name": one["name"], "array": one["array"], "largest": _LARGEST}
        for at, one in enumerate(inputs)
        if one["array"] and not (one["call"] or "").startswith("tf.")
    ][:_MOST]
    task = {
        "task": "trials",
        "subject": subject.name,
        "module": subject.module,
        "plugin": subject.is_plugin,
    }
    answers, lost = each(work, f"package {subject.name}", task, "items", orders, "tried")
    found: dict[int, dict[str, Any]] = {at: {"error": reason} for at, reason in lost.items()}
    for at, messages in answers.items():
        message = messages[-1]
        if message.get("skipped"):
            continue
        error = message["error"]
        found[at] = {"error": _first_line(error)} if error else {"faces": message["faces"]}
    return found


def _first_line(error: Mapping[str, Any]) -> str:
    """Return what an error says first; Keras puts a list of arguments behind it."""
    lines = [line.strip() for line in str(error["message"]).splitlines() if line.strip()]
    return f"{error['type']}: {lines[0] if lines else ''}"
