"""Checks of the user's own MTCNN packages: what became of each on the same images.

The facts are the runs of the report and what was compared beside them. The checks about how a
package ended are here; `subject-wrong-result` and those about images of unknown faces are in
`subject_faces.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.facts import Packages
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._deaths import (
    Runs,
    absent,
    certificate,
    crash_advice,
    crash_cause,
    explained,
    hang_advice,
    named,
    runs_with,
    where,
)
from ._subjects import (
    Subjects,
    cause_of,
    failed,
    first_in,
    framework,
    roots,
    trace,
    verdict,
)

#: As in ``mtcnn_doctor.subjects``, which checks do not see.
_BUILT_IN = ("mtcnn", "facenet-pytorch")


@check("subject-missing", family="subjects", title="the packages asked for are installed", level=2)
def subject_missing(runs: Runs, subjects: Subjects) -> Findings:
    """Whether the packages named with `--subject` are installed in the target.

    ## What it checks
    Packages given with `--subject`. Those that nobody asked for may be absent.

    ## Why it matters
    A report about something else than what was asked for would be a false calm.

    ## How to fix it
    Install the package into the target, or name the interpreter that has it with `--python`.

    ## Sources
    - https://packaging.python.org/en/latest/tutorials/installing-packages/
    """
    for run in runs_with(runs, "not-installed", "subject"):
        yield absent(run["name"], "the package that was asked for could not be examined")


@check("subject-plugin", family="packages", title="adapters have names of their own")
def subject_plugin(packages: Packages) -> Findings:
    """Whether an adapter that another distribution brings bears a name that is taken.

    ## What it checks
    Entry points of the group `mtcnn_doctor.subjects` in the target. What goes wrong later, while
    the adapter is loaded or detects, is reported as of any other package.

    ## Why it matters
    An adapter that is not used says nothing of the package that it was made for.

    ## How to fix it
    Give the entry point a name of its own.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/entry-points/
    """
    for distribution in packages.get("distributions") or ():
        for name in distribution.get("subjects") or {}:
            if name in _BUILT_IN:
                yield warning(
                    f"{distribution.get('name')} brings an adapter named {name}, which is built in",
                    about=f"{distribution.get('key')} {name}",
                    effect="the built-in adapter is used",
                    fix="give the plug-in's entry point another name",
                )


@check("subject-not-loadable", family="subjects", title="the packages can be imported", level=2)
def subject_not_loadable(runs: Runs, subjects: Subjects) -> Findings:
    """Whether an installed MTCNN package can be imported.

    ## What it checks
    `import mtcnn` and `import facenet_pytorch`, or the adapter of another package, each in a
    process of its own. The last line of the exception is looked up among the known failures.

    ## Why it matters
    The package is installed, and your program ends at its first line.

    ## How to fix it
    Install what the last line names, in the release that the package asks for. facenet-pytorch
    needs torchvision; mtcnn needs TensorFlow, which it does not install; mtcnn 0.1 needs
    pkg_resources, which setuptools 82 no longer has.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/76
    - https://github.com/timesler/facenet-pytorch
    """
    for run in runs_with(runs, "not-loadable", "subject"):
        yield error(
            f"{named(run)} is installed and cannot be imported: {run.get('reason')}",
            about=run["name"],
            evidence=certificate(run),
            effect=f"every program that imports {run['name']} ends there",
            requires=roots(run, runs, subjects),
            **explained(
                run,
                f"install what the last line names, in the release that {run['name']} asks for",
            ),
        )


@check("subject-crash", family="subjects", title="no package crashed", level=2)
def subject_crash(runs: Runs, subjects: Subjects) -> Findings:
    """Whether the process of an MTCNN package died.

    ## What it checks
    Each installed package detects faces on the same images as the backends, in a process of its
    own. One that ends by a signal, or before it answered, has crashed.

    ## Why it matters
    Your program, or notebook kernel, dies at the same place, and no `try` catches it.

    ## How to fix it
    Where the backend of the same framework runs, the framework is sound here and the package, or
    what it loads beside the framework, is not: see the innermost frame. Where the backend dies,
    too, mend that first.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html
    """
    for run in runs_with(runs, "crash", "subject"):
        how = run.get("signal") or "an early exit"
        yield error(
            f"{named(run)} died of {how} (exit {run['exit_code']}) {where(run)}",
            about=run["name"],
            evidence={**certificate(run), **framework(run, runs, subjects)},
            effect="your program or notebook kernel dies here too, and no except clause sees it",
            cause=crash_cause(run),
            fix=crash_advice(run),
            requires=roots(run, runs, subjects),
        )


@check("subject-timeout", family="subjects", title="no package hung", level=2)
def subject_timeout(runs: Runs, subjects: Subjects) -> Findings:
    """Whether an MTCNN package stopped making progress.

    ## What it checks
    Importing it, building its detector, and each image have a time limit (`--timeout`).

    ## Why it matters
    Your program would wait forever at the same place.

    ## How to fix it
    See what the innermost frame waits for: a lock, a download, a driver call.

    ## Sources
    - https://docs.python.org/3/library/faulthandler.html#dumping-the-traceback-on-a-user-signal
    """
    for run in runs_with(runs, "timeout", "subject"):
        yield error(
            f"{named(run)} hung {where(run)}",
            about=run["name"],
            evidence={**certificate(run), **framework(run, runs, subjects)},
            effect="your program waits at this place as long, or forever",
            cause=run.get("reason") or "",
            fix=hang_advice(run),
            requires=roots(run, runs, subjects),
        )


@check("subject-out-of-memory", family="subjects", title="memory sufficed the packages", level=2)
def subject_out_of_memory(runs: Runs, subjects: Subjects) -> Findings:
    """Whether an MTCNN package ran out of memory.

    ## What it checks
    A `MemoryError`, the framework's own out-of-memory exception, or a kill by the kernel.

    ## Why it matters
    The packages need more than the reference does: mtcnn 1.0.0 holds several matrices of the
    number of its candidates squared, so that crowds need gigabytes.

    ## How to fix it
    Smaller images, a larger `min_face_size`, or a higher limit.

    ## Sources
    - https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    for run in runs_with(runs, "out-of-memory", "subject"):
        yield error(
            f"{named(run)} ran out of memory {where(run)}",
            about=run["name"],
            evidence={**certificate(run), **framework(run, runs, subjects)},
            effect=f"{run['name']} cannot run here with the memory that is allowed",
            cause=run.get("reason") or "",
            fix="raise the memory limit (container, job, ulimit -v) or free memory; smaller "
            "images and a larger min_face_size need less",
            requires=roots(run, runs, subjects),
        )


@check("subject-error", family="subjects", title="no package raised", level=2)
def subject_error(runs: Runs, subjects: Subjects) -> Findings:
    """Whether an MTCNN package raised an exception after it had been imported.

    ## What it checks
    Exceptions while its detector is built, with the package's own defaults, or run.

    ## Why it matters
    Your program fails the same way, whatever image it is given.

    ## How to fix it
    The last line is looked up among the known failures. Otherwise the innermost frame says whether
    the package or its framework raised. Where it raised while it detected, its networks are given
    the reference's inputs, because a network that answers wrongly may be the reason.

    ## Sources
    - The known failures: `mtcnn_doctor/knowledge/signatures.toml`
    """
    for run in runs_with(runs, "error", "subject"):
        raised = run.get("error") or {}
        found = trace(run) if (run.get("divergence") or {}).get("stage") else {}
        title = f"{named(run)} raised {raised.get('type')} {where(run)}"
        if not raised:
            title = f"{named(run)} was not run on every image"
        elif found:
            title += first_in(run)
        yield error(
            title,
            about=run["name"],
            evidence={
                "exception": run.get("reason"),
                **certificate(run),
                **found,
                **framework(run, runs, subjects),
            },
            effect=f"{run['name']} does not run",
            requires=roots(run, runs, subjects),
            **explained(
                run,
                f"read the frames; if they lie inside {run['name']}, install it again",
                cause_of(run),
            ),
        )


@check("subject-or-environment", family="subjects", title="package and framework agree", level=2)
def subject_or_environment(runs: Runs, subjects: Mapping[str, Any]) -> Findings:
    """Say whether a failure is the package's own or the environment's.

    ## What it checks
    A package that failed, beside the backend of the same framework, which runs the same networks
    on the same images with code that is known to be right.

    ## Why it matters
    It decides where to look: in the package, its version and its weights, or in the framework, its
    libraries and the machine.

    ## How to fix it
    Where only the package fails, reinstall or replace it. Where both fail, mend the framework
    first.

    ## Sources
    - The reference networks: `mtcnn_doctor/target/reference/`
    """
    for run in runs:
        if run["kind"] == "subject" and failed(run):
            said = verdict(run, runs, subjects)
            if said:
                yield info(said, about=run["name"])
