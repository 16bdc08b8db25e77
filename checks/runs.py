"""Checks of the runs: what became of each backend that executed the reference MTCNN.

The facts are the runs of the report (plain data, see ``mtcnn_doctor.model.Run``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.facts import Packages, Search
from mtcnn_doctor.model import Findings, check, error, warning

from ._deaths import (
    Runs,
    absent,
    certificate,
    crash_advice,
    crash_cause,
    explained,
    hang_advice,
    named,
    roots,
    runs_with,
    where,
)
from ._installed import FRAMEWORKS


def _offer(run: Mapping[str, Any], search: Search | None) -> str:
    """Return the offer to search for a change that helps, unless that was done."""
    if search and any(entry["backend"] == run["name"] for entry in search.get("backends") or ()):
        return "; see the search below"
    return f"; next: mtcnn-doctor bench --backend {run['name']} --bisect"


def _trace(divergence: Mapping[str, Any]) -> dict[str, Any]:
    """Return as evidence in which stage a backend's run became wrong, and how that is known."""
    if not divergence:
        return {}
    evidence: dict[str, Any] = {}
    if divergence.get("stage"):
        # Reports of older releases have no words of their own.
        evidence["first difference"] = divergence.get("text") or (
            f"{divergence['stage']} ({divergence.get('step')}), {divergence.get('output')}"
        )
        if divergence.get("against"):
            evidence["compared with"] = divergence["against"]
    elif divergence.get("repeated") is False:
        evidence["stages"] = "the fault did not come back when the stages were compared"
    elif divergence.get("repeated"):
        evidence["stages"] = (
            "pixels, networks, boxes, suppression and crops are right, each on what it was given"
        )
    else:
        evidence["networks"] = "agree with NumPy's; the fault lies around them"
    if divergence.get("numpy_refuted"):
        evidence["NumPy"] = (
            "its float64 networks are wrong here, this backend's are right, by Python's own "
            f"arithmetic: {', '.join(divergence['numpy_refuted'])}"
        )
    return evidence


@check("backend-crash", family="runs", title="no backend crashed", level=2)
def backend_crash(runs: Runs, search: Search | None = None) -> Findings:
    """Whether a backend's process died while it ran the reference MTCNN.

    ## What it checks
    Each installed backend runs the bundled networks on the bundled images in a process of its
    own. A process that ends by a signal, or before it reported its results, has crashed. The
    finding carries the exit code, the signal, the stage and step, the Python frames, the loaded
    OpenMP libraries and the peak of memory.

    ## Why it matters
    Your own program, or notebook kernel, dies at the same place without a Python exception, so
    no `try` catches it.

    ## How to fix it
    The innermost frame names the call that died. Two different OpenMP libraries in one process
    are a common reason, as is a wheel that was compiled for another processor, and a mixture of
    pip and conda packages. Run `mtcnn-doctor bench --backend NAME` once more to see whether it
    happens every time; try OMP_NUM_THREADS=1; install the framework afresh in a new environment.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html
    - https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html
    """
    for run in runs_with(runs, "crash"):
        how = run.get("signal") or "an early exit"
        yield error(
            f"{named(run)} died of {how} (exit {run['exit_code']}) {where(run)}",
            about=run["name"],
            evidence=certificate(run),
            effect="your program or notebook kernel dies here too, and no except clause sees it",
            cause=crash_cause(run),
            fix=crash_advice(run) + _offer(run, search),
            requires=roots(run),
        )


@check("backend-timeout", family="runs", title="no backend hung", level=2)
def backend_timeout(runs: Runs, search: Search | None = None) -> Findings:
    """Whether a backend stopped making progress.

    ## What it checks
    Each phase of a backend's run (its import, building the networks, each image) has a time
    limit, 120 seconds unless `--timeout` says otherwise. When it passes, the process is asked
    for its Python stack and killed.

    ## Why it matters
    Your program would wait forever at the same place.

    ## How to fix it
    Look at the Python frames: a lock that is waited for, a download, a driver call, or a
    debugger prompt. On a slow or loaded machine give `--timeout` more seconds.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html#dumping-the-traceback-on-a-user-signal
    """
    for run in runs_with(runs, "timeout"):
        yield error(
            f"{named(run)} hung {where(run)}",
            about=run["name"],
            evidence=certificate(run),
            effect="your program waits at this place as long, or forever",
            cause=run.get("reason") or "",
            fix=hang_advice(run) + _offer(run, search),
            requires=roots(run),
        )


@check("backend-out-of-memory", family="runs", title="memory sufficed", level=2)
def backend_out_of_memory(runs: Runs) -> Findings:
    """Whether a backend died, or gave up, for want of memory.

    ## What it checks
    A `MemoryError` or the framework's own out-of-memory exception, `std::bad_alloc`, or a
    SIGKILL while the kernel's count of out-of-memory kills rose.

    ## Why it matters
    The reference runs on small images; if memory does not suffice for them, nothing will run.

    ## How to fix it
    Raise the limit of the container, job or `ulimit -v`; close what else holds memory; use
    smaller images or a larger `min_face_size`, both of which shrink the image pyramid.

    ## Sources
    - https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    for run in runs_with(runs, "out-of-memory"):
        yield error(
            f"{named(run)} ran out of memory {where(run)}",
            about=run["name"],
            evidence=certificate(run),
            effect="MTCNN cannot run here with the memory that is allowed",
            cause=run.get("reason") or "",
            fix="raise the memory limit (container, job, ulimit -v) or free memory; smaller "
            "images and a larger min_face_size need less",
            requires=roots(run),
        )


@check("backend-error", family="runs", title="no backend raised", level=2)
def backend_error(runs: Runs, search: Search | None = None) -> Findings:
    """Whether a backend raised a Python exception after it had been imported.

    ## What it checks
    Exceptions while the networks are built or run. (Exceptions at import are `import-failure`.)

    ## Why it matters
    The framework is there but cannot compute; your program fails the same way.

    ## How to fix it
    The last line of the exception is looked up among the known failures; where one matches, its
    remedy is given. Otherwise the frames show which call failed. Where that is between the
    networks, the stages are compared as for `backend-wrong-result`, because a wrong number made
    earlier may be the reason.

    ## Sources
    - The known failures: `mtcnn_doctor/knowledge/signatures.toml`
    """
    for run in runs_with(runs, "error"):
        if run.get("error") is None:
            yield error(
                f"{named(run)} was not run on every image",
                about=run["name"],
                evidence={"what": run.get("reason")},
                effect="nothing proves that it works",
                cause="the decoded images were not where they had been put",
                fix="see what deletes files in the temporary folder (TMPDIR)",
                requires=roots(run),
            )
            continue
        yield error(
            f"{named(run)} raised {run['error'].get('type', 'an exception')} {where(run)}",
            about=run["name"],
            evidence={
                **certificate(run),
                "exception": run.get("reason"),
                **_trace(run.get("divergence") or {}),
            },
            effect=f"MTCNN on {run['name']} does not run",
            requires=roots(run),
            **explained(
                run,
                f"read the frames; if they lie inside {run['name']}, reinstall it"
                + _offer(run, search),
                run.get("reason") or "",
            ),
        )


@check("backend-wrong-result", family="runs", title="all backends found the right faces", level=2)
def backend_wrong_result(runs: Runs, search: Search | None = None) -> Findings:
    """Whether a backend finds the faces that are known to be on the bundled images.

    ## What it checks
    Boxes, keypoints and confidences against the expected ones, which a float64 computation
    wrote; NaN and infinity in the outputs of a network. When a backend disagrees, it runs once
    more, and each stage of the cascade (pixels of the pyramid, P-Net, boxes, suppression, crops,
    R-Net, O-Net, the faces) is compared, on what it was given, with arithmetic of the Python
    interpreter that needs no NumPy. The first stage that differs is named, with the error.

    ## Why it matters
    It runs, and what it says is wrong: the fault that is found last.

    ## How to fix it
    A first difference in a network points at the framework's arithmetic on this machine (a
    miscompiled or patched kernel, reduced precision, a broken BLAS). One between the networks
    points at NumPy, or at the matrix library below it, whatever the backend.

    ## Sources
    - Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment Using Multitask Cascaded
      Convolutional Networks, IEEE Signal Processing Letters 23(10), 2016
    """
    for run in runs_with(runs, "wrong-result"):
        divergence = run.get("divergence") or {}
        evidence: dict[str, Any] = {"what": run.get("reason"), **_trace(divergence)}
        agreed = run.get("agreement")
        if agreed:
            evidence["agreement"] = (
                f"{agreed['matched']} faces matched, {agreed['missing']} of "
                f"{agreed['expected']} missing, {agreed['extra']} too many, boxes off by up to "
                f"{agreed['max_box_error_px']} px"
            )
        stage = divergence.get("title") or divergence.get("stage") or run.get("stage")
        at = f", first in {stage}" if stage and stage != "compare" else ""
        # What lies between the networks is NumPy's work, whatever the backend.
        culprit = "numpy" if divergence.get("stage") == "pyramid" else run["name"]
        beside = () if culprit == run["name"] else (f"backend-wrong-result:{culprit}",)
        yield error(
            f"{named(run)} runs but finds the wrong faces{at}",
            about=run["name"],
            evidence=evidence,
            effect="faces are missed, invented or misplaced without any error",
            cause=run.get("reason") or "",
            fix=f"do not trust {culprit} on this machine; remove what patches it "
            "(sitecustomize, plug-ins), then reinstall it in a fresh environment"
            + _offer(run, search),
            requires=(*roots(run), *beside),
        )


@check("backend-nondeterministic", family="runs", title="repeated runs agree", level=3)
def backend_nondeterministic(
    runs: Runs, nondeterministic: Mapping[str, Any] | None = None
) -> Findings:
    """Whether repeated runs on the same image give the same faces to the last bit.

    ## What it checks
    At level 3 each image runs three times in one process; any difference is reported.

    ## Why it matters
    Results cannot be reproduced, and a race condition may hide behind it.

    ## How to fix it
    Run with one thread (OMP_NUM_THREADS=1). On a GPU, ask the framework for deterministic
    algorithms.

    ## Sources
    - https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    for name, images in (nondeterministic or {}).items():
        yield warning(
            f"{name} gives different results on repeated runs",
            about=name,
            evidence={image["image"]: f"{image['distinct']} different answers" for image in images},
            effect="results cannot be reproduced exactly",
            fix="run with OMP_NUM_THREADS=1; on a GPU ask for deterministic algorithms",
        )


@check("backend-missing", family="runs", title="the backends asked for are installed", level=2)
def backend_missing(runs: Runs, settings: Mapping[str, Any]) -> Findings:
    """Whether the backends named on the command line are installed in the target.

    ## What it checks
    Backends given with `--backend`. Backends that nobody asked for may be absent.

    ## Why it matters
    A report about something else than what was asked for would be a false calm.

    ## How to fix it
    Install the framework into the target, or name the interpreter that has it with `--python`.

    ## Sources
    - https://packaging.python.org/en/latest/tutorials/installing-packages/
    """
    asked = settings.get("backends_requested") or ()
    for run in runs_with(runs, "not-installed"):
        if run["name"] in asked:
            effect = "the backend that was asked for could not be examined"
            yield absent(run["name"], effect, run.get("reason"))


@check("backend-plugin", family="runs", title="plug-in backends can be loaded", level=2)
def backend_plugin(packages: Packages, runs: Runs | None = None) -> Findings:
    """Whether the backends that other distributions bring can be loaded.

    ## What it checks
    Entry points of the group `mtcnn_doctor.backends` in the target: whether their module can be
    imported, and whether they bear a name that a built-in backend has. What goes wrong later, while
    they build or run the networks, is reported as of any other backend.

    ## Why it matters
    A backend that is not loaded is neither examined nor measured.

    ## How to fix it
    Read the last line of the error: it names what the plug-in lacks. Install that, or uninstall
    the plug-in. Give a plug-in a name of its own.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/entry-points/
    """
    brought: dict[str, str] = {}
    for distribution in packages.get("distributions") or ():
        for name in distribution.get("backends") or {}:
            if name in FRAMEWORKS:
                yield warning(
                    f"{distribution.get('name')} brings a backend named {name}, which is built in",
                    about=f"{distribution.get('key')} {name}",
                    effect="the built-in backend is used",
                    fix="give the plug-in's entry point another name",
                )
            else:
                brought.setdefault(name, str(distribution.get("name")))
    for run in runs_with(runs or (), "not-loadable"):
        if run["name"] in brought:
            yield error(
                f"the plug-in backend {run['name']} cannot be loaded: {run.get('reason')}",
                about=run["name"],
                evidence={"from": brought[run["name"]], **certificate(run)},
                effect="it was not examined",
                fix=f"install what the last line names, or uninstall {brought[run['name']]}",
                requires=roots(run),
            )


@check("reference-images-lost", family="runs", title="the reference images were decoded", level=2)
def reference_images_lost(runs: Runs, decoding: Mapping[str, Any] | None = None) -> Findings:
    """Whether the bundled images reached the backends.

    ## What it checks
    The images are decoded once, in a process of the target, and handed on as arrays in the
    temporary folder.

    ## Why it matters
    A backend that was given no image, or not all of them, has not been shown to work.

    ## How to fix it
    See what the reason names: a full or unwritable temporary folder (TMPDIR), something that
    deletes files there, or a damaged installation of mtcnn-doctor.

    ## Sources
    - https://docs.python.org/3/library/tempfile.html#tempfile.gettempdir
    """
    if decoding:
        lost = decoding["lost"]
        yield error(
            f"{len(lost)} of the reference images could not be handed to the backends",
            about="images",
            evidence={"images": lost, "reason": decoding["reason"]},
            effect="what was not run on them is not known to work",
            fix="look at the reason: a full or unwritable temporary folder (TMPDIR), something "
            "that deletes files there, or a damaged installation of mtcnn-doctor",
        )
