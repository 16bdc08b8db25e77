"""The interpreter itself: its version and its architecture."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from mtcnn_doctor.facts import Distribution, Packages, Python
from mtcnn_doctor.knowledge import end_of_life
from mtcnn_doctor.model import Finding, Findings, check, error, info, warning

from ._installed import installed, joined, label, of_interest, series

# How wheel tags spell the architectures that platform.machine() names.
_ARCHITECTURES = {
    "x86_64": ("x86_64", "amd64", "universal2", "intel"),
    "amd64": ("x86_64", "amd64", "universal2", "intel"),
    "arm64": ("arm64", "aarch64", "universal2"),
    "aarch64": ("arm64", "aarch64", "universal2"),
}
_KNOWN = ("x86_64", "amd64", "arm64", "aarch64", "universal2", "intel", "win32", "i686")


def _excluded_by_metadata(distribution: Distribution, python: Python) -> str | None:
    """Return the Requires-Python that the interpreter violates."""
    wanted = distribution.get("requires_python")
    version = (python.get("markers") or {}).get("python_full_version") or python.get("version")
    if not wanted or not version:
        return None
    try:
        allowed = SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return None
    return None if allowed else wanted


def _tag_fits(tag: str, version: tuple[int, int], abis: list[str]) -> bool:
    """Whether a wheel tag suits a CPython; True for tags of a kind unknown here."""
    parts = tag.split("-")
    if len(parts) < 3:
        return True
    interpreters, abi = parts[0].split("."), parts[1]
    for interpreter in interpreters:
        match = re.fullmatch(r"(py|cp)(\d)(\d*)", interpreter)
        if match is None:
            return True
        kind, major, minor = match[1], int(match[2]), int(match[3] or 0)
        if major != version[0]:
            continue
        if abi == "none":
            fits = (major, minor) <= version if kind == "py" else (major, minor) == version
        elif abi == "abi3":
            fits = (major, minor) <= version and "abi3" in abis
        elif re.fullmatch(r"cp\d+[a-z]*", abi):
            fits = abi in abis
        else:
            fits = True
        if fits:
            return True
    return False


@check(
    "python-version",
    family="interpreter",
    title="the Python version suits the installed frameworks",
)
def python_version(python: Python, packages: Packages | None = None) -> Findings:
    """Judge the interpreter's version.

    ## What it checks
    The Requires-Python and the wheel tags of the installed frameworks against the version of the
    interpreter, and whether that version is still maintained.

    ## Why it matters
    A wheel built for another Python version holds extensions that this interpreter does not find.
    It gets into an environment when a folder is copied, when the interpreter below it is
    exchanged, or when PYTHONPATH leads to the packages of another Python.

    ## How to fix it
    Install the package again with the pip of this interpreter, or choose a Python for which the
    package has wheels.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
    - https://devguide.python.org/versions/
    """
    version = series(python)
    if packages is not None:
        for key, distribution in installed(packages).items():
            if of_interest(key):
                yield from _judge_distribution(key, distribution, python, version)
    if version is None:
        return
    name = f"{version[0]}.{version[1]}"
    ended = end_of_life(name)
    if version < (3, 9):
        yield warning(
            f"Python {name} is past its end; current frameworks have no wheels for it",
            evidence={"python": python.get("version"), "end of life": ended},
            effect="pip falls back to old releases (mtcnn 0.1.1, torch 2.4, TensorFlow 2.13).",
            fix="Use Python 3.10 or newer for a new environment.",
        )
    elif ended:
        yield info(
            f"Python {name} reached its end of life in {ended}",
            evidence={"python": python.get("version")},
            effect="Nothing fails today; new releases of the frameworks leave it out."
            + (" mtcnn 1.0 needs Python 3.10." if version < (3, 10) else ""),
        )


def misfit(
    distribution: Distribution, python: Python, version: tuple[int, int] | None
) -> str | None:
    """Say why a distribution is not made for an interpreter, None where it is or may be."""
    wanted = _excluded_by_metadata(distribution, python)
    if wanted:
        return f"needs Python {wanted}"
    tags = distribution.get("wheel_tags") or []
    abis = python.get("abi_tags") or []
    if not tags or not abis or version is None or python.get("implementation") != "CPython":
        return None
    return None if any(_tag_fits(tag, version, abis) for tag in tags) else joined(tags, 2)


def _judge_distribution(
    key: str, distribution: Distribution, python: Python, version: tuple[int, int] | None
) -> Iterator[Finding]:
    python_name = python.get("version", "?")
    wanted = _excluded_by_metadata(distribution, python)
    if wanted:
        yield error(
            f"{label(distribution)} is not made for Python {python_name} (needs {wanted})",
            about=key,
            evidence={"Requires-Python": wanted, "python": python_name},
            effect="Its import fails, or parts of it do.",
            fix=f"Install a release of {key} for this Python, or use a Python within {wanted}.",
            commands=[f'pip install --upgrade "{key}"'],
            requires=[f"path-pollution:{key}"],
        )
    elif misfit(distribution, python, version):
        tags = distribution.get("wheel_tags") or []
        abis = python.get("abi_tags") or []
        yield error(
            f"{label(distribution)} was built for another Python ({joined(tags, 2)})",
            about=key,
            evidence={"wheel tags": joined(tags), "python": python_name, "ABI": joined(abis)},
            effect="Its compiled parts are not found by this interpreter.",
            cause="The files come from the environment of another Python version.",
            fix="Install it again with this interpreter's own pip.",
            commands=[f'python -m pip install --force-reinstall --no-deps "{key}"'],
            requires=[f"path-pollution:{key}"],
        )


@check(
    "python-architecture",
    family="interpreter",
    title="the interpreter is native and 64-bit",
)
def python_architecture(python: Python, packages: Packages | None = None) -> Findings:
    """Judge the interpreter's architecture.

    ## What it checks
    Whether the interpreter is a 64-bit program, runs natively rather than through Rosetta on
    Apple silicon, and has the architecture of the installed frameworks.

    ## Why it matters
    Neither torch nor TensorFlow nor ONNX Runtime has 32-bit wheels, and 32 bits cannot address
    what they need. Under Rosetta programs that use AVX, as TensorFlow does, die of an illegal
    instruction.

    ## How to fix it
    Install a native 64-bit Python and make the environment anew with it.

    ## Sources
    - https://www.tensorflow.org/install/pip
    - https://github.com/tensorflow/tensorflow/issues/62342
    """
    machine = python.get("machine", "")
    if python.get("bits") == 32:
        yield error(
            "the interpreter is a 32-bit program",
            evidence={"bits": 32, "machine": machine},
            effect="torch, TensorFlow and ONNX Runtime have no 32-bit wheels.",
            fix="Install a 64-bit Python and make the environment anew.",
        )
    if python.get("rosetta"):
        yield error(
            "an Intel Python runs through Rosetta on Apple silicon",
            evidence={"machine": machine, "rosetta": True},
            effect="TensorFlow dies of an illegal instruction; torch has no Metal device.",
            fix="Install a native arm64 Python and make the environment anew.",
        )
    accepted = _ARCHITECTURES.get(machine.lower())
    if packages is None or accepted is None or python.get("bits") == 32:
        return
    for key, distribution in installed(packages).items():
        platforms = [tag.split("-")[-1] for tag in distribution.get("wheel_tags") or []]
        if not of_interest(key) or not platforms:
            continue
        if all(name.endswith(_KNOWN) and not name.endswith(accepted) for name in platforms):
            yield error(
                f"{label(distribution)} is built for another processor ({joined(platforms, 2)})",
                about=key,
                evidence={"wheel platforms": joined(platforms), "machine": machine},
                effect="Its compiled parts cannot be loaded by this interpreter.",
                fix="Install it again with this interpreter's own pip.",
                commands=[f'python -m pip install --force-reinstall --no-deps "{key}"'],
            )
