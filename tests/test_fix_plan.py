"""The plan of ``fix``: what may be run at all, in which order, and which remedies go together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mtcnn_doctor.investigate.fix_commands import read
from mtcnn_doctor.investigate.fix_freeze import Freeze, Row
from mtcnn_doctor.investigate.fix_place import Place, place_of
from mtcnn_doctor.investigate.fix_plan import Plan, plan
from mtcnn_doctor.investigate.fix_restore import commands
from mtcnn_doctor.model import Finding, Remedy, Severity

from .conftest import Doctor

PYTHON = "/data/venv/bin/python"
PIP = Place(PYTHON, "venv", "pip", (PYTHON, "-m", "pip"))
UV = Place(PYTHON, "venv", "uv", ("/bin/uv",))
START = f"{PYTHON} -m pip install --only-binary :all: "


@pytest.mark.parametrize(
    "command",
    [
        "pip install numpy && rm -rf ~",
        "pip install numpy; reboot",
        "pip install $(whoami)",
        "pip install numpy > /etc/passwd",
        "pip install 'numpy",
        "pip install",
        "pip install --upgrade",
        "pip install -r requirements.txt",
        "pip install -e .",
        "pip install ./numpy.whl",
        "pip install numpy @ https://example.org/numpy.whl",
        "pip install 'numpy @ https://example.org/numpy.whl'",
        "pip install git+https://example.org/numpy",
        "pip install --index-url https://example.org/simple numpy",
        "pip install --index-url http://download.pytorch.org/whl/cpu torch",
        "pip install --index-url https://download.pytorch.org@example.org/ torch",
        "pip install --index-url https://download.pytorch.org.example.org/ torch",
        "pip install --extra-index-url https://example.org/simple numpy",
        "pip install --target /usr/lib numpy",
        "pip uninstall -y numpy",
        "pip download numpy",
        "/other/bin/python -m pip install numpy",
        "uv pip install --python /other/bin/python numpy",
        "uv pip install numpy",
        "sudo pip install numpy",
        "apt-get install -y libgl1",
        "export KERAS_BACKEND=tensorflow",
        "python -m ipykernel install --user --name mtcnn",
        "mtcnn-doctor bench --backend torch --bisect",
        "",
    ],
)
def test_only_installations_of_names_are_understood(command: str) -> None:
    assert read(command, PYTHON) is None


@pytest.mark.parametrize("program", ["pip", "python -m pip", f"{PYTHON} -m pip"])
def test_an_installation_is_understood_whoever_it_names(program: str) -> None:
    change = read(
        f'{program} install --force-reinstall --no-deps "torch==2.4.*" torchvision '
        "--index-url https://download.pytorch.org/whl/cpu",
        PYTHON,
    )
    assert change is not None
    assert (change.again, change.alone, change.upgrade) == (True, True, False)
    assert change.index == "https://download.pytorch.org/whl/cpu"
    assert [str(one) for one in change.requirements] == ["torch==2.4.*", "torchvision"]
    assert read(f"uv pip install --python {PYTHON} numpy", PYTHON) is not None


def problem(
    id: str, about: str, *commands: str, alternatives: bool = False, **more: Any
) -> Finding:
    return Finding(
        f"{id} of {about}", Severity.ERROR, id=id, about=about,
        remedy=Remedy(f"mend {about}", commands, alternatives=alternatives), **more,
    )  # fmt: skip


def facts(**distributions: str | tuple[str, Sequence[str]]) -> dict[str, Any]:
    """The facts about distributions, each a version, or a version and its requirements."""
    rows = []
    for name, told in distributions.items():
        version, requires = (told, ()) if isinstance(told, str) else told
        rows.append(
            {"name": name, "key": name.replace("_", "-"), "version": version,
             "requires": list(requires)}
        )  # fmt: skip
    return {
        "python": {"version": "3.11.7", "platform": "linux", "machine": "x86_64", "markers": {}},
        "packages": {"distributions": rows},
    }


def lines(found: Plan) -> list[list[str]]:
    """The commands of each step as one would type them, without quotes."""
    return [[" ".join(command) for command in step.commands] for step in found.steps]


def test_what_two_remedies_ask_of_one_package_is_asked_once() -> None:
    found = plan(
        [
            problem("protobuf-mismatch", "tensorflow", 'pip install "protobuf<5"'),
            problem("requirement-conflict", "onnx", 'pip install "protobuf>=4.25" sympy'),
        ],
        facts(protobuf="6.31.1", tensorflow="2.16.2", onnx="1.16.0"),
        PIP,
    )
    assert lines(found) == [[START + "protobuf<5,>=4.25 sympy"]]
    assert found.steps[0].findings == ("protobuf-mismatch:tensorflow", "requirement-conflict:onnx")


def test_the_way_is_taken_that_breaks_nothing_else() -> None:
    """NumPy 1 would mend onnxruntime, and break what needs NumPy 2."""
    finding = problem(
        "numpy-abi", "onnxruntime", 'pip install "numpy<2"',
        'pip install --upgrade "onnxruntime>=1.19"', alternatives=True,
    )  # fmt: skip
    free = plan([finding], facts(numpy="2.2.6", onnxruntime="1.16.3"), PIP)
    assert lines(free) == [[START + "numpy<2"]]
    bound = plan(
        [finding], facts(numpy="2.2.6", onnxruntime="1.16.3", opencv=("5", ["numpy>=2"])), PIP
    )
    assert lines(bound) == [[START + "--upgrade onnxruntime>=1.19"]]


def test_two_findings_take_the_way_that_mends_both() -> None:
    both = [
        problem("numpy-abi", name, f'pip install --upgrade "{name}>=9"', 'pip install "numpy<2"',
                alternatives=True)
        for name in ("torch", "h5py")
    ]  # fmt: skip
    found = plan(both, facts(numpy="2.2.6", torch="2.2.2", h5py="3.10"), PIP)
    assert lines(found) == [[START + "numpy<2"]]


def test_what_requires_the_changed_package_is_heeded() -> None:
    found = plan(
        [problem("tensorflow-version-matrix", "tensorflow", 'pip install "numpy<2"')],
        facts(
            numpy="2.2.6",
            scipy=("1.13.0", ["numpy<2.3,>=1.22"]),  # may stay, and is held
            opencv=("4.12", ["numpy>=2"]),  # cannot stay as it is
            loose=("1.0", ["numpy", "absent>=1"]),  # was installed without its requirements
        ),
        PIP,
    )
    assert lines(found) == [[START + "numpy<2 opencv scipy==1.13.0"]]
    assert any("opencv requires" in note and "replaced" in note for note in found.steps[0].notes)


def test_remedies_that_contradict_each_other_are_settled_by_the_tables() -> None:
    """Two frameworks of the tables that want different NumPy releases: one of them moves."""
    findings = [
        problem("tensorflow-version-matrix", "tensorflow-cpu", 'pip install "numpy<2,>=1.23.5"'),
        problem("requirement-conflict", "opencv-python-headless", 'pip install "numpy>=2"'),
    ]
    found = plan(
        findings,
        facts(
            numpy="2.4.0",
            tensorflow_cpu=("2.15.1", ["numpy<2,>=1.23.5"]),
            opencv_python_headless=("4.13.0.90", ["numpy>=2"]),
        ),
        PIP,
    )
    (step,) = found.steps
    assert step.kind == "automatic"
    assert set(step.findings) == {f"{one.id}:{one.about}" for one in findings}
    text = lines(found)[0][0]
    # One of the two keeps its release, and one NumPy is left for both.
    assert ("tensorflow-cpu==2.15.1" in text) + ("opencv-python-headless==4.13.0.90" in text) == 1
    assert text.count("numpy") == 1


def test_a_contradiction_that_nobody_can_settle_is_said() -> None:
    found = plan(
        [
            problem("requirement-conflict", "first", 'pip install "base<2"'),
            problem("requirement-conflict", "second", 'pip install "base>=2"'),
        ],
        facts(base="2.0", first="1.0", second="1.0"),
        PIP,
    )
    assert [step.kind for step in found.steps] == ["automatic", "manual"]
    assert lines(found)[0] == [START + "base<2"]
    assert "contradicts" in found.steps[1].reason
    assert "base<2" in found.steps[1].reason
    assert "base>=2" in found.steps[1].reason


def test_the_order_is_that_of_the_findings_and_consequences_get_no_step() -> None:
    hidden = Finding(
        "crash", Severity.SKIP, id="backend-crash", about="torch", requires=("numpy-abi:torch",)
    )
    found = plan(
        [
            problem("gpu-driver-too-old", "driver", "apt-get install -y nvidia-driver-580"),
            problem("numpy-abi", "torch", 'pip install "numpy<2"'),
            problem("thread-oversubscription", "OMP", "export OMP_NUM_THREADS=2"),
            problem("jupyter", "kernel", "export A=1", "pip install ipykernel"),
            hidden,
        ],
        facts(numpy="2.2.6", torch="2.2.2"),
        PIP,
    )
    assert [step.findings[0].split(":")[0] for step in found.steps] == [
        "gpu-driver-too-old", "numpy-abi", "thread-oversubscription", "jupyter",
    ]  # fmt: skip
    # Half of a remedy is none: the last one needs a variable as well.
    assert [step.kind for step in found.steps] == ["manual", "automatic", "manual", "manual"]
    assert found.steps[0].shown == ("apt-get install -y nvidia-driver-580",)
    assert found.steps[1].expected == ("numpy-abi:torch", "backend-crash:torch")


def test_only_what_was_selected_is_planned() -> None:
    found = plan(
        [problem("a", "x", "pip install x"), problem("b", "y", "pip install y")],
        facts(),
        PIP,
        frozenset({"b"}),
    )
    assert [step.findings for step in found.steps] == [("b:y",)]


def test_one_opencv_stays_and_no_other_remedy_brings_the_rest_back() -> None:
    duplicates = Finding(
        "two", Severity.ERROR, id="opencv-duplicates", about="opencv", remedy=Remedy("uninstall")
    )
    upgrade = problem("numpy-abi", "opencv-python", 'pip install -U "opencv-python>=4.10"')
    installed = facts(opencv_python="4.8.1.78", opencv_python_headless="4.8.1.78")
    found = plan([duplicates, upgrade], installed, PIP)
    assert lines(found) == [
        [
            f"{PYTHON} -m pip uninstall --yes opencv-python opencv-python-headless",
            START + "--no-deps opencv-python-headless>=4.10",
        ],
        [START + "--upgrade opencv-python-headless>=4.10"],
    ]
    asked = facts(
        opencv_python="4.8.1.78", opencv_python_headless="4.8.1.78",
        mtcnn=("0.1.1", ["opencv-python>=4.1.0"]),
    )  # fmt: skip
    assert lines(plan([duplicates], asked, UV)) == [
        [
            f"/bin/uv pip uninstall --python {PYTHON} opencv-python opencv-python-headless",
            f"/bin/uv pip install --python {PYTHON} --only-binary :all: --no-deps"
            " opencv-python==4.8.1.78",
        ]
    ]


def test_uv_gets_options_that_mean_the_same() -> None:
    """uv's --upgrade and --reinstall would touch every requirement."""
    found = plan(
        [problem("a", "x", "pip install --upgrade protobuf"),
         problem("b", "y", "pip install --force-reinstall --no-deps numpy")],
        facts(protobuf="3.20", numpy="2.0"),
        UV,
    )  # fmt: skip
    start = f"/bin/uv pip install --python {PYTHON} --only-binary :all: "
    assert lines(found) == [
        [start + "--upgrade-package=protobuf protobuf"],
        [start + "--no-deps --reinstall-package=numpy numpy"],
    ]


def test_metadata_that_is_no_version_does_no_harm() -> None:
    installed = facts(
        numpy="2.2.6",
        odd=("1.0 --index-url=https://example.org", ["numpy"]),
        opencv_python="; reboot",
        opencv_python_headless="; reboot",
    )
    duplicates = Finding("two", Severity.ERROR, id="opencv-duplicates", remedy=Remedy("uninstall"))
    found = plan([duplicates, problem("a", "x", 'pip install "numpy<2"')], installed, PIP)
    assert [step.kind for step in found.steps] == ["manual", "automatic"]
    assert lines(found)[1] == [START + "numpy<2"]


# -- where nothing may be installed ----------------------------------------------------------------


def environment(folder: Path, *, base: Path | None = None) -> dict[str, Any]:
    site = folder / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    return {
        "python": {"prefix": str(folder), "base_prefix": str(base or folder), "version": "3.11.7",
                   "sys_path": [str(site)]},
        "packages": {"distributions": [{"key": "pip", "version": "24.0", "location": str(site)}]},
    }  # fmt: skip


def test_externally_managed_conda_and_system_pythons_are_left_alone(tmp_path: Path) -> None:
    managed = environment(tmp_path / "managed")
    (tmp_path / "managed/lib/python3.11/EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    assert "PEP 668" in place_of(PYTHON, managed, live=True).refusal
    # The mark is about the Python itself, and not about environments made of it.
    made = environment(tmp_path / "venv", base=tmp_path / "managed")
    assert place_of(PYTHON, made, live=True).refusal == ""
    conda = environment(tmp_path / "conda")
    (tmp_path / "conda" / "conda-meta").mkdir()
    assert "conda" in place_of(PYTHON, conda, live=True).refusal
    system = environment(tmp_path / "system")
    system["python"].update(prefix="/usr", base_prefix="/usr", version="3.1.4")
    assert "operating system" in place_of(PYTHON, system, live=True).refusal
    bare = environment(tmp_path / "bare")
    place = place_of(PYTHON, bare, live=True)
    assert place.refusal == ""
    assert "no virtual environment" in place.remarks[0]


def test_a_refusal_makes_every_step_manual(tmp_path: Path) -> None:
    conda = environment(tmp_path)
    (tmp_path / "conda-meta").mkdir()
    place = place_of(PYTHON, conda, live=True)
    found = plan([problem("a", "x", 'pip install "numpy<2"')], facts(numpy="2.2.6"), place)
    (step,) = found.steps
    assert (step.kind, step.commands) == ("manual", ())
    assert "conda" in step.reason
    assert "numpy<2" in step.shown[0]


# -- going back ---------------------------------------------------------------------------------


def row(key: str, version: str, **more: Any) -> Row:
    return Row(key, version, "index", (f"{key}=={version}",), **more)


def freeze(*rows: Row) -> Freeze:
    return Freeze(PYTHON, "/data/venv", "", {one.key: one for one in rows})


def test_going_back_touches_what_differs_and_what_shares_its_files() -> None:
    pip = f"{PYTHON} -m pip "
    again = pip + "install --no-deps --force-reinstall "
    before = freeze(
        row("numpy", "2.0"),
        row("kept", "1.0"),
        row("torch", "2.4.0+cpu", index="https://download.pytorch.org/whl/cpu"),
        row("opencv-python", "4.10", written=2.0, shares=("opencv-python-headless",)),
        row("opencv-python-headless", "4.9", written=1.0, shares=("opencv-python",)),
    )
    after = freeze(
        row("numpy", "1.26"), row("kept", "1.0"), row("torch", "2.5.0"), row("new", "1.0"),
        row("opencv-python", "4.10"),
    )  # fmt: skip
    assert [" ".join(one) for one in commands(PIP, before, after)] == [
        pip + "uninstall --yes new opencv-python",
        again + "numpy==2.0",
        again + "--extra-index-url https://download.pytorch.org/whl/cpu torch==2.4.0+cpu",
        # In the order in which they were installed: whose files are there is decided by it.
        again + "opencv-python-headless==4.9",
        again + "opencv-python==4.10",
    ]
    assert commands(PIP, before, before) == []


def test_the_installer_itself_is_taken_away_last() -> None:
    before = freeze(row("numpy", "2.2.6"))
    after = freeze(row("numpy", "1.26.4"), row("pip", "26.0"), row("more", "1.0"))
    pip = f"{PYTHON} -m pip "
    assert [" ".join(one) for one in commands(PIP, before, after)] == [
        pip + "uninstall --yes more",
        pip + "install --no-deps --force-reinstall numpy==2.2.6",
        pip + "uninstall --yes pip",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "no freeze of fix"),
        ('{"mtcnn_doctor_freeze": 7}', "another release"),
        (
            '{"mtcnn_doctor_freeze": 1, "python": "/x", "prefix": "/x", "created": "", "about": {},'
            ' "residues": [], "distributions": []}',
            "no freeze of fix",
        ),
        (
            json.dumps(
                {"mtcnn_doctor_freeze": 1, "python": "/x", "prefix": "/x", "created": "",
                 "about": {}, "residues": [],
                 "distributions": [
                     {"key": "numpy", "version": "1.0", "origin": "index", "index": "", "lost": "",
                      "spec": ["--index-url=https://example.org"], "written": 0, "folder": "",
                      "shares": []}]}
            ),
            "no freeze of fix",
        ),
    ],
    ids=["torn", "another-shape", "another-release", "empty", "smuggled-option"],
)  # fmt: skip
def test_a_freeze_that_is_none_is_refused(
    doctor: Doctor, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "freeze.json"
    file.write_text(content, encoding="utf-8")
    answer = doctor("fix", "--restore", file, "--yes")
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1


def test_facts_from_elsewhere_are_planned_for_and_never_carried_out(doctor: Doctor) -> None:
    recorded = Path(__file__).parent / "facts" / "torch-2.2.2-numpy-2.2.6.json"
    refused = doctor("fix", "--facts", recorded, "--apply", "--yes")
    assert refused.code == 2
    assert "another machine" in refused.err
    answer = doctor("fix", "--facts", recorded, "--format", "json")
    assert answer.code == 1
    first = json.loads(answer.out)["steps"][0]
    assert first["findings"][0]["name"] == "numpy-abi:torch"
    assert first["kind"] == "automatic"
    assert "numpy<2" in first["commands"][0]
    assert json.loads(answer.out)["applied"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--apply"], "no terminal"),
        (["--restore", "nowhere.json"], "no terminal"),
        (["--restore", "nowhere.json", "--yes"], "cannot be read"),
        (["--yes"], "--apply or --restore"),
        (["--restore", "x", "--apply", "--yes"], "--restore goes with"),
        (["--select", "nonsense"], "nonsense"),
        (["--install-timeout", "0"], "--install-timeout 0"),
        (["--facts", "nowhere.json"], "cannot be read"),
        (["--facts", "x", "--python", "y"], "--facts names its own target"),
    ],
)
def test_what_cannot_be_used_is_one_line(doctor: Doctor, arguments: list[str], said: str) -> None:
    answer = doctor("fix", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert answer.out == ""
