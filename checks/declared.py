"""Requirements files and lock files, judged before anything is installed."""

from __future__ import annotations

from collections.abc import Iterator

from mtcnn_doctor.facts_declared import Declared, DeclaredExclusion
from mtcnn_doctor.model import Finding, Findings, check, error, info, warning

from ._installed import joined


@check("pin-conflict", family="packages", title="the lines of the requirements go together")
def pin_conflict(declared: Declared) -> Findings:
    """Look for lines that exclude each other.

    ## What it checks
    Lines about one package that no version meets, releases that ask for what another line
    excludes, and, where ranges leave a choice, whether any combination of known releases meets
    all lines. What the releases ask for is taken from the knowledge base.

    ## Why it matters
    pip and uv refuse such a file, after minutes of looking for a way out, and name a package that
    may not be the one to change. Installed one after the other, the last one wins and breaks the
    others.

    ## How to fix it
    Change one of the lines named; where a package only asks for too much (its pins are narrower
    than what it works with), install it with ``--no-deps`` after the rest.

    ## Sources
    - https://pip.pypa.io/en/stable/topics/dependency-resolution/
    - https://github.com/timesler/facenet-pytorch/issues/231
    """
    for one in declared.get("exclusions") or ():
        if one["kind"] != "wheel":
            yield _conflict(one, bool(declared.get("locked")))


def _conflict(one: DeclaredExclusion, locked: bool) -> Finding:
    evidence = {"lines": joined(one["origins"], 8)}
    if locked and one["kind"] == "asks":
        # A lock is installed as it is; whoever made it may have overruled a pin on purpose.
        kind = info if one["loose"] else warning
        return kind(
            one["text"],
            about=f"{one['name']} ({joined(one['others'])})",
            evidence=evidence,
            effect=one["loose"] or f"{one['name']} may fail with what is locked beside it.",
            cause="The lock overrules what the package asks for.",
            fix="Lock releases that go together, unless this was meant.",
        )
    fix = "Change one of these lines."
    if one["loose"]:
        fix += f" {one['loose']}: it can also be installed after the rest, with --no-deps."
    return error(
        one["text"],
        about=f"{one['name']} ({joined(one['others'])})" if one["others"] else one["name"],
        evidence=evidence,
        effect="No installer finds a way: pip ends with ResolutionImpossible.",
        fix=fix,
    )


@check("pin-no-wheel", family="packages", title="there are wheels for this Python and platform")
def pin_no_wheel(declared: Declared) -> Findings:
    """Look for releases that cannot be installed on the Python or the platform.

    ## What it checks
    The Pythons and platforms for which the releases that the files ask for have wheels, from the
    knowledge base, or from the lock file where that lists its files. A release without a wheel
    that pip can compile itself (NumPy, OpenCV) is a warning.

    ## Why it matters
    torch, TensorFlow and ONNX Runtime are published as wheels only: for a Python that came out
    after the release, or a platform that was dropped, pip says "No matching distribution found".

    ## How to fix it
    Take a release that has a wheel for this Python and platform, or another Python.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
    """
    for one in declared.get("exclusions") or ():
        if one["kind"] == "wheel":
            yield error(
                one["text"],
                about=one["name"],
                evidence={"lines": joined(one["origins"], 8)},
                effect="It cannot be installed there: no matching distribution is found.",
                fix="Take another release or another Python"
                + (f": {one['hint']}." if one["hint"] else "."),
            )
    for name in declared.get("compiled") or ():
        yield warning(
            f"{name} has no wheel for {declared.get('place')}; pip would compile it",
            about=name.split(" ")[0],
            effect="It takes minutes and a compiler, and fails without one.",
            fix="Take a newer release, which has a wheel, or an older Python.",
        )


@check("pin-python", family="packages", title="the requirements allow this Python")
def pin_python(declared: Declared) -> Findings:
    """Compare the Python that the files ask for with the one they are judged for.

    ## What it checks
    ``requires-python`` of pyproject.toml and of lock files, Poetry's ``python``, conda's
    ``python`` and Pipenv's ``python_version``.

    ## Why it matters
    Installers refuse another Python, or make an environment with one that was not meant.

    ## How to fix it
    Judge for the Python that the project uses (``--python-version``), or widen the range.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/core-metadata/#requires-python
    """
    for one in declared.get("python") or ():
        if not one["allows"]:
            yield error(
                f"{one['where']} asks for Python {one['specifier']}, not for "
                + str(declared.get("place", "")).split(" on ")[0],
                about=one["where"],
                effect="Installers refuse this Python.",
                fix="Give --python-version as the project has it, or widen the range.",
            )


@check("pin-choice", family="packages", title="every line names one release")
def pin_choice(declared: Declared) -> Findings:
    """Say what would be chosen where the lines leave a choice.

    ## What it checks
    Which releases an installer would choose for ranges and for what other packages bring along:
    the newest known ones that meet all lines. The other checks judge this choice.

    ## Why it matters
    What is not pinned changes from one day to the next, and a file that worked last month brings
    another environment today.

    ## How to fix it
    Nothing has to be fixed; pin what works (``pip freeze``, or a lock file).

    ## Sources
    - https://pip.pypa.io/en/stable/topics/repeatable-installs/
    """
    free = [one for one in declared.get("chosen") or () if not one["pinned"]]
    if free and not declared.get("locked"):
        names = joined((f"{one['name']} {one['version']}" for one in free), 12)
        possible = not declared.get("exclusions") and not declared.get("undecided")
        yield info(
            f"where the lines leave a choice: {names}"
            if possible
            else f"each line taken by itself: {names}",
            about="choice",
            evidence={one["name"]: one["version"] for one in free},
        )


@check("pin-unknown", family="packages", title="the tables know every line")
def pin_unknown(declared: Declared) -> Findings:
    """Say what was not judged.

    ## What it checks
    Which lines are about packages that the knowledge base does not hold, or that come from an
    address, a folder or another index. Releases of the detectors and frameworks themselves that
    are not known make the report incomplete.

    ## Why it matters
    Such a package may ask for another NumPy or protobuf than the file pins; only an installer can
    tell.

    ## How to fix it
    Let an installer try: ``uv pip compile``, or ``pip install --dry-run``.

    ## Sources
    - https://pip.pypa.io/en/stable/cli/pip_install/#cmdoption-dry-run
    """
    yield from _unjudged(declared)
    for number, remark in enumerate(declared.get("remarks") or (), 1):
        yield info(remark, about=f"remark {number}")


def _unjudged(declared: Declared) -> Iterator[Finding]:
    names = declared.get("unjudged") or ()
    if names:
        yield info(
            f"not known, so what they ask for was not judged: {joined(names, 12)}",
            about="packages",
            evidence={"packages": list(names)},
        )
