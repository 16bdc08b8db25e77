"""Small wheels of their own for the tests of ``matrix``: metadata, and whatever they do."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel; ``files`` go into site-packages as they are."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    contents = {
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(inside, text)
    return path


#: Dereferences null in every child of the doctor in which NumPy is imported, as a fault would.
CRASHES = """
import os, sys
if "MTCNN_DOCTOR_CHILD" in os.environ:
    import ctypes, importlib.abc
    class Fault(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "numpy":
                ctypes.string_at(0)
    sys.meta_path.insert(0, Fault())
"""

#: Hangs where NumPy is imported, as long as a file exists.
HANGS = """
import os, sys
if "MTCNN_DOCTOR_CHILD" in os.environ:
    import importlib.abc, time
    class Hang(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            while name == "numpy" and os.path.exists({flag!r}):
                time.sleep(0.1)
    sys.meta_path.insert(0, Hang())
"""


def culprit(folder: Path, version: str, code: str | None = None) -> Path:
    """Write a release of a package that does something in every process of its environment."""
    files = {"culprit.py": code or ""}
    if code:
        files["culprit.pth"] = "import culprit\n"
    return wheel(folder, "culprit", version, files=files)
