"""What is installed, written down exactly enough to bring it back."""

from __future__ import annotations

import datetime
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from mtcnn_doctor.errors import UsageError

#: Of the file; another number is not read.
VERSION = 1
_ABOUT = ("prefix", "base_prefix", "version", "sys_path")
_LABEL = re.compile(r"\+(cpu|cu\d+|rocm[\d.]+|xpu)$")
_TORCH = ("torch", "torchvision", "torchaudio")
#: The builds of torch with a label are on an index of their own.
_TORCH_INDEX = "https://download.pytorch.org/whl/"


@dataclass(frozen=True)
class Row:
    """One distribution.

    ``spec`` are the words that install it again, ``index`` another index to look at. ``lost``
    says why it cannot be brought back, "" where it can. ``written`` is when it was installed
    (seconds of the clock of files), ``folder`` its metadata, ``shares`` those that own files of
    the same name.
    """

    key: str
    version: str
    origin: str
    spec: tuple[str, ...]
    index: str = ""
    lost: str = ""
    written: float = 0.0
    folder: str = ""
    shares: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...]]:
        """What must be the same for it to be the same."""
        return self.version, self.origin, self.spec


@dataclass(frozen=True)
class Freeze:
    """All distributions of an environment by name.

    ``residues`` are leftovers of installers, ``about`` what of the fact ``python`` tells where
    to look.
    """

    python: str
    prefix: str
    created: str
    rows: Mapping[str, Row]
    residues: frozenset[str] = frozenset()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> list[Row]:
        """Those that cannot be brought back once they are gone."""
        return [row for row in self.rows.values() if row.lost]

    def differences(self, now: Freeze) -> list[dict[str, str | None]]:
        """Return what another state of the environment has changed, by name."""
        found: list[dict[str, str | None]] = []
        for key in sorted({*self.rows, *now.rows}):
            before, after = self.rows.get(key), now.rows.get(key)
            if (before and before.identity) != (after and after.identity):
                found.append(
                    {"name": key, "before": _told(before, after), "after": _told(after, before)}
                )
        return found


def _told(row: Row | None, other: Row | None) -> str | None:
    if row is None:
        return None
    same = other is not None and other.version == row.version
    return f"{row.version} ({' '.join(row.spec)})" if same else row.version


def taken(about: Mapping[str, Any], python: str) -> Freeze:
    """Return the freeze of an environment on this machine.

    Its files are read, and its interpreter is not started: what is to be brought back may be what
    ends it.

    Args:
        about: The fact ``python`` of the target.
        python: Path of its interpreter.
    """
    prefix = os.path.realpath(str(about.get("prefix", "")))
    found: dict[str, tuple[str, str, Path]] = {}
    residues: list[str] = []
    for folder in _site_folders(about, prefix):
        for path in sorted(folder.iterdir()):
            if path.name.startswith("~"):
                residues.append(str(path))
            elif path.suffix in (".dist-info", ".egg-info"):
                if path.suffix == ".dist-info" and not (path / "RECORD").exists():
                    residues.append(str(path))
                named = _named(path)
                if named is not None:
                    found.setdefault(named[0], (*named[1:], path))
    owned = {key: _files(path) for key, (_, _, path) in found.items()}
    owners: dict[str, list[str]] = {}
    for key, files in owned.items():
        for file in files:
            owners.setdefault(file, []).append(key)
    shared = {
        key: tuple(sorted({other for file in files for other in owners[file]} - {key}))
        for key, files in owned.items()
    }
    rows = {
        key: _row(key, name, version, path, shared[key])
        for key, (name, version, path) in found.items()
    }
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    kept = {name: about[name] for name in _ABOUT if name in about}
    return Freeze(python, prefix, now, rows, frozenset(residues), kept)


def _site_folders(about: Mapping[str, Any], prefix: str) -> list[Path]:
    """Return the folders of an environment that its installers write to, once each."""
    found: dict[str, Path] = {}
    for entry in about.get("sys_path") or ():
        real = os.path.realpath(str(entry))
        inside = real.startswith(prefix + os.sep)
        if inside and os.path.basename(real) in ("site-packages", "dist-packages"):
            found.setdefault(real, Path(entry))
    return [path for path in found.values() if path.is_dir()]


def _named(folder: Path) -> tuple[str, str, str] | None:
    """Return the key, name and version of a distribution, None for what no installer can name."""
    try:
        metadata = PathDistribution(folder).metadata
        name, version = metadata["Name"], metadata["Version"]
        key = canonicalize_name(name, validate=True)
        Version(version)
    except (OSError, UnicodeError, KeyError, TypeError, AttributeError, ValueError):
        return None
    return key, name, version


def _files(folder: Path) -> list[str]:
    try:
        text = (folder / "RECORD").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    files = [line.partition(",")[0].strip('"') for line in text.splitlines()]
    return [file for file in files if file and ".." not in file and "__pycache__" not in file]


def _row(key: str, name: str, version: str, folder: Path, shares: tuple[str, ...]) -> Row:
    origin, spec, lost = _source(name, version, folder)
    label = _LABEL.search(version) if key in _TORCH else None
    if origin == "index" and folder.suffix != ".dist-info":
        lost = "it was not installed by pip, and has no list of its files"
    try:
        written = (folder / "RECORD").stat().st_mtime
    except OSError:
        written = 0.0
    index = _TORCH_INDEX + label[1] if label and origin == "index" else ""
    return Row(key, version, origin, spec, index, lost, written, str(folder), shares)


def _source(name: str, version: str, folder: Path) -> tuple[str, tuple[str, ...], str]:
    """Return where a distribution came from, what installs it again, and why nothing can."""
    index = ("index", (f"{name}=={version}",), "")
    try:
        text = (folder / "direct_url.json").read_text(encoding="utf-8")
        direct = json.loads(text)
        url = str(direct["url"])
    except FileNotFoundError:
        return index
    except (OSError, ValueError, KeyError, TypeError):
        return (*index[:2], "its direct_url.json cannot be read")
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = unquote(parts.path)
        lost = "" if os.path.exists(path) else f"{path}, which it was installed from, is gone"
        if "dir_info" not in direct:
            return "file", (path,), lost
        if (direct.get("dir_info") or {}).get("editable"):
            return "editable", ("--editable", path), lost
        return "folder", (path,), lost
    vcs = direct.get("vcs_info") or {}
    if vcs:
        return "vcs", (f"{name} @ {vcs.get('vcs')}+{url}@{vcs.get('commit_id')}",), ""
    return "address", (f"{name} @ {url}",), ""


def save(freeze: Freeze, path: Path) -> None:
    """Write a freeze to a file that appears only when it is complete."""
    data = {
        "mtcnn_doctor_freeze": VERSION,
        "python": freeze.python,
        "prefix": freeze.prefix,
        "created": freeze.created,
        "about": dict(freeze.about),
        "residues": sorted(freeze.residues),
        "distributions": [asdict(row) for row in freeze.rows.values()],
    }
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with open(descriptor, "w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=1)
        stream.write("\n")
    os.replace(name, path)


def load(path: Path) -> Freeze:
    """Read a freeze.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--restore {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--restore {path} is not JSON; name a freeze.json of fix") from error
    try:
        if data["mtcnn_doctor_freeze"] != VERSION:
            raise UsageError(f"--restore {path} was written by another release of mtcnn-doctor")
        rows = {}
        for one in data["distributions"]:
            row = Row(**{**one, "spec": tuple(one["spec"]), "shares": tuple(one["shares"])})
            if canonicalize_name(row.key, validate=True) != row.key or not _is_own(row):
                raise ValueError
            Version(row.version)
            rows[row.key] = row
        if not rows:
            raise ValueError  # to bring back nothing is to uninstall all there is
        return Freeze(
            str(data["python"]),
            str(data["prefix"]),
            str(data["created"]),
            rows,
            frozenset(map(str, data["residues"])),
            dict(data["about"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidName, InvalidVersion) as error:
        raise UsageError(f"--restore {path} is no freeze of fix; name its freeze.json") from error


def _is_own(row: Row) -> bool:
    """Whether what a file says would be installed is what this module writes."""
    words = row.spec
    if row.index and not row.index.startswith(_TORCH_INDEX):
        return False
    if row.origin == "index":
        name, _, version = words[0].partition("==")
        return len(words) == 1 and canonicalize_name(name) == row.key and version == row.version
    if row.origin == "editable":
        return len(words) == 2 and words[0] == "--editable" and os.path.isabs(words[1])
    if row.origin in ("file", "folder"):
        return len(words) == 1 and os.path.isabs(words[0])
    return (
        row.origin in ("vcs", "address")
        and len(words) == 1
        and canonicalize_name(words[0].partition(" @ ")[0]) == row.key
    )
