"""What the readers make of each format, written as the tools write it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_doctor.declared.facts import facts_of
from mtcnn_doctor.declared.lines import Declaration
from mtcnn_doctor.declared.project import poetry_range
from mtcnn_doctor.declared.read import read
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.knowledge.place import Place

LINUX = Place("3.11", "linux_x86_64")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def lines(found: Declaration) -> list[tuple[str, str, str]]:
    """Name, range, and the number of the line with the name of its file."""
    return [(one.name, one.specifier, Path(one.where).name) for one in found.lines]


def versions(found: Declaration, place: Place = LINUX) -> dict[str, str]:
    rows = facts_of(found, place)["packages"]["distributions"]
    return {row["name"]: row["version"] for row in rows}


REQUIREMENTS = """\
# what we need
-r sub/base.txt   # ours
-climits.txt
--index-url https://example.invalid/simple
--require-hashes
NumPy==1.26.4 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
torch[opt] >= 2.2, <2.3 ; python_version >= "3.8"  # the newest that facenet takes
tensorflow==2.15.1; sys_platform == "win32"
onnxruntime==${OUR_VERSION}
opencv-python-headless@ https://example.invalid/opencv_python_headless-4.10.0.84-cp37-abi3-any.whl
-e ../ours
./wheels/mtcnn-1.0.0-py3-none-any.whl
git+https://example.invalid/facenet.git#egg=facenet-pytorch
"""


def test_a_requirements_file_of_every_kind_of_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_VERSION", "1.18.0")
    write(tmp_path, "sub/base.txt", "pillow\n-r more.txt\n")
    write(tmp_path, "sub/more.txt", "requests\n")
    write(tmp_path, "limits.txt", "keras<3\n")
    found = read([write(tmp_path, "requirements.txt", REQUIREMENTS)], (), ())
    assert lines(found) == [
        ("pillow", "", "base.txt:1"),
        ("requests", "", "more.txt:1"),
        ("keras", "<3", "limits.txt:1"),
        ("numpy", "==1.26.4", "requirements.txt:6"),
        ("torch", "<2.3,>=2.2", "requirements.txt:9"),
        ("tensorflow", "==2.15.1", "requirements.txt:10"),
        ("onnxruntime", "==1.18.0", "requirements.txt:11"),
        ("opencv-python-headless", "==4.10.0.84", "requirements.txt:12"),
        ("", "", "requirements.txt:13"),
        ("mtcnn", "==1.0.0", "requirements.txt:14"),
        ("facenet-pytorch", "", "requirements.txt:15"),
    ]
    assert [one.kind for one in found.lines].count("constraint") == 1
    said = "\n".join(found.remarks)
    assert "requirements.txt:4 names another index" in said
    assert "requirements.txt:13 takes ours from elsewhere" in said
    assert "tensorflow" not in versions(found)  # for Windows alone
    assert versions(found)["torch"] == "2.2.2"
    # A constraint asks for nothing.
    assert "keras" not in versions(found)


PIP = """
import sys
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import parse_requirements
for one in parse_requirements(sys.argv[1], session=PipSession()):
    print(f"{one.requirement}|{one.constraint}|{one.line_source}")
"""


def test_lines_are_the_ones_that_pip_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip's own reader on a file with continuations, comments, includes and variables."""
    monkeypatch.setenv("WANTED", "1.26.4")
    text = (
        "torch \\\n  >=2.2,\\\n  <2.3 # a remark\n# torch==9 \\\nmtcnn==1.0.0;python_version>'3'\n"
        "numpy==${WANTED}\nkeras # ${NOTHING}\n\n--pre\n-r more.txt\n--constraint=limits.txt\n"
        "opencv-python==4.10.0.84 --hash=sha256:aa --hash=sha256:bb"
    )
    write(tmp_path, "more.txt", "\ufeffpillow\r\ntensorflow-cpu\r\n")
    write(tmp_path, "limits.txt", "requests<3\n")
    path = write(tmp_path, "requirements.txt", text)
    done = subprocess.run(
        [sys.executable, "-c", PIP, path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this pip has another inside: {done.stderr[-200:]}")
    theirs = []
    for line in done.stdout.splitlines():
        text, constraint, source = line.split("|")
        name = text.replace(" ", "").split("=")[0].split(">")[0].split("<")[0].split(";")[0]
        theirs.append((name, constraint == "True", source.split("line ")[1].split(" of")[0]))
    ours = [
        (one.name, one.kind == "constraint", one.where.rsplit(":", 1)[1])
        for one in read([path], (), ()).lines
    ]
    assert ours == theirs
    assert len(ours) == 8


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "numpy\ntorch=2.0\n", "a.txt:2: 'torch=2.0' is no requirement"),
        ("a.txt", "-r nowhere.txt\n", "a.txt:1: "),
        ("a.txt", "numpy==${NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE is not set"),
        ("a.txt", "--frobnicate\n", "pip has no option --frobnicate"),
        ("a.txt", "-r\n", "names no file"),
        ("pyproject.toml", "[project\n", "is not valid TOML"),
        ("pyproject.toml", "[tool.black]\n", "neither [project] nor [tool.poetry]"),
        ("pyproject.toml", "[project]\ndependencies = 'torch'\n", "must be a list of strings"),
        ("pyproject.toml", "[project]\ndependencies = ['to rch']\n", "is no requirement"),
        ("environment.yml", "name: x\n", "has no 'dependencies:'"),
        ("environment.yml", "dependencies:\n  - &a numpy\n", "environment.yml:2: '&a numpy'"),
        ("environment.yml", "dependencies:\n  numpy: 1\n", "YAML of a kind that is not read"),
        ("environment.yml", "dependencies:\n  - numpy=1|2\n", "no version range"),
        ("Pipfile.lock", "{", "is not valid JSON"),
        ("Pipfile.lock", "[]", "has no section 'default'"),
        ("uv.lock", "version = 1\n", "has no [[package]]"),
        ("poetry.lock", "package = [1]\n", "has no [[package]]"),
        ("pylock.toml", "lock-version = '1.0'\n", "has no [[packages]]"),
        ("Pipfile", "", "this format is not read"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_said_in_one_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(UsageError) as caught:
        read([path], (), ())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\x02\xff\xfe\x80")
    for name, said in (("", "is a folder"), ("no.txt", "not exist"), ("binary.txt", "not text")):
        with pytest.raises(UsageError, match=said):
            read([tmp_path / name], (), ())


def test_powershell_writes_utf16(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("numpy==1.26.4\r\ntorch==2.2.2\r\n".encode("utf-16"))
    assert [one.name for one in read([path], (), ()).lines] == ["numpy", "torch"]


PROJECT = """\
[project]
name = "faces"
requires-python = ">=3.10"
dependencies = [
  "mtcnn==1.0.0",
  "numpy<2",
]

[project.optional-dependencies]
tf = ["tensorflow<2.16", "faces[cv]"]
cv = ["opencv-python-headless==4.10.0.84"]

[dependency-groups]
dev = [{include-group = "Test_It"}, "ruff"]
test-it = ["onnxruntime==1.18.0"]
"""


def test_pyproject_with_extras_and_groups(tmp_path: Path) -> None:
    path = write(tmp_path, "pyproject.toml", PROJECT)
    assert [one.name for one in read([path], (), ()).lines] == ["mtcnn", "numpy"]
    found = read([path], ["TF"], ["dev"])
    assert lines(found) == [
        ("mtcnn", "==1.0.0", "pyproject.toml:5"),
        ("numpy", "<2", "pyproject.toml:6"),
        ("tensorflow", "<2.16", "pyproject.toml:10"),
        ("opencv-python-headless", "==4.10.0.84", "pyproject.toml:11"),
        ("onnxruntime", "==1.18.0", "pyproject.toml:15"),
        ("ruff", "", "pyproject.toml:14"),
    ]
    assert found.python == [(">=3.10", f"{path}:3")]
    with pytest.raises(UsageError, match="no extra 'nope'; it has: cv, tf"):
        read([path], ["nope"], [])
    with pytest.raises(UsageError, match="no dependency group 'nope'"):
        read([path], [], ["nope"])


def test_a_group_that_includes_itself(tmp_path: Path) -> None:
    text = '[dependency-groups]\na = [{include-group = "b"}]\nb = [{include-group = "a"}]\n'
    with pytest.raises(UsageError, match="includes itself"):
        read([write(tmp_path, "pyproject.toml", text)], [], ["a"])


POETRY = """\
[tool.poetry]
name = "faces"

[tool.poetry.dependencies]
python = "^3.10"
mtcnn = "1.0.0"
numpy = "^1.26"
tensorflow = { version = "~2.15", markers = "sys_platform == 'win32'" }
onnxruntime = { version = "*", optional = true }
torch = [
  { version = "2.2.2", platform = "linux" },
  { version = "2.0.1", platform = "darwin" },
]

[tool.poetry.group.dev.dependencies]
opencv-python = ">=4.10,<5"

[tool.poetry.extras]
ort = ["onnxruntime"]
"""


def test_poetrys_own_table(tmp_path: Path) -> None:
    path = write(tmp_path, "pyproject.toml", POETRY)
    found = read([path], [], [])
    assert [one.name for one in found.lines] == ["mtcnn", "numpy", "tensorflow", "torch", "torch"]
    assert found.lines[0].where == f"{path}:6"
    assert found.python == [("<4,>=3.10", f"{path}:5")]
    chosen = versions(found)
    assert (chosen["torch"], chosen["numpy"]) == ("2.2.2", "1.26.4")
    assert "tensorflow" not in chosen
    more = {one.name for one in read([path], ["ort"], ["dev"]).lines}
    assert {"onnxruntime", "opencv-python"} <= more


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("^1.2.3", ">=1.2.3,<2"), ("^0.2.3", ">=0.2.3,<0.3"), ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^2", ">=2,<3"), ("~1.2.3", ">=1.2.3,<1.3"), ("~1", ">=1,<2"), ("1.2.*", "==1.2.*"),
        ("1.2", "==1.2"), (">=1.2 <2", ">=1.2,<2"), ("*", ""), ("~=1.4", "~=1.4"),
    ],
)  # fmt: skip
def test_ranges_of_poetry(text: str, means: str) -> None:
    assert set(poetry_range(text, "x").split(",")) == set(means.split(","))


CONDA = """\
name: faces
channels:
  - pytorch
dependencies:
  - python=3.12   # ours
  - pytorch::pytorch=2.2.2=py3.12_cpu_0
  - numpy>=1.26,<2
  - "opencv=4.10"
  - libblas=*=*mkl
  - pip
  - pip:
      - facenet-pytorch==2.6.0
      - -r more.txt
variables:
  A: b
"""


def test_environment_yml(tmp_path: Path) -> None:
    write(tmp_path, "more.txt", "requests==2.32.0\n")
    path = write(tmp_path, "environment.yml", CONDA)
    found = read([path], [], [])
    assert lines(found) == [
        ("torch", "==2.2.2.*", "environment.yml:6"),
        ("numpy", "<2,>=1.26", "environment.yml:7"),
        ("opencv-python", "==4.10.*", "environment.yml:8"),
        ("libblas", "", "environment.yml:9"),
        ("facenet-pytorch", "==2.6.0", "environment.yml:12"),
        ("requests", "==2.32.0", "more.txt:1"),
    ]
    assert found.python_wanted == "3.12"
    assert versions(found, Place("3.12", "linux_x86_64"))["torch"] == "2.2.2"


UV_LOCK = """\
version = 1
requires-python = ">=3.10"

[[package]]
name = "faces"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
    { name = "numpy", version = "1.26.4", marker = "sys_platform == 'win32'" },
    { name = "numpy", version = "2.2.6", marker = "sys_platform != 'win32'" },
]

[package.optional-dependencies]
tf = [{ name = "tensorflow" }]

[package.dev-dependencies]
dev = [{ name = "onnxruntime" }]

[[package]]
name = "numpy"
version = "1.26.4"
source = { registry = "https://example.invalid/simple" }

[[package]]
name = "numpy"
version = "2.2.6"
source = { registry = "https://example.invalid/simple" }

[[package]]
name = "onnxruntime"
version = "1.18.0"
source = { registry = "https://example.invalid/simple" }
wheels = [
    { url = "https://example.invalid/onnxruntime-1.18.0-cp311-cp311-manylinux_2_28_x86_64.whl" },
]

[[package]]
name = "tensorflow"
version = "2.20.0"
source = { registry = "https://example.invalid/simple" }
dependencies = [{ name = "numpy", version = "1.26.4", marker = "sys_platform == 'win32'" }]
"""


def test_uv_lock(tmp_path: Path) -> None:
    path = write(tmp_path, "uv.lock", UV_LOCK)
    assert versions(read([path], [], [])) == {"numpy": "2.2.6"}
    windows = Place("3.11", "win_amd64")
    found = read([path], ["tf"], ["dev"])
    assert versions(found, windows) == {
        "numpy": "1.26.4", "onnxruntime": "1.18.0", "tensorflow": "2.20.0",
    }  # fmt: skip
    assert [one.where for one in found.lines if one.name == "tensorflow"] == [f"{path}:38"]
    # The lock lists one file, for another platform.
    told = facts_of(found, windows)["declared"]["exclusions"]
    assert [one["text"] for one in told] == [
        "onnxruntime 1.18.0: the lock has no wheel for Python 3.11 on windows-amd64"
    ]
    assert facts_of(found, LINUX)["declared"]["exclusions"] == []
    with pytest.raises(UsageError, match="no extra 'nope'; it has: tf"):
        read([path], ["nope"], [])
    with pytest.raises(UsageError, match="no group 'nope'; it has: dev"):
        read([path], [], ["nope"])


POETRY_LOCK = """\
[[package]]
name = "numpy"
version = "1.26.4"
optional = false
python-versions = ">=3.9"
groups = ["main"]
files = [{file = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl", hash = "sha256:aa"}]

[[package]]
name = "onnxruntime"
version = "1.18.0"
optional = true
python-versions = "*"
groups = ["main"]
markers = "extra == \\"ort\\""

[[package]]
name = "ruff"
version = "0.14.0"
optional = false
groups = ["dev"]

[extras]
ort = ["onnxruntime"]

[metadata]
lock-version = "2.1"
python-versions = ">=3.10,<3.13"
"""


def test_poetry_lock(tmp_path: Path) -> None:
    path = write(tmp_path, "poetry.lock", POETRY_LOCK)
    found = read([path], [], [])
    assert lines(found) == [("numpy", "==1.26.4", "poetry.lock:2")]
    assert found.python == [("<3.13,>=3.10", f"{path}:28")]
    assert versions(read([path], ["ort"], []))["onnxruntime"] == "1.18.0"
    assert {one.name for one in read([path], [], ["dev"]).lines} == {"numpy", "ruff"}


PIPFILE_LOCK = """\
{
    "_meta": {"requires": {"python_version": "3.11"}},
    "default": {
        "numpy": {"hashes": ["sha256:aa"], "markers": "python_version >= '3.9'",
                  "version": "==1.26.4"},
        "tensorflow": {"markers": "sys_platform == 'win32'", "version": "==2.15.1"}
    },
    "develop": {
        "numpy": {"version": "==1.26.4"},
        "ipykernel": {"version": "==6.30.0"}
    }
}
"""


def test_pipfile_lock(tmp_path: Path) -> None:
    path = write(tmp_path, "Pipfile.lock", PIPFILE_LOCK)
    found = read([path], [], [])
    assert lines(found) == [
        ("numpy", "==1.26.4", "Pipfile.lock:4"), ("tensorflow", "==2.15.1", "Pipfile.lock:6"),
    ]  # fmt: skip
    assert found.python_wanted == "3.11"
    assert versions(found) == {"numpy": "1.26.4"}
    assert lines(read([path], [], ["dev"]))[-1] == ("ipykernel", "==6.30.0", "Pipfile.lock:10")


def test_pylock(tmp_path: Path) -> None:
    text = (
        'lock-version = "1.0"\n[[packages]]\nname = "numpy"\nversion = "1.26.4"\n'
        '[[packages.wheels]]\nname = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl"\n'
        '[[packages]]\nname = "tensorflow"\nversion = "2.15.1"\nmarker = "os_name == \'nt\'"\n'
    )
    found = read([write(tmp_path, "pylock.toml", text)], [], [])
    assert lines(found)[1] == ("tensorflow", "==2.15.1", "pylock.toml:8")
    assert versions(found) == {"numpy": "1.26.4"}


def test_extras_of_a_file_that_has_none(tmp_path: Path) -> None:
    path = write(tmp_path, "requirements.txt", "numpy")
    with pytest.raises(UsageError, match="--extra"):
        read([path], ["tf"], [])
