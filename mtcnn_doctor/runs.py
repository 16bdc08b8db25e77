"""From what was heard of a child to a run of the report: the outcome, its place, its numbers."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from mtcnn_doctor import agreement
from mtcnn_doctor.backends import Backend
from mtcnn_doctor.gallery import Picture
from mtcnn_doctor.model import Exhibit, Outcome, Run
from mtcnn_doctor.sandbox import Ending
from mtcnn_doctor.sandbox.certificate import MEANINGS, killed_for_memory, says_out_of_memory

_STDERR_TAIL = 4000
#: As in ``target/tasks/stages.py``, which cannot be imported from here.
_SEVERAL = "several:"
_NETWORKS = ("pnet", "rnet", "onet")


#: Holds the result of an image to the faces expected on it (see ``agreement.compare``).
Compare = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], dict[str, Any]]


def run_of(
    ending: Ending,
    backend: Backend,
    pictures: Sequence[Picture],
    tolerance: Mapping[str, float] | None = None,
    given: Sequence[str] = (),
    installed: str | None = None,
    device: str = "cpu",
    load: Mapping[str, Any] | None = None,
    kind: str = "backend",
    compare: Compare | None = None,
) -> Run:
    """Return the run that an ending amounts to.

    Args:
        ending: What was heard of the child of task ``reference``.
        backend: The backend that was ordered.
        pictures: The images that were ordered, with the faces expected on them.
        tolerance: How far the backend may be from the expected faces.
        given: Names of the images that were decoded for it.
        installed: Its version by its metadata, for the case that it never said its own.
        device: Device that was ordered.
        load: What the machine did besides, if it was watched.
        kind: "backend" or "subject".
        compare: Holds an image's result to its expected faces, where ``tolerance`` does not.
    """
    outcome, reason, place, error = _judge_ending(ending)
    results = ending.of("result")
    limits = tolerance or {}
    held = compare or (lambda result, faces: _held(faces, result, limits))
    agreed = _agreement(results, pictures, held)
    unseen = set(given) - {result["image"] for result in results}
    if outcome is Outcome.OK and (unseen or not results):
        # It did all it was told to, and that was not all: no evidence, so no green.
        which = ", ".join(sorted(unseen)) or "any image"
        outcome, reason, place = Outcome.ERROR, f"it was not run on {which}", ("decode", None)
    if outcome is Outcome.OK:
        wrong = _wrong_because(results, agreed)
        if wrong is not None:
            outcome, reason, place = Outcome.WRONG_RESULT, *wrong
    told = [m["value"] for m in ending.of("loaded") if m["name"] == backend.fact]
    failed = outcome not in (Outcome.OK, Outcome.WRONG_RESULT)
    frames = (error or {}).get("traceback") or ending.python_frames
    return Run(
        name=backend.name,
        kind=kind,
        outcome=outcome,
        version=(told[-1].get("version") if told else None) or installed,
        device=device,
        # A child that hung was killed by the doctor, which says nothing about the child.
        exit_code=None if outcome is Outcome.TIMEOUT else ending.exit_code,
        signal=None if outcome is Outcome.TIMEOUT else ending.signal,
        stage=place[0],
        step=place[1],
        reason=reason,
        python_traceback=tuple(frames) if failed else (),
        python_threads=ending.python_threads if failed else (),
        native_libraries=ending.native_libraries,
        stderr_tail=ending.stderr[-_STDERR_TAIL:] if failed else "",
        error={k: v for k, v in error.items() if k != "traceback"} if error else None,
        memory=ending.memory,
        timings_ms=timings(ending),
        peak_rss_mb=round(ending.peak_rss_mb, 1) if ending.peak_rss_mb else None,
        images=tuple(_image(result) for result in results),
        detections=tuple(
            {"image": result["image"], **face}
            for result in results
            for face in result["detections"]
        ),
        agreement=agreed,
        measurement=_measurement(ending, load or {}),
        exhibit=Exhibit(ending.fault, ending.stderr, ending.stdout, ending.process_map),
    )


def _measurement(ending: Ending, load: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a measurement needs beyond the times: lanes, memory over time, the load."""
    built = ending.last("built") or {}
    results = ending.of("result")
    held = [result for result in results if result["rss_last_mb"] is not None]
    repeated = [r for r in held if len(r["samples_ms"]) - r["warmup"] > 1]
    ready = built.get("rss_mb")
    device = ending.last("device-memory")
    return {
        "lanes": built.get("lanes"),
        "memory": {
            "ready_mb": _rounded(ready),
            "steady_mb": _rounded(held[-1]["rss_last_mb"]) if held else None,
            "above_ready_mb": (
                _rounded(ending.peak_rss_mb - ready)
                if ready is not None and ending.peak_rss_mb and results
                else None
            ),
            # Between the first and the last counted run of the same image: another image is
            # another size.
            "growth_mb": _rounded(
                max((r["rss_last_mb"] - r["rss_first_mb"] for r in repeated), default=None)
            ),
            "device_mb": device["mb"] if device else None,
            "device_source": device["source"] if device else None,
        },
        "load": dict(load),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _image(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of one image: its size, work, and every sample (milliseconds)."""
    kept = ("image", "width", "height", "levels", "candidates", "warmup", "samples_ms", "stages_ms")
    return {**{key: result[key] for key in kept}, "faces": len(result["detections"])}


_Place = tuple[str | None, str | None]


def _judge_ending(
    ending: Ending,
) -> tuple[Outcome, str | None, _Place, Mapping[str, Any] | None]:
    """Return outcome, reason in one sentence, place, and the Python exception if there was one."""
    place = _place_of(ending)
    if ending.timed_out is not None:
        return (
            Outcome.TIMEOUT,
            f"phase '{ending.timed_out}' had not ended after its limit of {ending.limit_s:g} s",
            place,
            None,
        )
    # A Python exception was told; what the process did afterwards is of no interest.
    refused, failed = ending.last("not-loadable"), ending.last("failed")
    if refused is not None:
        outcome = Outcome.OUT_OF_MEMORY if refused["out_of_memory"] else Outcome.NOT_LOADABLE
        error = refused["error"]
        return outcome, error["last_line"], ("import", refused["module"]), error
    if failed is not None:
        outcome = Outcome.OUT_OF_MEMORY if failed["out_of_memory"] else Outcome.ERROR
        error = failed["error"]
        return outcome, error["last_line"], (failed["stage"], failed["step"] or None), error
    if ending.completed and ending.returncode == 0:
        return Outcome.OK, None, (None, None), None
    return (*_judge_death(ending), place, None)


def _place_of(ending: Ending) -> _Place:
    """Return where a child was at its end; with lanes, where the thread was that died.

    Several threads write their places into one breadcrumb (``target/tasks/stages.py``). The fault
    handler names the thread that died by its number; where it does not (a hang, a kill), a call of
    a network is named before the work in between, and the others stand beside it.
    """
    stage, step = ending.stage, ending.step
    if step is None or not step.startswith(_SEVERAL):
        return stage, step
    try:
        places = [(thread, at, what) for thread, at, what in json.loads(step[len(_SEVERAL) :])]
    except ValueError:
        return stage, None  # cut off: more threads than the breadcrumb has room for
    died = re.search(r"^Current thread (0x[0-9a-f]+)", ending.fault, re.MULTILINE)
    number = int(died[1], 16) if died else None
    places.sort(key=lambda place: (int(place[0], 16) == number, place[1] in _NETWORKS))
    *others, (_, stage, step) = places
    beside = ", ".join(f"{at} {what}".strip() for _, at, what in others)
    return stage, f"{step}; beside it: {beside}"


def _judge_death(ending: Ending) -> tuple[Outcome, str]:
    if ending.signal is None:
        if ending.returncode == 0:
            return Outcome.CRASH, "the process ended early with exit code 0 and gave no answer"
        return Outcome.CRASH, f"the process ended early with exit code {ending.exit_code}"
    if ending.signal == "SIGKILL":
        evidence = killed_for_memory(ending.memory)
        if evidence is not None:
            return Outcome.OUT_OF_MEMORY, f"killed by the out-of-memory killer: {evidence}"
        return (
            Outcome.CRASH,
            "killed from outside (SIGKILL); no sign that memory was the reason was found",
        )
    said = says_out_of_memory(ending.stderr) if ending.signal == "SIGABRT" else None
    if said is not None:
        return Outcome.OUT_OF_MEMORY, f"aborted for want of memory: {said}"
    return Outcome.CRASH, MEANINGS.get(ending.signal, f"died of {ending.signal}")


def _held(
    faces: Sequence[Mapping[str, Any]], result: Mapping[str, Any], tolerance: Mapping[str, float]
) -> dict[str, Any]:
    return agreement.compare(faces, result["detections"], tolerance)


def _agreement(
    results: Sequence[Mapping[str, Any]],
    pictures: Sequence[Picture],
    compare: Compare,
) -> dict[str, Any] | None:
    expected = {picture.name: picture.faces for picture in pictures}
    parts = []
    for result in results:
        faces = expected.get(result["image"])
        if faces is not None:
            parts.append({"image": result["image"], **compare(result, faces)})
    if not parts:
        return None
    wrong = [part for part in parts if not part["agrees"]]
    return {**agreement.combine(parts), "images": len(parts), "disagreeing": wrong}


def _wrong_because(
    results: Sequence[Mapping[str, Any]], agreed: Mapping[str, Any] | None
) -> tuple[str, _Place] | None:
    """Return why finished results are wrong and where that arose, or None when they are right."""
    for result in results:
        if result["non_finite"]:
            where = str(result["non_finite"][0])
            stage, _, step = where.partition(" ")
            return (
                f"NaN or infinity came out of {where} on {result['image']}",
                (stage, step or None),
            )
    if agreed is None or agreed["agrees"]:
        return None
    part = agreed["disagreeing"][0]
    said = []
    if part["missing"]:
        said.append(f"{part['missing']} of {part['expected']} faces not found")
    if part["extra"]:
        said.append(f"{part['extra']} faces that are not there")
    if not said:
        said.append(
            f"boxes off by up to {part['max_box_error_px']:.1f} px, "
            f"confidence by up to {part['max_confidence_error']:.3f}"
        )
    return f"on {part['image']}: {', '.join(said)}", ("compare", part["image"])


def timings(ending: Ending) -> dict[str, Any]:
    """Return import, build, first, median and p95 milliseconds, and medians of the stages.

    ``first`` is the first run of the process, which pays for lazy set-up; median and p95 are of
    the runs after the warm-up, over all images.
    """
    found: dict[str, Any] = {}
    imports = ending.of("imported")
    if imports:
        found["import"] = round(sum(message["import_ms"] for message in imports), 1)
    built = ending.last("built")
    if built:
        found["build"] = built["build_ms"]
    results = ending.of("result")
    if results:
        found["first"] = results[0]["samples_ms"][0]
        found.update(spread([s for r in results for s in r["samples_ms"][r["warmup"] :]]))
        found["stages"] = stage_medians(results)
    return found


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Return median and 95th percentile (nearest rank) of samples in milliseconds."""
    if not samples:
        return {}
    ordered = sorted(samples)
    rank = max(0, -(-95 * len(ordered) // 100) - 1)
    return {"median": round(statistics.median(ordered), 3), "p95": ordered[rank]}


def stage_medians(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the median milliseconds of each stage over the runs after the warm-up."""
    samples: dict[str, list[float]] = {}
    for result in results:
        for stages in result["stages_ms"][result["warmup"] :]:
            for stage, spent in stages.items():
                samples.setdefault(stage, []).append(spent)
    return {stage: round(statistics.median(spent), 3) for stage, spent in samples.items()}


def not_installed(backend: str, reason: str | None = None) -> Run:
    """Return the run of a backend that is not there, or of a release that cannot run it."""
    return Run(name=backend, outcome=Outcome.NOT_INSTALLED, reason=reason)


def run_to_dict(run: Run) -> dict[str, Any]:
    """Return a run as the plain data of the report and of the fact ``runs``."""
    data = asdict(replace(run, exhibit=None))
    del data["exhibit"]
    data["outcome"] = run.outcome.value
    return data
