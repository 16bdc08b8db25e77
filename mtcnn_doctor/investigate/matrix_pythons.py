"""Which interpreters ``matrix --python`` means: a version that is here somewhere, or a path."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from mtcnn_doctor import surroundings
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.investigate.matrix_commands import Commands
from mtcnn_doctor.targets import resolve

_VERSION = re.compile(r"\d+(\.\d+){1,2}")
#: Oldest Python that the doctor's part in the target runs on.
_OLDEST = (3, 8)
_ASK_S = 20.0
_ASK = (
    "import json, platform, sys; print(json.dumps(["
    "platform.python_version(), platform.python_implementation(), "
    "getattr(sys, '_base_executable', None) or sys.executable]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that environments can be made of."""

    version: str
    implementation: str
    path: str

    @property
    def name(self) -> str:
        """Its name for people."""
        plain = "Python" if self.implementation == "CPython" else self.implementation
        return f"{plain} {self.version}"


def interpreters(given: Sequence[str], commands: Commands) -> list[Interpreter]:
    """Return the interpreters that are meant, once each; by default the doctor's own.

    Raises:
        UsageError: one that is not here, is no Python, or is too old.
    """
    found: dict[str, Interpreter] = {}
    for word in given or (sys.executable,):
        if _VERSION.fullmatch(word):
            one = _of_version(word, commands)
        else:
            path = resolve(word, None).python
            known = _identify(path, commands)
            if known is None:
                raise UsageError(f"--python {word} does not behave like Python; name another")
            one = known
        if Version(one.version).release[:2] < _OLDEST:
            raise UsageError(
                f"--python {word} is {one.name}; {_OLDEST[0]}.{_OLDEST[1]} or newer is needed"
            )
        found.setdefault(os.path.realpath(one.path), one)
    return list(found.values())


def _of_version(version: str, commands: Commands) -> Interpreter:
    asked: set[str] = set()
    for path in _places(version):
        real = os.path.realpath(path)
        if real in asked:
            continue
        asked.add(real)
        known = _identify(path, commands)
        if known is not None and _fits(known.version, version):
            return known
    raise UsageError(
        f"--python {version}: none was found (looked on PATH, in pyenv's and uv's folders); "
        "install it, or give the path of an interpreter"
    )


def _fits(version: str, wanted: str) -> bool:
    parts = wanted.split(".")
    return version.split(".")[: len(parts)] == parts


def _places(version: str) -> Iterator[str]:
    """Yield where an interpreter of a version may be, the likeliest first."""
    yield sys.executable
    minor = ".".join(version.split(".")[:2])
    for name in (f"python{minor}", "python3", "python"):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            found = shutil.which(name, path=folder) if folder else None
            # pyenv's shims ask pyenv which of its versions to be; those are looked at below.
            if found and Path(found).parent.name != "shims":
                yield found
    home = surroundings.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    for versions, pattern in ((pyenv, f"{version}*"), (uv, f"cpython-{version}*")):
        for place in sorted(versions.glob(pattern), key=_by_number, reverse=True):
            for inside in ("bin/python3", "bin/python", "python.exe"):
                if (place / inside).is_file():
                    yield str(place / inside)
                    break


def _by_number(place: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", place.name)]


def _identify(path: str, commands: Commands) -> Interpreter | None:
    """Return what an interpreter says of itself; of an environment's, the one it was made of."""
    done = commands.run([path, "-I", "-S", "-c", _ASK], _ASK_S)
    try:
        version, implementation, base = json.loads(done.out)
        Version(version)
    except (ValueError, TypeError):
        return None
    return Interpreter(version, implementation, base if os.path.isfile(base) else path)
