"""How the frameworks answered their import."""

from __future__ import annotations

import re
from typing import Any

from mtcnn_doctor.facts import Loaded, Memory, Packages, Search
from mtcnn_doctor.knowledge import curable, match_error
from mtcnn_doctor.model import Finding, Findings, check, error

from ._deaths import intruder
from ._frames import frame_lines
from ._installed import FRAMEWORKS, installed
from ._known import known_faults

#: A framework maps more address space than this, in bytes.
_ROOM = 4 * 2**30
_MODULES = {"opencv": "cv2", "litert": "ai_edge_litert"}
_WORDS = {
    "not-loadable": "fails to import",
    "crash": "crashes at import",
    "timeout": "hangs at import",
    "out-of-memory": "runs out of memory at import",
}
# The runs of the reference report crashes and timeouts of the other frameworks. OpenCV is imported
# whether or not its backend is run.
_REPORTED_HERE = ("numpy", "opencv")


@check("import-failure", family="packages", title="installed frameworks can be imported", level=2)
def import_failure(
    numpy: Loaded | None = None,
    opencv: Loaded | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
    openvino: Loaded | None = None,
    litert: Loaded | None = None,
    packages: Packages | None = None,
    memory: Memory | None = None,
    search: Search | None = None,
) -> Findings:
    """Report packages that are installed and cannot be imported.

    ## What it checks
    How each framework answered its import in a process of its own.

    ## Why it matters
    A package that does not load is another fault than one that is not installed: installing it
    again as it is changes nothing. The last line of the error is compared with the known ones.

    ## How to fix it
    Follow the remedy of the known error where one was recognised; otherwise read the last line,
    which names what is missing.

    ## Sources
    - https://numpy.org/doc/stable/user/troubleshooting-importerror.html
    - https://github.com/tensorflow/tensorflow/issues/79362
    """
    facts = {
        "numpy": numpy,
        "opencv": opencv,
        "torch": torch,
        "tensorflow": tensorflow,
        "onnxruntime": onnxruntime,
        "openvino": openvino,
        "litert": litert,
    }
    for name, fact in facts.items():
        state = fact.get("state") if fact else None
        if fact and (state == "not-loadable" or (state in _WORDS and name in _REPORTED_HERE)):
            yield _failed(name, fact, packages, search, _limit(memory))


def _limit(memory: Memory | None) -> float | None:
    """Return the limit of address space in GiB, where it is one that libraries run into."""
    limit = ((memory or {}).get("rlimits") or {}).get("RLIMIT_AS")
    return limit / 2**30 if limit is not None and limit < _ROOM else None


def _failed(
    name: str,
    fact: Loaded,
    packages: Packages | None,
    search: Search | None,
    limit_gib: float | None,
) -> Finding:
    module = _MODULES.get(name, name)
    details: dict[str, Any] = fact.get("error") or {}
    last_line = str(details.get("last_line") or "").strip()
    text = "\n".join(
        part
        for part in (fact.get("stderr_tail"), str(details.get("message") or ""), last_line)
        if part
    )
    if fact.get("signal"):
        text += f"\n{fact['signal']}"
    known = match_error(text)
    best = known[0] if known else None
    evidence: dict[str, Any] = {"version": fact.get("version")}
    if last_line:
        evidence["last line"] = last_line
    frames = [
        line
        for line in frame_lines(details.get("frames") or fact.get("python_traceback"))
        if "mtcnn_doctor/target/" not in line.replace("\\", "/")
    ]
    if frames:
        evidence["python frames"] = frames
    for key in ("signal", "exit_code"):
        if fact.get(key) is not None:
            evidence[key.replace("_", " ")] = fact.get(key)
    if best:
        evidence["known error"] = best.id
        if best.source:
            evidence["source"] = best.source
    evidence = {key: value for key, value in evidence.items() if value is not None}
    fix = (
        best.remedy
        if best
        else "Read the last line; install again what it names, or the package itself."
    )
    cause = best.cause if best else ""
    if limit_gib is not None and fact.get("state") != "not-loadable" and not best:
        cause = (
            f"The limit of address space (ulimit -v) is {limit_gib:.1f} GiB: what cannot get room "
            "for its libraries and threads often dies rather than say so."
        )
        fix = "Raise the limit (ulimit -v unlimited) and look again; mend nothing else before that."
        evidence["limit of address space"] = f"{limit_gib:.1f} GiB"
    foreign = intruder(fact)
    if foreign is not None and not best:
        cause = f"Code in {foreign} runs within the import, and it died or hung there."
        fix = (
            f"Remove {foreign} from the environment (or what puts it there); it is not part of any "
            "installed package."
        )
    if curable(text) and not search:
        fix += f" Next: mtcnn-doctor bench --backend {name} --bisect"
    title = f"{module} {_WORDS[fact.get('state', 'not-loadable')]}"
    if last_line:
        title += f": {last_line[:160]}"
    elif fact.get("signal"):
        title += f" ({fact['signal']})"
    return error(
        title,
        about=name,
        evidence=evidence,
        effect=f"Nothing that needs {module} runs.",
        cause=cause,
        fix=fix,
        commands=best.commands if best else (),
        requires=_roots(name, module, text, packages),
    )


def _roots(name: str, module: str, text: str, packages: Packages | None) -> list[str]:
    """Return the findings of which a failed import is the consequence."""
    distributions = sorted(FRAMEWORKS[name])
    if packages is not None:
        present = installed(packages)
        distributions = [key for key in distributions if key in present]
    roots = [f"cpu-instructions:{key}" for key in distributions]
    roots += ["python-architecture", f"module-shadowed:{module}"]
    if "OMP: Error #15" in text:
        # Told with the run that it ended, whichever that was.
        roots += [f"openmp-duplicates:{other}" for other in FRAMEWORKS]
    for key in distributions:
        roots += [
            f"broken-install:{key}",
            f"broken-install:{key} (recorded twice)",
            f"numpy-abi:{key}",
            f"python-version:{key}",
            f"path-pollution:{key}",
            f"gpu-libraries-missing:{key}",
            *known_faults(key),
        ]
    if name != "numpy":
        roots += ["import-failure:numpy", "broken-install:numpy", "module-shadowed:numpy"]
        roots += ["python-version:numpy", "cpu-instructions:numpy"]
        roots.append("path-pollution:numpy")
    if name == "opencv":
        roots += ["opencv-system-library", "opencv-duplicates"]
    if name == "tensorflow":
        for key in distributions:
            roots += [f"protobuf-mismatch:{key}", f"keras-version:{key}"]
            roots += [f"tensorflow-version-matrix:{about}" for about in (key, f"{key} (numpy)")]
            roots += [f"tensorflow-version-matrix:{key} ({row})" for row in ("tf-np-object",)]
        for key in ("ml-dtypes", "h5py", "protobuf", "keras"):
            roots.append(f"path-pollution:{key}")
            roots += [f"broken-install:{key}", f"numpy-abi:{key}", f"python-version:{key}"]
    if name == "torch":
        roots.append("torch-version-matrix:torch")
    missing = re.search(r"No module named '([\w.]+)'", text.splitlines()[-1] if text else "")
    if missing:
        # A requirement that is absent is told where requirements are judged.
        roots += [f"requirement-conflict:{key}" for key in distributions]
    for shadow, facts in ((packages or {}).get("modules") or {}).items():
        if facts.get("shadow_from") == "PYTHONPATH":
            # PYTHONPATH reaches the runs of this examination too.
            roots.append(f"module-shadowed:{shadow}")
    return list(dict.fromkeys(roots))
