"""The installed packages as files: whole, and found where they should be found."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator

from mtcnn_doctor.facts import Distribution, Module, Packages
from mtcnn_doctor.model import Finding, Findings, check, error, warning

from ._installed import (
    PROVIDERS,
    given,
    joined,
    label,
    local_label,
    of_interest,
)

# Packages without compiled parts: a source checkout of them in the working directory works.
_PURE = ("mtcnn", "facenet_pytorch")


def reinstall_command(distribution: Distribution) -> str:
    """Return the command that puts the same release of a distribution in place again."""
    version = distribution.get("version", "")
    command = f'pip install --force-reinstall --no-deps "{distribution.get("key")}=={version}"'
    variant = local_label(version)
    if distribution.get("key", "").startswith("torch") and variant:
        # A release with a local label is not on PyPI.
        command += f" --index-url https://download.pytorch.org/whl/{variant}"
    return command


def _folder_names(leftover: str) -> str:
    return posixpath.basename(leftover.replace("\\", "/"))


@check("broken-install", family="packages", title="installed packages are complete")
def broken_install(packages: Packages) -> Findings:
    """Compare the files of the installed packages with their own lists.

    ## What it checks
    Whether the files that a distribution lists in its RECORD are there and whole, whether two
    releases of one distribution lie in one folder, and whether folders that begin with ``~``
    remain from an interrupted installation. Tests, headers and documents may be absent; a
    library that was stripped of its symbols counts as whole.

    ## Why it matters
    An installation that was interrupted, ran out of disk or was deleted in part leaves a package
    that pip still lists and that fails at import, or later in an unexpected place.

    ## How to fix it
    Install the distribution again with ``--force-reinstall``. Folders that begin with ``~`` may
    be deleted by hand once the package works.

    ## Sources
    - https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    - https://github.com/opencv/opencv-python/issues/962
    """
    for distribution in packages.get("distributions", []):
        yield from _judge_files(distribution)
    yield from _duplicates(packages)
    leftovers = packages.get("leftovers") or []
    if leftovers:
        yield warning(
            f"an interrupted pip left {joined(map(_folder_names, leftovers), 3)} behind",
            about="leftovers",
            evidence={"folders": joined(leftovers, 10)},
            effect="pip warns of an invalid distribution; the package itself may be incomplete.",
            fix="Delete these folders once the package they belong to works.",
        )


def _judge_files(distribution: Distribution) -> Iterator[Finding]:
    missing = distribution.get("files_missing_count") or 0
    truncated = distribution.get("files_truncated_count") or 0
    if not missing and not truncated:
        return
    key = distribution.get("key", "")
    parts = []
    if missing:
        parts.append(f"{missing} of {distribution.get('files_checked')} files are missing")
    if truncated:
        parts.append(f"{truncated} are cut short")
    names = (distribution.get("files_missing") or []) + (distribution.get("files_truncated") or [])
    yield error(
        f"{label(distribution)} is incomplete: {' and '.join(parts)}",
        about=key,
        evidence=given(
            missing=joined(distribution.get("files_missing") or []) or None,
            cut_short=joined(distribution.get("files_truncated") or []) or None,
            location=distribution.get("location"),
        ),
        effect=f"Imports of {key} fail, at once or when {posixpath.basename(names[0])} is needed."
        if names
        else f"Imports of {key} fail.",
        cause="An installation that was interrupted, or files that were deleted by hand.",
        fix="Install the same release again.",
        commands=[reinstall_command(distribution)],
        requires=["opencv-duplicates"] if key in PROVIDERS["cv2"] else [],
    )


def _duplicates(packages: Packages) -> Iterator[Finding]:
    places = Counter(
        (distribution.get("key", ""), distribution.get("location", ""))
        for distribution in packages.get("distributions", [])
    )
    for (key, location), count in places.items():
        if count < 2 or not of_interest(key):
            continue
        same = [
            row
            for row in packages.get("distributions", [])
            if (row.get("key"), row.get("location")) == (key, location)
        ]
        versions = [row.get("version", "?") for row in same]
        yield error(
            f"{key} is recorded {count} times in one folder ({joined(versions)})",
            about=f"{key} (recorded twice)",
            evidence={"versions": joined(versions), "location": location},
            effect="The files may be a mixture of both releases; pip cannot tell which it is.",
            cause="An upgrade that was interrupted.",
            fix=f"Uninstall {key} until pip says that it is not installed, then install it once.",
            commands=[f'pip install --force-reinstall --no-deps "{key}"'],
        )


@check("module-shadowed", family="packages", title="no file hides a package")
def module_shadowed(packages: Packages) -> Findings:
    """Look for files that are imported in place of a package.

    ## What it checks
    Whether a file or folder in the working directory or in PYTHONPATH has the name of a package
    that MTCNN detectors need, or of a module of the standard library that these packages import.
    Folders without ``__init__.py`` are not counted: Python prefers the package found later.

    ## Why it matters
    Python looks beside the script first. A script called ``mtcnn.py`` imports itself, and a
    ``random.py`` breaks NumPy; the error speaks of a partially initialised module or of an
    attribute that is missing.

    ## How to fix it
    Rename the file, and delete its compiled copy in ``__pycache__``.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/68
    - https://github.com/ipazc/mtcnn/issues/74
    """
    for name, module in (packages.get("modules") or {}).items():
        shadow = module.get("shadow")
        if shadow:
            yield _shadowed(name, module, shadow)


def _shadowed(name: str, module: Module, shadow: str) -> Finding:
    origin = module.get("shadow_from") or "working directory"
    hidden = module.get("hides") or "the installed package"
    is_file = shadow.endswith((".py", ".pyc", ".so", ".pyd"))
    kind = error if is_file or name not in _PURE else warning
    seen_by_runs = (
        " The runs of this examination leave the working directory off the path, so they see the"
        " real one."
        if origin == "working directory"
        else ""
    )
    what = "module" if hidden == "the standard library" else "package"
    return kind(
        f"{posixpath.basename(shadow)} in the {origin} hides the {what} {name}"
        if origin == "working directory"
        else f"{posixpath.basename(shadow)} on PYTHONPATH hides the {what} {name}",
        about=name,
        evidence={"imported": shadow, "hidden": hidden, "through": origin},
        effect=f"`import {name}` in a program started there gets this file.{seen_by_runs}",
        cause="Python searches the folder of the script, the working directory and PYTHONPATH"
        " before the installed packages.",
        fix="Rename the file and delete its compiled copy in __pycache__."
        if is_file
        else "Rename the folder, or start the program from another one.",
    )
