"""Binary packages against the installed NumPy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mtcnn_doctor.facts import Distribution, Loaded, Packages, Python
from mtcnn_doctor.knowledge import numpy2_support
from mtcnn_doctor.model import Finding, Findings, check, error

from ._installed import FRAMEWORKS, installed, label, older, series, version_of

# What extensions built for NumPy 1.x bring on stderr or in the exception under NumPy 2.
_MARKS = ("_ARRAY_API not found", "compiled using NumPy 1.x")
# NumPy 1.26 is the last of its line and has wheels up to Python 3.12.
_LAST_PYTHON_OF_NUMPY1 = (3, 12)


@check("numpy-abi", family="packages", title="binary packages match the installed NumPy")
def numpy_abi(
    packages: Packages,
    python: Python | None = None,
    opencv: Loaded | None = None,
    torch: Loaded | None = None,
    tensorflow: Loaded | None = None,
    onnxruntime: Loaded | None = None,
) -> Findings:
    """Find packages that were built for NumPy 1.x while NumPy 2 is installed.

    ## What it checks
    For which NumPy the compiled parts of torch, OpenCV, TensorFlow, ONNX Runtime, h5py and
    ml_dtypes were built. Three witnesses are heard in this order: the binary itself, whose text
    names the NumPy modules it will import; the table of first releases built for NumPy 2; and
    what the package said when it was imported.

    ## Why it matters
    The binary interface changed with NumPy 2. An extension built with the older headers refuses
    to import, or (torch before 2.3) imports with a warning and fails at the first conversion, or
    (ONNX Runtime 1.15 and 1.16) crashes. The opposite direction is harmless: builds for NumPy 2
    run with the NumPy 1.x releases they allow.

    ## How to fix it
    Install NumPy 1.x, or upgrade the package to a release built for NumPy 2.

    ## Sources
    - https://numpy.org/doc/stable/user/troubleshooting-importerror.html
    - https://github.com/pytorch/pytorch/issues/132179
    """
    present = installed(packages)
    numpy = present.get("numpy")
    version = version_of(numpy.get("version")) if numpy else None
    if numpy is None or version is None or version.major < 2:
        return
    platform = python.get("platform", "") if python else ""
    witnesses = _from_binaries(packages)
    for key, distribution in present.items():
        if key in witnesses:
            continue
        support = numpy2_support(key, platform)
        if support is not None and older(distribution.get("version"), support.first):
            witnesses[key] = (False, f"releases before {support.first} are for NumPy 1.x")
    loaded = {
        "opencv": opencv,
        "torch": torch,
        "tensorflow": tensorflow,
        "onnxruntime": onnxruntime,
    }
    for key, reason in _from_imports(present, loaded):
        if witnesses.get(key, (True, ""))[0]:
            witnesses[key] = (False, reason)
    broken = [key for key in sorted(witnesses) if not witnesses[key][0] and key in present]
    for key in broken:
        yield _finding(present, key, numpy, witnesses[key][1], python, loaded, broken)


def _asked_by(present: dict[str, Distribution], key: str, broken: list[str]) -> list[str]:
    """Return the findings about those which brought ``key``, and which its own cure mends too.

    ml_dtypes comes with TensorFlow: NumPy 1, or a newer TensorFlow, is the cure of both.
    """
    found = []
    for other in broken:
        lines = present[other].get("requires") or []
        names = {
            canonicalize_name(re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0]) for line in lines
        }
        brought = key in names and key not in FRAMEWORKS
        if other != key and (brought or (key, other) == ("torchvision", "torch")):
            found.append(f"numpy-abi:{other}")
    return found


def _from_binaries(packages: Packages) -> dict[str, tuple[bool, str]]:
    found: dict[str, tuple[bool, str]] = {}
    for row in packages.get("numpy_abi") or []:
        key = canonicalize_name(row.get("distribution", ""))
        file = row.get("file", "").replace("\\", "/").rpartition("/")[2]
        supports = bool(row.get("supports_numpy2", True))
        found[key] = (supports, "" if supports else f"{file} names only modules of NumPy 1.x")
    return found


def _from_imports(
    present: dict[str, Distribution], loaded: dict[str, Loaded | None]
) -> Iterator[tuple[str, str]]:
    for framework, fact in loaded.items():
        if not fact:
            continue
        text = fact.get("stderr_tail") or ""
        text += str((fact.get("error") or {}).get("message") or "")
        bridge = fact.get("numpy_bridge") or "ok"
        if bridge == "ok" or "umpy is not available" not in bridge:
            if fact.get("state") == "ok" and framework == "torch" and fact.get("numpy_bridge"):
                continue  # the bridge was tried and works: the text was another package's
            if not any(mark in text for mark in _MARKS):
                continue
        # The text tells that some extension is too old, not which: a package that this
        # framework imports may be the one, and then the binaries have named it already.
        if framework == "tensorflow" and fact.get("state") == "ok":
            continue
        for key in sorted(FRAMEWORKS[framework]):
            if key in present:
                yield key, bridge if bridge != "ok" else "its import says so"


def _needs_numpy2(present: dict[str, Distribution], but: str) -> list[str]:
    """Return the other distributions that ask for NumPy 2."""
    found = []
    for key, distribution in present.items():
        for line in distribution.get("requires") or []:
            if key == but or not line.lower().startswith("numpy"):
                continue
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if canonicalize_name(requirement.name) != "numpy" or requirement.marker is not None:
                continue
            if not requirement.specifier.contains("1.26.4"):
                found.append(key)
    return found


def _finding(
    present: dict[str, Distribution],
    key: str,
    numpy: Distribution,
    reason: str,
    python: Python | None,
    loaded: dict[str, Loaded | None],
    broken: list[str],
) -> Finding:
    distribution = present[key]
    support = numpy2_support(key, python.get("platform", "") if python else "")
    version = series(python) if python else None
    needing = _needs_numpy2(present, key)
    ways, commands = [], []
    if version is not None and version > _LAST_PYTHON_OF_NUMPY1:
        ways.append(f"NumPy 1.x has no wheels for Python {version[0]}.{version[1]}")
    elif needing:
        ways.append(f"NumPy 1.x would break {', '.join(needing[:3])}")
    else:
        ways.append("install NumPy 1.x")
        commands.append('pip install "numpy<2"')
    if support is not None:
        ways.append(f"upgrade {key} to {support.first} or newer")
        together = " torchvision" if key == "torch" and "torchvision" in present else ""
        commands.append(f'pip install --upgrade "{key}>={support.first}"{together}')
    else:
        ways.append(f"upgrade {key}")
        commands.append(f'pip install --upgrade "{key}"')
    text = " or ".join(ways) if commands and len(commands) > 1 else "; ".join(ways)
    fact = loaded.get(next((n for n, keys in FRAMEWORKS.items() if key in keys), "")) or {}
    seen = fact.get("numpy_bridge") or (fact.get("error") or {}).get("last_line")
    evidence = {"numpy": numpy.get("version"), key: distribution.get("version"), "told by": reason}
    if seen and seen != "ok":
        evidence["seen"] = seen
    return error(
        f"{label(distribution)} was built for NumPy 1.x, and NumPy {numpy.get('version')}"
        " is installed",
        about=key,
        evidence=evidence,
        effect=support.note
        if support is not None and support.note
        else f"The compiled part of {key} refuses to work with this NumPy.",
        cause="The binary interface changed with NumPy 2.",
        fix=text[0].upper() + text[1:] + ".",
        commands=commands,
        alternatives=True,
        requires=[
            f"broken-install:{key}",
            "broken-install:numpy",
            "path-pollution:numpy",
            f"path-pollution:{key}",
            f"python-version:{key}",
            "python-version:numpy",
            *_asked_by(present, key, broken),
        ],
    )
