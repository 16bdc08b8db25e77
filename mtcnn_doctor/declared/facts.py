"""From what files declare to facts: an environment as it would be, for checks to judge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from mtcnn_doctor.declared.lines import CONDA, CONSTRAINT, LOCKED, Declaration, Line
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.knowledge import exclusions, loose_pins
from mtcnn_doctor.knowledge.catalogue import (
    COMPILABLE,
    Release,
    is_known,
    newest,
    releases,
    requirement,
    usual,
)
from mtcnn_doctor.knowledge.exclusions import Exclusion
from mtcnn_doctor.knowledge.place import Place
from mtcnn_doctor.knowledge.resolve import (
    Search,
    Solution,
    Undecided,
    Want,
    asked,
    candidates,
    culprits,
    fits,
    joint,
    pinned,
)

#: Distributions that a detector is made of; a file without any of them has nothing to examine.
_OF_INTEREST = re.compile(
    r"mtcnn|facenet-pytorch|torch(vision)?|tensorflow(-.+)?|keras|tf-keras|onnxruntime(-.+)?"
    r"|opencv-(contrib-)?python(-headless)?|openvino|ai-edge-litert|tflite-runtime|numpy"
)
_UNVERSIONED = Version("99999")


def facts_of(found: Declaration, place: Place) -> dict[str, Any]:
    """Return the facts ``declared``, ``packages`` and ``python`` of an environment to be.

    Raises:
        UsageError: no line is about a detector or what it is made of.
    """
    lines = _in_force(found, place)
    if not any(_OF_INTEREST.fullmatch(line.name) for line in lines):
        names = ", ".join(dict.fromkeys(found.files))
        raise UsageError(
            f"nothing to examine: {names} asks for none of mtcnn, facenet-pytorch, torch, "
            f"tensorflow, onnxruntime, opencv-python, openvino, ai-edge-litert, numpy for "
            f"{place.name}"
        )
    locked = all(line.kind == LOCKED for line in lines)
    wants = _relevant(place, [want for line in lines if (want := _want(line)) is not None])
    excluded = _excluded(place, wants, lines, locked)
    solution, undecided = _choose(place, wants, excluded, locked)
    declared = {
        "files": list(dict.fromkeys(found.files)),
        "place": place.name,
        "locked": locked,
        "lines": [_line_fact(line) for line in lines],
        "python": [
            {"specifier": specifier, "where": where, "allows": fits(Version(place.full), specifier)}
            for specifier, where in found.python
        ],
        "exclusions": [_exclusion_fact(one) for one in excluded],
        "compiled": [str(one) for one in exclusions.compiled(place, solution.chosen)]
        if not any(line.kind == CONDA for line in lines)
        else [],
        "chosen": _chosen_fact(solution, lines),
        "unknown": _unknown(place, wants, solution, locked),
        # What a lock holds was held against each other by whoever made it.
        "unjudged": []
        if locked
        else sorted({line.name for line in lines if line.name and not is_known(line.name)
                     and line.kind != CONSTRAINT}),
        "remarks": found.remarks,
        "undecided": undecided,
    }  # fmt: skip
    return {
        "declared": declared,
        "packages": _packages(place, solution, lines, locked),
        "python": _python(place),
    }


# -- which lines count ----------------------------------------------------------------------------


def _in_force(found: Declaration, place: Place) -> list[Line]:
    lines = [line for line in found.lines if _holds(line.marker, place, found.extras)]
    if found.roots is None:
        return lines
    by_name: dict[str, list[Line]] = {}
    for line in lines:
        by_name.setdefault(line.name, []).append(line)
    extras: dict[str, set[str]] = {}
    versions: dict[str, set[str]] = {}
    waiting = [need for need in found.roots if _holds(need.marker, place)]
    while waiting:
        need = waiting.pop()
        seen = need.name in extras and set(need.extras) <= extras[need.name]
        if seen and need.version in versions[need.name]:
            continue
        own = extras.setdefault(need.name, set())
        own |= set(need.extras)
        versions.setdefault(need.name, set()).add(need.version)
        for line in by_name.get(need.name, ()):
            waiting += [one for one in line.needs if _holds(one.marker, place, own)]
    return [
        line
        for line in lines
        # Lines of other files have no part in the lock's own graph.
        if line.kind != LOCKED
        or (
            line.name in versions
            and line.source != "editable"
            and ("" in versions[line.name] or line.specifier[2:] in versions[line.name])
        )
    ]


def _holds(marker: str, place: Place, extras: Iterable[str] = ()) -> bool:
    """Whether a marker holds; one that is not understood does, so that nothing is overlooked."""
    if not marker:
        return True
    try:
        parsed = Marker(marker)
        return any(parsed.evaluate({**place.markers(), "extra": extra}) for extra in ("", *extras))
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return True


def _want(line: Line) -> Want | None:
    if not line.name or (line.source and not line.specifier):
        return None
    return Want(
        line.name,
        line.specifier,
        frozenset(line.extras),
        line.where,
        line.kind == CONSTRAINT,
        # A lock lists its own files; conda and addresses have other builds than PyPI.
        line.kind == CONDA or bool(line.source) or line.wheels is not None,
    )


def _relevant(place: Place, wants: Sequence[Want]) -> list[Want]:
    """Return the wants without constraints on what nobody asks for: these bind nothing.

    What the newest release of something asked for requires counts as asked for.
    """
    needed = {want.name for want in wants if not want.only_limits}
    waiting = list(needed)
    while waiting:
        name = waiting.pop()
        own = [want for want in wants if want.name == name]
        extras = frozenset(extra for want in own for extra in want.extras)
        fitting = (one for one in releases(name) if fits(one.version, joint(own)))
        for release in list(fitting)[:1] if is_known(name) else ():
            new = {want.name for want in asked(release, extras, place)} - needed
            needed |= new
            waiting += new
    return [want for want in wants if not want.only_limits or want.name in needed]


# -- what excludes what, and what would be chosen --------------------------------------------------


def _excluded(
    place: Place, wants: Sequence[Want], lines: Sequence[Line], locked: bool
) -> list[Exclusion]:
    return [
        *exclusions.alone(place, wants),
        *_listed(place, lines),
        *exclusions.pairs(place, wants, locked=locked),
    ]


def _listed(place: Place, lines: Sequence[Line]) -> list[Exclusion]:
    """Return the lines whose own list of wheels has none for a place."""
    found = []
    for line in lines:
        if not line.wheels or not _OF_INTEREST.fullmatch(line.name) or line.name in COMPILABLE:
            continue
        if not any(_wheel_fits(name, place) for name in line.wheels):
            version = line.specifier.removeprefix("==")
            kind = "file" if line.source else "lock"
            found.append(
                Exclusion(
                    "wheel",
                    line.name,
                    f"{line.name} {version}: the {kind} has no wheel for {place.name}",
                    (line.where,),
                )
            )
    return found


def _wheel_fits(name: str, place: Place) -> bool:
    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return False
    return any(_tag_fits(tag, place) for tag in tags)


def _tag_fits(tag: Tag, place: Place) -> bool:
    system, _, arch = place.platform.partition("_")
    if tag.platform != "any":
        starts = {"linux": ("manylinux", "linux"), "macos": ("macosx",), "win": ("win",)}[system]
        fat = ("universal2",) if system == "macos" else ()
        if not tag.platform.startswith(starts) or not tag.platform.endswith((arch, *fat)):
            return False
    major, minor = place.series
    own = f"cp{major}{minor}"
    if tag.interpreter in (f"py{major}", f"py{major}{minor}"):
        return tag.abi == "none"
    match = re.fullmatch(r"cp(\d)(\d+)", tag.interpreter)
    if match is None:
        return False
    if tag.abi == "abi3":
        return (int(match[1]), int(match[2])) <= (major, minor) and not place.free_threaded
    abi = own + ("t" if place.free_threaded else "")
    return tag.interpreter == own and tag.abi in (abi, "none")


def _choose(
    place: Place, wants: Sequence[Want], excluded: list[Exclusion], locked: bool
) -> tuple[Solution, bool]:
    """Return what would be chosen, and whether that could not be decided.

    Where lines exclude each other, each is taken for itself, so that the rest can be judged.
    Appends to ``excluded`` the lines that no choice meets.
    """
    if not locked and not excluded:
        try:
            solution = Search(place, wants).run()
        except Undecided:
            return _each(place, wants), True
        if solution is not None:
            return solution, False
        excluded.append(exclusions.together(place, culprits(place, wants)))
    return _each(place, wants), False


def _each(place: Place, wants: Sequence[Want]) -> Solution:
    chosen: dict[str, Release] = {}
    for name, own in exclusions.by_name(wants).items():
        if not is_known(name) or all(want.only_limits for want in own):
            continue
        exact = pinned(joint(own))
        found = candidates(own, place)
        if not found and exact is not None:
            found = [one for one in releases(name) if one.version == Version(exact.public)]
        if found:
            chosen[name] = found[0]
    return Solution(chosen)


# -- as facts -------------------------------------------------------------------------------------


def _line_fact(line: Line) -> dict[str, Any]:
    return {"name": line.name, "specifier": line.specifier, "where": line.where, "kind": line.kind}


def _exclusion_fact(one: Exclusion) -> dict[str, Any]:
    reason = ""
    if one.kind == "asks":
        versions = [str(row.version) for row in releases(one.name)]
        match = re.match(rf"{re.escape(one.name)} (\S+?),? ", one.text)
        version = match[1] if match else (versions or [""])[0]
        loose, said = loose_pins(one.name, version)
        reason = said if set(one.others) & loose else ""
    return {
        "kind": one.kind,
        "name": one.name,
        "text": one.text,
        "origins": list(one.origins),
        "others": list(one.others),
        "hint": one.hint,
        "loose": reason,
    }


def _chosen_fact(solution: Solution, lines: Sequence[Line]) -> list[dict[str, Any]]:
    exact = {line.name for line in lines if pinned(line.specifier) is not None}
    return [
        {
            "name": release.name,
            "version": str(release.version),
            "pinned": release.name in exact,
            "brought_by": []
            if any(line.name == release.name for line in lines)
            else _brought_by(release.name, solution),
        }
        for release in solution.chosen.values()
        if release.version != _UNVERSIONED
    ]


def _brought_by(name: str, solution: Solution) -> list[str]:
    """Return the chosen releases that ask for a distribution."""
    asking = (
        (release, requirement(line))
        for release in solution.chosen.values()
        for line in release.requires
    )
    return list(
        dict.fromkeys(str(release) for release, one in asking
                      if one is not None and canonicalize_name(one.name) == name)
    )  # fmt: skip


def _unknown(
    place: Place, wants: Sequence[Want], solution: Solution, locked: bool
) -> list[dict[str, str]]:
    """Return what the tables should know and do not: releases of the packages of interest."""
    found = []
    for name, own in exclusions.by_name(wants).items():
        if not is_known(name) or all(want.only_limits for want in own):
            continue
        release, text = solution.chosen.get(name), joint(own)
        origin = own[0].origin
        if release is not None and not release.known:
            what = f"{name} {release.version}" if release.version != _UNVERSIONED else name + text
            found.append(
                {"name": name, "text": f"{what} ({origin}) is not in the tables, whose newest is "
                 f"{newest(name)}: what it needs, and whether it runs, is not known"}
            )  # fmt: skip
        elif release is None and not any(fits(one.version, text) for one in releases(name)):
            found.append(
                {"name": name, "text": f"no release of {name} in the tables is within {text} "
                 f"({origin})"}
            )  # fmt: skip
    return found


def _packages(
    place: Place, solution: Solution, lines: Sequence[Line], locked: bool
) -> dict[str, Any]:
    """Return the environment as it would be: what is chosen, and other exact pins."""
    versions: dict[str, str] = {
        name: str(release.version)
        for name, release in solution.chosen.items()
        if release.version != _UNVERSIONED
    }
    for line in lines:
        exact = pinned(line.specifier)
        if not line.name or line.kind == CONSTRAINT or line.name in versions:
            continue
        if exact is not None:
            versions[line.name] = str(exact)
        elif line.source or is_known(line.name):
            # It will be there, in a version that nobody can tell.
            versions[line.name] = "unknown"
    for name, text in solution.open.items():
        version = pinned(text) or usual(name, text, place)
        if version is not None and not (name == "setuptools" and _comes_along(place, text, locked)):
            versions.setdefault(name, str(version))
    return {
        "distributions": [
            {
                "name": name,
                "key": name,
                "version": version,
                "requires": list(solution.chosen[name].requires) if name in solution.chosen else [],
                "requires_python": None,
                "wheel_tags": [],
                "files_checked": 0,
                "files_missing": [],
                "files_truncated": [],
            }
            for name, version in versions.items()
        ],
        "unreadable": [],
        "leftovers": [],
        "modules": _modules(place, versions, solution.open, locked),
        "numpy_abi": [],
    }


def _modules(
    place: Place, versions: Mapping[str, str], ranges: Mapping[str, str], locked: bool
) -> dict[str, Any]:
    """Return what can be told of pkg_resources, which setuptools brings unasked or not at all."""
    if "setuptools" in versions:
        return {}
    text = ranges.get("setuptools", "")
    comes_along = _comes_along(place, text, locked)
    return {"pkg_resources": {"found": "setuptools" if comes_along else None}}


def _comes_along(place: Place, text: str, locked: bool) -> bool:
    """Whether a new environment has a setuptools already, old enough for pkg_resources.

    Those of Python 3.12 and later come without one, older ones with 65.
    """
    return place.series < (3, 12) and fits(Version("65.5.0"), text) and not locked


def _python(place: Place) -> dict[str, Any]:
    major, minor = place.series
    own = f"cp{major}{minor}"
    return {
        "version": place.python,
        "version_info": [major, minor],
        "implementation": "CPython",
        "bits": 64,
        "machine": place.machine,
        "platform": place.sys_platform,
        "system": place.name,
        "free_threaded": place.free_threaded,
        "rosetta": False,
        "abi_tags": [own + "t", "none"] if place.free_threaded else [own, "abi3", "none"],
        "markers": place.markers(),
    }
