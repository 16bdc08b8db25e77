"""What ``matrix`` keeps on disk: environments while they are needed, and results of a run.

Results are kept one file a combination until the whole matrix has run, so that one that was
interrupted goes on where it stopped. A matrix that was finished starts afresh the next time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from mtcnn_doctor import surroundings
from mtcnn_doctor.errors import UsageError

#: Of records; another number is not read.
_VERSION = 1
_OWNER, _KEPT = "owner", "kept"
#: Seconds between tries to remove an environment.
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
#: https://bford.info/cachedir/
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of mtcnn-doctor.\n"


def default_folder() -> Path:
    """Return the folder for caches of this user and system."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # a relative one is to be ignored, says its specification
        base = Path(given)
    elif sys.platform == "darwin":
        base = surroundings.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or surroundings.home() / "AppData" / "Local")
    else:
        base = surroundings.home() / ".cache"
    return base / "mtcnn-doctor" / "matrix"


class Cache:
    """A folder of environments and results."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it is missing.

        Raises:
            UsageError: it cannot be made or written to.
        """
        self.folder = folder
        self._environments = folder / "environments"
        try:
            for part in (self._environments, folder / "results"):
                part.mkdir(parents=True, exist_ok=True)
            if not (folder / "CACHEDIR.TAG").exists():
                (folder / "CACHEDIR.TAG").write_text(_TAG, encoding="ascii")
                (folder / ".gitignore").write_text("*\n", encoding="ascii")
        except OSError as problem:
            raise UsageError(
                f"the cache folder {folder} cannot be used: {problem.strerror}; name another with "
                "--cache"
            ) from problem
        self._remove_orphans()

    def environment(self, name: str) -> Path:
        """Return a new folder for an environment; its ``env`` is for the installer to make."""
        place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._environments))
        (place / _OWNER).write_text(f"{os.getpid()}\n", encoding="ascii")
        return place / "env"

    def keep(self, environment: Path) -> None:
        """Let an environment stay when this process has ended."""
        (environment.parent / _KEPT).touch()

    def remove(self, environment: Path) -> None:
        """Remove an environment, though a process that was just killed may yet write into it."""
        for pause in (*_PAUSES_S, None):
            shutil.rmtree(environment.parent, ignore_errors=True)
            if pause is None or not environment.parent.exists():
                return
            time.sleep(pause)

    def _remove_orphans(self) -> None:
        """Remove environments whose process was killed before it could."""
        for place in self._environments.iterdir():
            try:
                owner = int((place / _OWNER).read_text(encoding="ascii"))
            except (OSError, ValueError):
                continue  # being made this moment, or not ours
            if not (place / _KEPT).exists() and not psutil.pid_exists(owner):
                shutil.rmtree(place, ignore_errors=True)

    def results(self, identity: Mapping[str, Any]) -> Results:
        """Return the results of the matrix that these words describe."""
        return Results(self.folder / "results" / fingerprint(identity))


class Results:
    """The results of one matrix that has not run to its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> dict[str, Any] | None:
        """Return what was found of a combination, None where it has not run."""
        try:
            document = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(document, dict) or document.get("version") != _VERSION:
            return None
        found = document.get("result")
        return found if isinstance(found, dict) else None

    def save(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep what was found; the file is whole or not there.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._folder, suffix=".new", delete=False
            ) as file:
                json.dump({"version": _VERSION, "result": result}, file)
            Path(file.name).replace(self._folder / f"{key}.json")
        except OSError as problem:
            raise UsageError(
                f"results cannot be kept in {self._folder}: {problem.strerror}; free some room, or "
                "name another folder with --cache"
            ) from problem

    def forget(self) -> None:
        """Remove them: the matrix has run to its end."""
        shutil.rmtree(self._folder, ignore_errors=True)


def fingerprint(value: Any) -> str:
    """Return a short name for plain data, the same for the same data."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:20]
