"""Checks of the ground that everything else stands on: the interpreter's start, and the doctor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._frames import frame_lines


@check("python-startup", family="interpreter", title="the interpreter starts", level=1)
def python_startup(startup: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """Whether the target interpreter reaches the first line of a program.

    ## What it checks
    The interpreter runs when started without `site` and environment (`python -E -s -S`), and
    dies, hangs or exits when started the ordinary way.

    ## Why it matters
    Nothing else can be examined, and no program can run.

    ## How to fix it
    Look for a `sitecustomize.py` or `usercustomize.py`, a `.pth` file with code in
    site-packages, and the variables PYTHONPATH, PYTHONHOME and LD_PRELOAD.

    ## Sources
    - https://docs.python.org/3/library/site.html
    """
    if not startup:
        return
    if startup.get("timed_out"):
        how = "hangs"
    elif startup.get("signal"):
        how = f"dies of {startup['signal']} (exit {startup['exit_code']})"
    else:
        how = f"ends with exit code {startup['exit_code']}"
    frames = [
        line for line in frame_lines(startup.get("python_traceback")) if "<frozen" not in line
    ]
    said = [line for line in (startup.get("stderr_tail") or "").splitlines() if line.strip()]
    evidence: dict[str, Any] = {}
    if frames:
        evidence["python frames"] = frames[:4]
    elif said:
        evidence["last words"] = said[-1][:300]
        files = [line.strip() for line in said if line.startswith('  File "')]
        if files:
            evidence["where"] = files[-1]
    yield error(
        f"the interpreter {how} before it runs a program",
        about="python",
        evidence=evidence,
        effect="nothing can run in this interpreter, and nothing else could be examined",
        cause="it starts without site and environment (python -E -s -S), so its site "
        "customisation or its environment variables are at fault",
        fix="look into sitecustomize.py, usercustomize.py, .pth files in site-packages, "
        "PYTHONPATH, PYTHONHOME and LD_PRELOAD",
    )


@check("probe-failed", family="doctor", title="every probe answered")
def probe_failed(probes: Mapping[str, Any]) -> Findings:
    """Whether each probe could collect its facts.

    ## What it checks
    Probes that raised, died or ran out of time.

    ## Why it matters
    The report is incomplete: checks that need those facts were skipped.

    ## How to fix it
    Run again; if it stays, report it with the output of `--format json`. A GPU probe that hangs
    usually means a hanging driver: try `nvidia-smi`.

    ## Sources
    - CONTRIBUTING.md of this project
    """
    for failed in probes.get("failed") or ():
        yield warning(
            f"the probe {failed['probe']} could not collect its facts",
            about=failed["probe"],
            evidence={"reason": failed["reason"]},
            effect="the report is incomplete",
            fix="run again; if it stays, report it with the output of --format json",
        )


@check("check-failed", family="doctor", title="no check failed")
def check_failed() -> Findings:
    """Whether a check raised an exception of its own.

    ## What it checks
    The registry catches what a check raises and reports it under this id.

    ## Why it matters
    What the check would have found is not known.

    ## How to fix it
    Report it to whoever wrote the check, built-in ones to this project. `--ignore ID` leaves
    the check out.

    ## Sources
    - CONTRIBUTING.md of this project
    """
    return ()


@check("plugin-failed", family="doctor", title="every plug-in loaded")
def plugin_failed() -> Findings:
    """Whether the checks of other packages and of configured files could be loaded.

    ## What it checks
    Entry points of the group `mtcnn_doctor.checks` and the files named under `plugins`.

    ## Why it matters
    Their checks were not made.

    ## How to fix it
    Mend or remove the plug-in.

    ## Sources
    - CONTRIBUTING.md of this project
    """
    return ()


_USERS_OF_NUMPY = ("torch", "tensorflow", "onnxruntime", "cv2", "mtcnn", "facenet_pytorch")


@check("numpy-missing", family="packages", title="NumPy is there")
def numpy_missing(packages: Mapping[str, Any]) -> Findings:
    """Whether the frameworks in the target have the NumPy that they pass images through.

    ## What it checks
    A framework is installed and NumPy is not.

    ## Why it matters
    Every MTCNN package hands images and boxes around as NumPy arrays.

    ## How to fix it
    Install NumPy, in a version that the framework supports.

    ## Sources
    - https://numpy.org/install/
    """
    modules = packages.get("modules") or {}
    if "numpy" not in modules or (modules["numpy"] or {}).get("found"):
        return
    users = [name for name in _USERS_OF_NUMPY if (modules.get(name) or {}).get("found")]
    if users:
        verb = "needs" if len(users) == 1 else "need"
        yield error(
            f"NumPy is not installed, which {' and '.join(users)} {verb}",
            about="numpy",
            effect="no MTCNN can run in this interpreter",
            fix="install NumPy",
            commands=("pip install numpy",),
        )
