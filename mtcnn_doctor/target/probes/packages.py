"""What is installed, read from metadata and files alone: nothing of it is imported.

The metadata are those that ``importlib.metadata`` reads, without its mail parser, which would
take most of the time in an environment of a few hundred distributions.
"""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from typing import Any, Callable, Iterator

from . import _binaries, _modules, _record

# Distributions whose files are held against their RECORD.
_OF_INTEREST = frozenset(
    (
        "numpy",
        "torch",
        "torchvision",
        "torchaudio",
        "keras",
        "tf-keras",
        "ml-dtypes",
        "h5py",
        "protobuf",
        "mtcnn",
        "facenet-pytorch",
        "pillow",
        "tflite-runtime",
    )
)
_OF_INTEREST_PREFIXES = ("opencv-", "tensorflow", "onnxruntime", "openvino", "ai-edge-litert")
#: What a distribution may bring, and under which group of its entry points.
_PLUGINS = {"backends": "[mtcnn_doctor.backends]", "subjects": "[mtcnn_doctor.subjects]"}


def normalised(name: str) -> str:
    """Return a distribution name as PEP 503 spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def of_interest(key: str) -> bool:
    """Whether the files of this distribution are examined."""
    return key in _OF_INTEREST or key.startswith(_OF_INTEREST_PREFIXES)


def _headers(path: str) -> list[tuple[str, str]] | None:
    """Return the header lines of METADATA, PKG-INFO or WHEEL; None where it cannot be read."""
    headers: list[tuple[str, str]] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                line = line.rstrip("\r\n")
                if not line:
                    break  # the long description follows
                if line[0] in " \t":
                    if headers:
                        headers[-1] = (headers[-1][0], headers[-1][1] + " " + line.strip())
                    continue
                name, found, value = line.partition(":")
                if found:
                    headers.append((name.strip().lower(), value.strip()))
    except OSError:
        return None
    return headers


def _first(headers: list[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in headers if key == name), None)


def _egg_requires(folder: str) -> list[str]:
    """Return the Requires-Dist lines that an egg's requires.txt stands for."""
    lines = []
    extra, marker = "", ""
    text = _record.read_text(os.path.join(folder, "requires.txt")) or ""
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            extra, _, marker = line[1:-1].partition(":")
            continue
        conditions = []
        if marker:
            conditions.append(f"({marker})" if extra else marker)
        if extra:
            conditions.append(f'extra == "{extra}"')
        lines.append(line + (" ; " + " and ".join(conditions) if conditions else ""))
    return lines


def _distribution(folder: str, location: str) -> dict[str, Any] | None:
    """Return the facts of one metadata folder (or egg-info file), None when it is unusable."""
    is_egg = not folder.endswith(".dist-info")
    if not os.path.isdir(folder):
        headers = _headers(folder)
    else:
        headers = _headers(os.path.join(folder, "PKG-INFO" if is_egg else "METADATA"))
    name = _first(headers, "name") if headers else None
    version = _first(headers, "version") if headers else None
    if not headers or not name or not version:
        return None
    facts: dict[str, Any] = {
        "name": name,
        "key": normalised(name),
        "version": version,
        "requires": [value for key, value in headers if key == "requires-dist"],
        "requires_python": _first(headers, "requires-python"),
        "location": location,
        "metadata_folder": folder,
        "files_checked": 0,
    }
    if is_egg:
        if not facts["requires"]:
            facts["requires"] = _egg_requires(folder)
        return facts
    wheel = _headers(os.path.join(folder, "WHEEL")) or []
    facts["wheel_tags"] = [value for key, value in wheel if key == "tag"]
    installer = (_record.read_text(os.path.join(folder, "INSTALLER")) or "").strip()
    if installer:
        facts["installer"] = installer
    facts.update(_plugins(folder))
    direct = _record.read_text(os.path.join(folder, "direct_url.json")) or ""
    if direct:
        facts["editable"] = _is_editable(direct)
    if of_interest(facts["key"]) and installer != "conda" and not facts.get("editable"):
        facts.update(_record.compare(folder, location))
    return facts


def _plugins(folder: str) -> dict[str, dict[str, str]]:
    """Return the plug-ins that a distribution brings, by kind: name to "module:object"."""
    text = _record.read_text(os.path.join(folder, "entry_points.txt")) or ""
    kinds = {group: kind for kind, group in _PLUGINS.items() if group in text}
    found: dict[str, dict[str, str]] = {}
    kind = None
    for line in (line.strip() for line in text.splitlines() if kinds):
        if line.startswith("["):
            kind = kinds.get(line)
            continue
        name, is_entry, place = line.partition("=")
        if kind is not None and is_entry and not line.startswith(("#", ";")):
            found.setdefault(kind, {})[name.strip()] = place.strip()
    return found


def _is_editable(direct_url: str) -> bool:
    import json

    try:
        return bool(json.loads(direct_url).get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return False


def _folders(paths: list[str]) -> Iterator[str]:
    """Yield the folders of the module path once each, however many names they have."""
    seen = set()
    for path in paths:
        if not path or not os.path.isdir(path):
            continue
        real = os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield path


def _installed(paths: list[str]) -> dict[str, Any]:
    """Return distributions, unusable metadata folders and leftovers on the module path."""
    distributions: list[dict[str, Any]] = []
    unreadable: list[str] = []
    leftovers: list[str] = []
    for folder in _folders(paths):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith("~"):
                leftovers.append(path)
            elif name.endswith((".dist-info", ".egg-info")):
                facts = _distribution(path, folder)
                if facts is not None:
                    distributions.append(facts)
                else:
                    unreadable.append(path)
            elif name.endswith(".egg") and os.path.isdir(os.path.join(path, "EGG-INFO")):
                facts = _distribution(os.path.join(path, "EGG-INFO"), path)
                if facts is not None:
                    distributions.append(facts)
    return {"distributions": distributions, "unreadable": unreadable, "leftovers": leftovers}


def _site_folders() -> list[str]:
    """Return the folders of the environment that hold installed packages."""
    asked: list[Callable[[], list[str]]] = [
        lambda: [sysconfig.get_paths()[key] for key in ("purelib", "platlib")],
        lambda: list(site.getsitepackages()),
        lambda: [site.getusersitepackages()],
    ]
    found: list[str] = []
    for ask in asked:
        try:
            found.extend(ask())
        except Exception:  # old virtualenvs lack parts of `site`
            pass
    return [os.path.realpath(path) for path in found]


def collect(orders: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of `packages`."""
    paths = [entry for entry in sys.path if isinstance(entry, str) and entry]
    facts = _installed(paths)
    try:
        facts["modules"] = _modules.collect(orders, paths, _site_folders())
    except Exception:  # a fact that cannot be had stays out
        pass
    try:
        facts["numpy_abi"] = _binaries.numpy_builds(facts["distributions"])
    except Exception:  # as above
        pass
    return facts
