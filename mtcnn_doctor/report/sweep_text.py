"""A sweep for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from mtcnn_doctor import __version__
from mtcnn_doctor.report.look import Look
from mtcnn_doctor.report.redact import Redactor

#: More faces of an image have a line of their own in JSON alone.
_MOST_FACES = 8


def render(result: Mapping[str, Any]) -> str:
    """Return the sweep as JSON text."""
    data = {"tool": {"name": "mtcnn-doctor", "version": __version__}, **Redactor().data(result)}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def is_good(result: Mapping[str, Any]) -> bool:
    """Whether every step was run to its end."""
    return result["failure"] is None and not any(
        "error" in step for image in result["images"] for step in image["steps"]
    )


def print_to(stream: IO[str], result: Mapping[str, Any]) -> None:
    """Write the sweep for people."""
    look, redact = Look.of(stream, no_color=True), Redactor()
    for line in _lines(result):
        stream.write(look.fit(redact.text(line)).rstrip() + "\n")


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    detector = result["detector"]
    yield (
        f"mtcnn-doctor {__version__} · sweep of {result['parameter']} with {detector['name']} "
        f"{detector['version'] or ''}"
    )
    for image in result["images"]:
        yield ""
        yield image["name"]
        yield from _table(result, image)
        yield from _shown(result, image)
    if result["failure"]:
        yield ""
        yield f"the sweep ended early: {result['failure']} (mtcnn-doctor check tells more)"


def _table(result: Mapping[str, Any], image: Mapping[str, Any]) -> Iterator[str]:
    head = f"{result['parameter']}{' ' + result['unit'] if result['unit'] else ''}"
    yield f"  {head:>18}{'faces':>7}{'confidence':>18}{'ms':>9}"
    steps = {step["value"]: step for step in image["steps"]}
    for index, value in enumerate(result["values"]):
        step = steps.get(value)
        if step is None:
            yield f"  {value:>18g}  not reached"
        elif "error" in step:
            yield f"  {value:>18g}  {step['error']}"
        else:
            sure = [face["confidence"][index] for face in image["faces"]]
            sure = [one for one in sure if one is not None]
            ms = "-" if step["ms"] is None else f"{step['ms']:.1f}"
            span = f"{min(sure):.4f}..{max(sure):.4f}" if sure else "-"
            yield f"  {value:>18g}{step['faces']:>7}{span:>18}{ms:>9}"


def _shown(result: Mapping[str, Any], image: Mapping[str, Any]) -> Iterator[str]:
    name = result["parameter"]
    yield f"  with rising {name}, at these values on this image:"
    yield f"    number of faces  {words(image['courses']['faces'], '{:.0f}')}"
    yield f"    time             {words(image['courses']['ms'], '{:.0f} ms')}"
    for number, face in enumerate(image["faces"][:_MOST_FACES], 1):
        x, y, width, height = face["box"]
        at = f"face {number} at {x:.0f},{y:.0f} ({width:.0f}x{height:.0f})"
        reached = len([step for step in image["steps"] if "error" not in step])
        often = "" if face["found"] == reached else f"; found at {face['found']} of {reached}"
        yield f"    confidence       {at}: {words(face['course'], '{:.4f}')}{often}"
    more = len(image["faces"]) - _MOST_FACES
    if more > 0:
        yield f"    {more} more {'face' if more == 1 else 'faces'} in --format json"


_WORDS = {
    "too-few": "too few values or runs to show a course",
    "constant": "does not change",
    "rises": "rises at every step",
    "falls": "falls at every step",
    "never-falls": "rises or stays, never falls",
    "never-rises": "falls or stays, never rises",
    "longer": "gets longer",
    "shorter": "gets shorter",
    "not-distinguishable": "no difference beyond the scatter of the runs",
}


def words(course: Mapping[str, Any], form: str) -> str:
    """Return what a course shows in words."""
    if course["kind"] != "neither":
        return _WORDS[course["kind"]]
    told = ", ".join(f"{form.format(result)} at {value:g}" for value, result in course["turn"])
    return f"not monotone: {told}"
