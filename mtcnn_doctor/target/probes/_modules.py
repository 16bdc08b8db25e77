"""Where imports would find modules, asked of the finders without executing anything."""

from __future__ import annotations

import os
import sys
from importlib.machinery import FrozenImporter, PathFinder, all_suffixes
from typing import Any, Tuple

from ._stdlib_names import NAMES

_MODULES = (
    "numpy",
    "cv2",
    "torch",
    "torchvision",
    "tensorflow",
    "keras",
    "onnxruntime",
    "openvino",
    "ai_edge_litert",
    "tflite_runtime",
    "mtcnn",
    "facenet_pytorch",
    "PIL",
    "h5py",
    "pkg_resources",
)

Place = Tuple[str, bool]  # where a module is, and whether it is a namespace folder


def _in_entry(name: str, entry: str) -> Place | None:
    """Return where ``name`` is in one folder of the path, None when it is not there."""
    try:
        spec = PathFinder.find_spec(name, [entry])
    except Exception:  # an importer of an unusual path entry failed
        return None
    if spec is None:
        return None
    if spec.loader is None or spec.origin in (None, "namespace"):
        places = list(spec.submodule_search_locations or [])
        return (places[0], True) if places else None
    origin = str(spec.origin)
    if spec.submodule_search_locations is not None:
        origin = os.path.dirname(origin)
    return origin, False


def _search(name: str, entries: list[str]) -> Place | None:
    """Return where an import would find ``name``: a package before any namespace folder."""
    namespace: Place | None = None
    for entry in entries:
        place = _in_entry(name, entry)
        if place is None:
            continue
        if not place[1]:
            return place
        namespace = namespace or place
    return namespace


def _hooked(name: str) -> Place | None:
    """Return where import hooks (editable installs) would find ``name``."""
    for finder in sys.meta_path:
        if finder is PathFinder or getattr(finder, "__name__", "") in (
            "BuiltinImporter",
            "FrozenImporter",
        ):
            continue
        try:
            spec = finder.find_spec(name, None)
        except Exception:  # foreign code
            continue
        if spec is not None and spec.origin and spec.loader is not None:
            origin = str(spec.origin)
            is_package = spec.submodule_search_locations is not None
            return (os.path.dirname(origin) if is_package else origin), False
    return None


def _user_entries(orders: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the folders that come first on the user's path, each with its origin."""
    entries: list[tuple[str, str]] = []
    try:
        working_directory = orders.get("working_directory") or os.getcwd()
    except OSError:  # the folder was deleted under us
        working_directory = None
    if working_directory:
        entries.append((str(working_directory), "working directory"))
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    entries.extend(
        (os.path.abspath(entry), "PYTHONPATH") for entry in named if entry and os.path.isdir(entry)
    )
    return entries


def _holds_distributions(folder: str) -> bool:
    """Whether packages were installed into this folder: then it is no place of scripts."""
    try:
        return any(name.endswith((".dist-info", ".egg-info")) for name in os.listdir(folder))
    except OSError:
        return False


def _candidates(folder: str) -> set[str]:
    """Return the module names that the entries of a folder could be."""
    suffixes = tuple(all_suffixes())
    found: set[str] = set()
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        found.add(name.split(".", 1)[0] if name.endswith(suffixes) else name)
    return found


def _same(first: str, second: str) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


def _shadow(
    name: str, behind: Place | None, users: list[tuple[str, str, set[str]]]
) -> dict[str, Any] | None:
    """Return which user's file wins over ``behind``, None when none does."""
    if behind is None or behind[1]:
        return None
    for folder, origin, names in users:
        if name not in names:
            continue
        place = _in_entry(name, folder)
        if place is None or place[1]:
            continue  # a folder without __init__.py gives way to a package found later
        if _same(place[0], behind[0]):
            return None
        return {"shadow": place[0], "shadow_from": origin}
    return None


def _folders(users: list[tuple[str, str, set[str]]], name: str, origin: str) -> list[str]:
    return [folder for folder, own_origin, names in users if name in names and own_origin == origin]


def _is_in(path: str, folders: list[str]) -> bool:
    real = os.path.realpath(path)
    return any(real.startswith(folder + os.sep) for folder in folders)


def collect(orders: dict[str, Any], paths: list[str], sites: list[str]) -> dict[str, Any]:
    """Return the facts `packages.modules`."""
    entries = _user_entries(orders)
    own = {os.path.realpath(folder) for folder, _ in entries}
    rest = [path for path in paths if os.path.realpath(path) not in own]
    # A folder in which packages are installed hides nothing by mistake, wherever it is named;
    # it is searched, in its place, like the others.
    users = [
        (folder, origin, _candidates(folder))
        for folder, origin in entries
        if not _holds_distributions(folder) or origin == "working directory"
    ]
    user_folders = {folder for folder, _, _ in users}
    behind_path = [f for f, _ in entries if f not in user_folders] + rest
    # The working directory may itself be on the path behind the script (a site folder, or the
    # standard library's own): what is found there twice is the same thing.
    behind_path += [path for path in paths if path not in behind_path and path not in user_folders]
    facts: dict[str, Any] = {}
    for name in _MODULES:
        behind = _search(name, behind_path) or _hooked(name)
        row: dict[str, Any] = {"found": None}
        shadow = _shadow(name, behind, users)
        place = behind
        if place is None or place[1]:
            # Nothing is installed. What lies on PYTHONPATH is found by every program; what lies
            # in the working directory is found by those that are started there, and is told apart.
            place = _search(name, _folders(users, name, "PYTHONPATH")) or behind
            local = _search(name, _folders(users, name, "working directory"))
            if local is not None and not local[1]:
                row["local"] = local[0]
        if place is not None:
            row.update(found=place[0], namespace=place[1], in_site=_is_in(place[0], sites))
        if shadow is not None and behind is not None:
            row.update(shadow, found=shadow["shadow"], in_site=False, hides=behind[0])
        facts[name] = row
    facts.update(_standard_library(users, rest))
    return facts


def _standard_library(
    users: list[tuple[str, str, set[str]]], rest: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the names of the standard library that a user's file takes."""
    taken: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        if not any(name in names for _, _, names in users):
            continue
        if name in sys.builtin_module_names or FrozenImporter.find_spec(name) is not None:
            continue  # found before any folder is looked at
        shadow = _shadow(name, _search(name, rest), users)
        if shadow is not None:
            row: dict[str, Any] = {"found": shadow["shadow"], "in_site": False}
            row.update(shadow, namespace=False, hides="the standard library")
            taken[name] = row
    return taken
