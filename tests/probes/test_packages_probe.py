"""The packages probe on folders with real faults, made by hand, and on real environments."""

import base64
import hashlib
import os
import struct
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mtcnn_doctor.target.probes import _binaries, _record, packages

from .test_level_one import collect


def _elf(rodata, whole=True):
    """Return a small ELF file with this read-only data."""
    names = b"\0.rodata\0.shstrtab\0"
    body = 64
    table = body + len(rodata) + len(names)
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    rows = b"\0" * 64
    rows += struct.pack("<IIQQQQIIQQ", 1, 1, 2, 0, body, len(rodata), 0, 0, 1, 0)
    rows += struct.pack("<IIQQQQIIQQ", 9, 3, 0, 0, body + len(rodata), len(names), 0, 0, 1, 0)
    data = head + rodata + names + rows
    return data if whole else data[:-40]


class Site:
    """A site-packages folder that is filled by hand."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)

    def install(self, name, version, files, metadata="", editable=False, installer="pip"):
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\nDescription\n"
        )
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
        (info / "INSTALLER").write_text(installer + "\n")
        if editable:
            (info / "direct_url.json").write_text('{"dir_info": {"editable": true}}')
        rows = []
        for path, data in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            rows.append(f"{path},sha256={digest},{len(data)}")
        rows += ["../../../bin/f2py,sha256=x,300", f"{info.name}/RECORD,,"]
        (info / "RECORD").write_text("\n".join(rows) + "\n")
        return info

    def examine(self):
        return packages._installed([str(self.folder)])

    def only(self):
        [distribution] = self.examine()["distributions"]
        return distribution


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "lib" / "python3.11" / "site-packages")


NUMPY = {
    "numpy/__init__.py": b"x = 1\n",
    "numpy/linalg/__init__.py": b"",
    "numpy/_core/_multiarray_umath.cpython-311.so": _elf(b"numpy._core._multiarray_umath\0"),
    "numpy/_core/include/numpy/arrayobject.h": b"#define X\n",
    "numpy/tests/test_all.py": b"def test(): pass\n",
    "numpy/__pycache__/__init__.cpython-311.pyc": b"code",
}


def test_metadata(site):
    site.install(
        "Torch_Vision",
        "1.0",
        {},
        'Requires-Python: >=3.8\nRequires-Dist: numpy (>=1.2)\nRequires-Dist: a ; extra == "b"\n'
        "Classifier: one\n  folded",
    )
    row = site.only()
    assert (row["name"], row["key"], row["version"]) == ("Torch_Vision", "torch-vision", "1.0")
    assert row["requires"] == ["numpy (>=1.2)", 'a ; extra == "b"']
    assert row["requires_python"] == ">=3.8"
    assert row["wheel_tags"] == ["cp311-cp311-linux_x86_64"]
    assert row["installer"] == "pip"
    assert row["location"] == str(site.folder)


def test_whole_installation(site):
    site.install("numpy", "2.2.6", NUMPY)
    row = site.only()
    assert row["files_checked"] == 3
    assert row["files_missing_count"] == row["files_truncated_count"] == 0


def test_half_deleted_installation(site):
    site.install("numpy", "2.2.6", NUMPY)
    for path in NUMPY:
        (site.folder / path).unlink()
    row = site.only()
    assert row["files_missing_count"] == 3
    assert "numpy/linalg/__init__.py" in row["files_missing"]


def test_what_images_leave_out_is_not_missed(site):
    site.install("numpy", "2.2.6", NUMPY)
    for path in NUMPY:
        if path.endswith((".h", ".pyc")) or "/tests/" in path:
            (site.folder / path).unlink()
    assert site.only()["files_missing_count"] == 0


def test_cut_and_emptied_files(site):
    site.install("numpy", "2.2.6", NUMPY)
    library = site.folder / "numpy/_core/_multiarray_umath.cpython-311.so"
    library.write_bytes(library.read_bytes()[:-50])
    (site.folder / "numpy/__init__.py").write_bytes(b"")
    row = site.only()
    assert row["files_truncated_count"] == 2


def test_stripped_library_and_edited_source_are_whole(site):
    site.install("numpy", "2.2.6", NUMPY)
    library = site.folder / "numpy/_core/_multiarray_umath.cpython-311.so"
    stripped = _elf(b"numpy")
    assert len(stripped) < library.stat().st_size
    library.write_bytes(stripped)
    (site.folder / "numpy/__init__.py").write_bytes(b"x\n")
    assert site.only()["files_truncated_count"] == 0


def test_editable_conda_and_foreign_distributions_are_not_examined(site):
    site.install("mtcnn", "1.0", {}, editable=True)
    site.install("h5py", "3.0", {"h5py/__init__.py": b""}, installer="conda")
    site.install("requests", "2.0", {"requests/__init__.py": b""})
    assert [row["files_checked"] for row in site.examine()["distributions"]] == [0, 0, 0]


def test_leftovers_and_unusable_metadata(site):
    (site.folder / "~umpy").mkdir()
    (site.folder / "~-mpy-1.0.dist-info").mkdir()
    (site.folder / "broken-1.0.dist-info").mkdir()
    facts = site.examine()
    assert [Path(path).name for path in facts["leftovers"]] == ["~-mpy-1.0.dist-info", "~umpy"]
    assert [Path(path).name for path in facts["unreadable"]] == ["broken-1.0.dist-info"]


def test_two_records_of_one_distribution(site):
    site.install("opencv-python", "4.9.0.80", {})
    site.install("opencv-python", "4.10.0.84", {})
    assert len(site.examine()["distributions"]) == 2


def test_eggs(site):
    info = site.folder / "old-1.0.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: old\nVersion: 1.0\n\n")
    (info / "requires.txt").write_text('numpy>=1\n\n[test]\npytest\n\n[:python_version<"3"]\nsix\n')
    (site.folder / "single-2.0.egg-info").write_text("Name: single\nVersion: 2.0\n")
    old, single = site.examine()["distributions"]
    assert old["requires"] == [
        "numpy>=1",
        'pytest ; extra == "test"',
        'six ; python_version<"3"',
    ]
    assert single["version"] == "2.0"


def test_one_folder_under_two_names(site, tmp_path):
    site.install("numpy", "2.2.6", NUMPY)
    (tmp_path / "lib64").symlink_to(tmp_path / "lib")
    paths = [str(site.folder), str(tmp_path / "lib64" / "python3.11" / "site-packages")]
    assert len(packages._installed(paths)["distributions"]) == 1


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"\0numpy._core._multiarray_umath\0numpy.core._multiarray_umath\0", True),
        (b"\0numpy.core._multiarray_umath\0", False),
        (b"\0numpy.core.multiarray\0", False),
        (b"\0nothing of the kind\0", None),
    ],
)
def test_numpy_headers_of_a_binary(tmp_path, text, answer):
    for name, data in (("a.so", _elf(text)), ("b.pyd", b"MZ" + b"\0" * 100 + text)):
        (tmp_path / name).write_bytes(data)
        assert _binaries.supports_numpy2(str(tmp_path / name)) is answer
    # Code of the library that happens to hold the text is not looked at in ELF files.
    (tmp_path / "empty.so").write_bytes(b"")
    assert _binaries.supports_numpy2(str(tmp_path / "empty.so")) is None


def test_numpy_builds(site):
    binary = _elf(b"numpy.core.multiarray\0")
    site.install("opencv-python-headless", "4.8.1.78", {"cv2/cv2.abi3.so": binary})
    site.install("ml-dtypes", "0.2.0", {"ml_dtypes/_custom_floats.cpython-311.so": binary})
    site.install("h5py", "3.1", {"h5py/_conv.so": b"\x7fELF cut"})
    rows = _binaries.numpy_builds(site.examine()["distributions"])
    assert [(row["distribution"], row["supports_numpy2"]) for row in rows] == [
        ("ml-dtypes", False),
        ("opencv-python-headless", False),
    ]


def test_cut_elf(tmp_path):
    path = tmp_path / "a.so"
    for whole in (True, False):
        path.write_bytes(_elf(b"x", whole))
        assert _record.is_cut_elf(str(path), path.stat().st_size) is not whole
    path.write_bytes(b"MZ" + b"\0" * 100)
    assert _record.is_cut_elf(str(path), 102) is None


# Modules and what hides them: asked of another process, whose path is known.


def _modules(cwd, **variables):
    return collect(sys.executable, "packages", cwd=cwd, **variables)["packages"]["modules"]


@pytest.fixture
def fake(tmp_path):
    """Return a folder that stands for a site-packages with a package `mtcnn` in it.

    It is put at the end of the path with a .pth-like variable of its own: PYTHONPATH is what is
    examined, and folders with distributions in it count as installed.
    """
    site = Site(tmp_path / "fake-site")
    site.install("mtcnn", "1.0", {"mtcnn/__init__.py": b"", "facenet_pytorch/__init__.py": b""})
    return site.folder


def test_script_in_the_working_directory(tmp_path, fake):
    work = tmp_path / "work"
    work.mkdir()
    (work / "mtcnn.py").write_text("raise SystemExit('was executed')\n")
    row = _modules(work, PYTHONPATH=str(fake))["mtcnn"]
    assert row["shadow"] == str(work / "mtcnn.py")
    assert row["shadow_from"] == "working directory"
    assert row["hides"] == str(fake / "mtcnn")
    assert row["found"] == row["shadow"]


def test_working_directory_by_order(tmp_path, fake):
    work = tmp_path / "work"
    (work / "mtcnn").mkdir(parents=True)
    (work / "mtcnn" / "__init__.py").write_text("")
    orders = {"working_directory": str(work)}
    answer = collect(sys.executable, "packages", orders=orders, cwd=tmp_path, PYTHONPATH=str(fake))
    assert answer["packages"]["modules"]["mtcnn"]["shadow"] == str(work / "mtcnn")


def test_folder_without_init_hides_nothing(tmp_path, fake):
    work = tmp_path / "work"
    for name in ("mtcnn", "random", "torch"):
        (work / name).mkdir(parents=True)
    modules = _modules(work, PYTHONPATH=str(fake))
    assert not any("shadow" in row for row in modules.values())
    assert modules["mtcnn"]["found"] == str(fake / "mtcnn")
    assert modules["mtcnn"]["namespace"] is False


def test_script_on_pythonpath_hides_the_standard_library(tmp_path):
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / "timeit.py").write_text("")
    (helpers / "os.py.bak").write_text("")
    modules = _modules(tmp_path, PYTHONPATH=str(helpers))
    assert modules["timeit"]["shadow_from"] == "PYTHONPATH"
    assert modules["timeit"]["hides"] == "the standard library"
    assert "os" not in modules


def test_only_copy_hides_nothing(tmp_path):
    (tmp_path / "facenet_pytorch.py").write_text("")
    row = _modules(tmp_path)["facenet_pytorch"]
    assert row == {"found": None, "local": str(tmp_path / "facenet_pytorch.py")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    row = _modules(elsewhere, PYTHONPATH=str(tmp_path))["facenet_pytorch"]
    assert row["found"] == str(tmp_path / "facenet_pytorch.py")
    assert "shadow" not in row


def test_working_directory_that_is_the_site_folder(fake):
    modules = _modules(fake, PYTHONPATH=str(fake))
    assert not any("shadow" in row for row in modules.values())


def test_checkout_of_this_project_hides_nothing():
    root = Path(__file__).parent.parent.parent
    assert not any("shadow" in row for row in _modules(root).values())


# Real environments.


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the interpreter of a new environment with NumPy 1.26 and an OpenCV for it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*command, "numpy", "h5py"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot install here: {done.stderr[-200:]}")
    return python


@pytest.mark.environments
def test_real_environment(environment, tmp_path):
    answer = collect(environment, "packages", "python", cwd=tmp_path)["packages"]
    rows = {row["key"]: row for row in answer["distributions"]}
    assert rows["numpy"]["files_checked"] > 100
    assert rows["numpy"]["files_missing_count"] == rows["numpy"]["files_truncated_count"] == 0
    assert rows["numpy"]["installer"] == "pip"
    assert answer["modules"]["numpy"]["in_site"] is True
    assert [(r["distribution"], r["supports_numpy2"]) for r in answer["numpy_abi"]] == [
        ("h5py", True)
    ]
    (tmp_path / "numpy.py").write_text("")
    modules = collect(environment, "packages", cwd=tmp_path)["packages"]["modules"]
    assert modules["numpy"]["hides"] == answer["modules"]["numpy"]["found"]


@pytest.mark.environments
def test_real_environment_with_a_broken_numpy(environment, tmp_path):
    facts = collect(environment, "packages", cwd=tmp_path)["packages"]
    numpy = Path(facts["modules"]["numpy"]["found"])
    library = next(numpy.glob("_core/_multiarray_umath*.so"), None)
    if library is None:
        pytest.skip("no ELF library")
    (numpy / "linalg" / "__init__.py").unlink()
    library.write_bytes(library.read_bytes()[:100_000])
    (numpy.parent / "~umpy").mkdir()
    facts = collect(environment, "packages", cwd=tmp_path)["packages"]
    [row] = [row for row in facts["distributions"] if row["key"] == "numpy"]
    assert row["files_missing"] == ["numpy/linalg/__init__.py"]
    assert row["files_truncated"] == [f"numpy/_core/{library.name}"]
    assert [Path(path).name for path in facts["leftovers"]] == ["~umpy"]
