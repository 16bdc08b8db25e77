"""Checks of the faces that the user's own MTCNN packages find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.model import Findings, check, error, info, warning

from ._deaths import Runs, named, runs_with
from ._subjects import Subjects, cause_of, first_in, framework, roots, trace


def _is_empty(run: Mapping[str, Any]) -> bool:
    """Whether a package found no face at all on images that are known to have some."""
    agreed = run.get("agreement") or {}
    return not run.get("detections") and bool(agreed.get("expected"))


def _fix(run: Mapping[str, Any]) -> str:
    if (run.get("divergence") or {}).get("stage") == "input":
        return (
            "the package was given RGB: find what changes the image between the call and P-Net (a "
            "wrapper, a patched package, sitecustomize)"
        )
    return (
        f"install {run['name']} again in a fresh environment; remove what patches it or replaces "
        "its weights"
    )


@check("subject-empty", family="subjects", title="the packages find faces", level=2)
def subject_empty(runs: Runs, subjects: Subjects) -> Findings:
    """Whether an MTCNN package finds no face at all on images that have some.

    ## What it checks
    The answer of the package, with its own defaults, on the bundled images. Their faces are large,
    frontal and clear, and every sound MTCNN finds them. On images of your own, a package that
    finds nothing where the reference is certain of faces is a warning.

    ## Why it matters
    An empty answer looks like an image without a face; no exception says otherwise.

    ## How to fix it
    Where the first difference lies in a network, its weights or its layers have been changed:
    install the package again. Where the networks agree, look at what the package is fed (channel
    order, range, dtype) and at its `min_face_size`: mtcnn 1.0.0 answers `[]` to anything when
    `min_face_size` is large for the image.

    ## Sources
    - https://github.com/ipazc/mtcnn
    """
    for run in runs_with(runs, "wrong-result", "subject"):
        if _is_empty(run):
            yield error(
                f"{named(run)} runs and finds no face at all{first_in(run)}",
                about=run["name"],
                evidence={
                    "what": f"none of {run['agreement']['expected']} faces on "
                    f"{run['agreement']['images']} images",
                    **trace(run),
                    **framework(run, runs, subjects),
                },
                effect="every image looks as if there were no face on it",
                cause=cause_of(run),
                fix=_fix(run),
                requires=roots(run, runs, subjects),
            )
    for name, images in (subjects.get("compared") or {}).items():
        for image in images:
            if image["missing"] and not image["found"]:
                yield warning(
                    f"{name} finds no face on {image['image']}, the reference is certain of "
                    f"{image['missing']}",
                    about=f"{name} {image['image']}",
                    evidence={"reference": f"{image['reference']} faces, {name}: none"},
                    effect="the image looks as if there were no face on it",
                    fix="see what differs from the reference: resampling, thresholds, "
                    "min_face_size",
                )


@check("subject-wrong-result", family="subjects", title="the packages' faces are right", level=2)
def subject_wrong_result(runs: Runs, subjects: Subjects) -> Findings:
    """Whether an MTCNN package finds the faces that are known to be on the bundled images.

    ## What it checks
    Boxes, keypoints and confidences of the package's answer, each release by a profile of its own,
    because the packages differ from each other on purpose: in resampling, rounding, padding and
    suppression. A stock installation keeps to its profile. When one does not, its networks are
    given the reference's inputs, and the first that answers differently is named.

    ## Why it matters
    It runs, and what it says is wrong: the fault that is found last.

    ## How to fix it
    A first difference in a network points at its weights or its layers (padding, activation).
    Where all networks agree, what surrounds them does not: the channel order of the image, its
    range, the resampling, the thresholds.

    ## Sources
    - The profiles and how they were measured: `mtcnn_doctor/knowledge/subjects.toml`
    """
    for run in runs_with(runs, "wrong-result", "subject"):
        agreed = run.get("agreement")
        if _is_empty(run):
            continue
        evidence: dict[str, Any] = {"what": run.get("reason"), **trace(run)}
        if agreed:
            evidence["agreement"] = (
                f"{agreed['matched']} faces matched, {agreed['missing']} of "
                f"{agreed['expected']} missing, {agreed['extra']} too many, boxes off by up to "
                f"{agreed['max_box_error_px']} px"
            )
        yield error(
            f"{named(run)} runs but finds the wrong faces{first_in(run)}",
            about=run["name"],
            evidence={**evidence, **framework(run, runs, subjects)},
            effect="faces are missed, invented or misplaced without any error",
            cause=cause_of(run),
            fix=_fix(run),
            requires=roots(run, runs, subjects),
        )


@check("subject-differs", family="subjects", title="packages and reference agree", level=2)
def subject_differs(subjects: Subjects) -> Findings:
    """Say where a package and the reference find different faces on your own images.

    ## What it checks
    Images of which nobody knows the faces: large faces, clear of the edge, of which the reference
    is certain and the package finds none, and faces of which only the package is certain.

    ## Why it matters
    The packages differ on purpose, and more so on crowds, small and blurred faces. Which of the
    two is right only you can say.

    ## How to fix it
    Look at the image. Nothing needs to be wrong.

    ## Sources
    - The profiles and how they were measured: `mtcnn_doctor/knowledge/subjects.toml`
    """
    for name, images in (subjects.get("compared") or {}).items():
        for image in images:
            if image["found"] and (image["missing"] or image["extra"]):
                yield info(
                    f"{name} finds {image['found']} faces on {image['image']}, the reference "
                    f"{image['reference']}: {image['missing']} that the reference is certain of "
                    f"are missing, {image['extra']} of which only {name} is certain",
                    about=f"{name} {image['image']}",
                )
