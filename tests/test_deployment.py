"""The files of deploy/, action.yml and the pre-commit hook do what docs/deployment.md says.

What a shell can run is run, with the real doctor. What needs Docker or a cluster is parsed, and the
doctor's command lines in it are read by the doctor's own options.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from mtcnn_doctor.cli.app import build

from .docs import sandbox

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DOCTOR = Path(sys.executable).parent / "mtcnn-doctor"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bash, Slurm and containers")


def parsed(words: list[str]) -> dict[str, Any]:
    """Let the doctor's own options read a command line, and return their values."""
    command = typer.main.get_command(build()).commands[words[0]]  # type: ignore[attr-defined]
    return dict(command.make_context(words[0], words[1:]).params)


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(
    command: list[str], environment: Mapping[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run something in an environment that holds nothing but what is given."""
    return subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True,
        timeout=300, check=False, **options,
    )  # fmt: skip


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


# The GitHub Action


class Job:
    """A runner's folders and files, and the steps of action.yml run in them as a runner would."""

    def __init__(self, folder: Path) -> None:
        self.action = document(ROOT / "action.yml")
        self.temp, self.work = folder / "temp", folder / "work"
        for place in (self.temp, self.work):
            place.mkdir()
        self.files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in self.files.values():
            path.touch()

    def has_doctor(self) -> None:
        """As if the first step had been made."""
        (self.temp / "mtcnn-doctor").symlink_to(sys.prefix, target_is_directory=True)

    def step(self, number: int, **given: str) -> subprocess.CompletedProcess[str]:
        step = self.action["runs"]["steps"][number]
        inputs = {name: one["default"] for name, one in self.action["inputs"].items()}
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        own = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: inputs[m[1]], value)
            for name, value in step.get("env", {}).items()
        }
        assert step["shell"] == "bash"
        # This is what a runner makes of "shell: bash".
        return run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            {"RUNNER_TEMP": str(self.temp), "GITHUB_ACTION_PATH": str(ROOT), **own,
             **{name: str(path) for name, path in self.files.items()}},
            cwd=self.work,
        )  # fmt: skip

    def outputs(self) -> dict[str, str]:
        lines = self.files["GITHUB_OUTPUT"].read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_no_input_of_the_action_becomes_code_of_its_shell(job: Job) -> None:
    for step in job.action["runs"]["steps"]:
        assert "${{" not in step["run"]
    names = {*re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text())}
    assert names == set(job.action["inputs"])
    ids = {step.get("id") for step in job.action["runs"]["steps"]}
    for output in job.action["outputs"].values():
        told = re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.([\w-]+) \}\}", output["value"])
        assert told
        assert told[1] in ids
        assert f"{told[2]}=$" in job.action["runs"]["steps"][1]["run"]


def test_the_action_reports_and_ends_as_the_doctor_does(job: Job) -> None:
    job.has_doctor()
    args = "--select 'gpu' --expect-gpu"
    done = job.step(1, python=sys.prefix, level="1", args=args)
    if "gpu-none" not in done.stdout:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 1, done.stderr
    assert re.search(r"^::error .*gpu-none", done.stdout, re.MULTILINE)
    told = job.outputs()
    assert told["exit-code"] == "1"
    assert json.loads(Path(told["sarif"]).read_text())["version"] == "2.1.0"
    report = json.loads(Path(told["json"]).read_text())
    assert [f["id"] for f in report["findings"] if f["severity"] == "error"] == ["gpu-none"]
    assert "### ❌ `gpu-none`" in job.files["GITHUB_STEP_SUMMARY"].read_text()
    # A second use in the same job adds to the summary, and passes where nothing is wrong.
    done = job.step(1, python=sys.executable, level="1", args="--select python-version")
    assert done.returncode == 0, done.stderr
    assert job.outputs()["exit-code"] == "0"
    assert job.files["GITHUB_STEP_SUMMARY"].read_text().count("## mtcnn-doctor") == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"level": "7"}, "--level"),
        ({"fail_on": "never"}, "--fail-on"),
        ({"python": "no-such-python"}, "no interpreter no-such-python"),
        ({"args": "--select 'gpu"}, "the input args of mtcnn-doctor cannot be split"),
        ({"args": "$(touch hit) `touch hit` ; touch hit; * --nonsense"}, "--nonsense"),
        ({"python": "$(touch hit)\"; touch hit; '"}, "no interpreter"),
    ],
)
def test_a_wrong_input_of_the_action_fails_the_job(
    job: Job, given: dict[str, str], said: str
) -> None:
    job.has_doctor()
    done = job.step(1, **given)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert "::error::" in done.stdout
    assert "sarif" not in job.outputs()
    assert list(job.work.iterdir()) == []


@pytest.mark.environments
def test_the_action_installs_the_doctor_beside_what_it_examines(job: Job) -> None:
    done = job.step(0)
    assert done.returncode == 0, done.stderr
    done = job.step(1, python=sys.executable, level="1", args="--select python-version")
    assert done.returncode == 0, done.stderr
    assert (job.temp / "mtcnn-doctor" / "bin" / "mtcnn-doctor").is_file()


# The pre-commit hook


def test_the_hook_lints_python_and_notebooks(tmp_path: Path) -> None:
    (hook,) = document(ROOT / ".pre-commit-hooks.yaml")
    assert hook["language"] == "python"  # installs this repository and runs its command
    assert hook["types_or"] == ["python", "jupyter"]
    sandbox.prepare(tmp_path)
    words = shlex.split(hook["entry"])
    done = run(
        [str(Path(sys.executable).parent / words[0]), *words[1:], "faces.py", "faces.ipynb"],
        {}, cwd=tmp_path / "work",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "faces.py" in done.stdout
    assert "faces.ipynb" in done.stdout


# Containers


def container_checks() -> Iterator[tuple[str, list[str]]]:
    """The doctor's command lines in the files that need Docker or a cluster."""
    for name, words in (
        *((name, line) for name, line in _in_dockerfile()),
        ("compose", _healthy(document(DEPLOY / "compose.yaml"))),
        ("kubernetes", init_container()["command"]),
    ):
        assert words[0] == "/doctor/bin/mtcnn-doctor", name
        yield name, words[1:]


def _in_dockerfile() -> Iterator[tuple[str, list[str]]]:
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    health = re.search(r"^HEALTHCHECK .* CMD (.*) \|\| exit 1$", text, re.MULTILINE)
    assert health
    yield "health check", shlex.split(health[1])
    command = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert command
    yield "command", json.loads(command[1])


def _healthy(compose: Any) -> list[str]:
    shell, line = compose["services"]["faces"]["healthcheck"]["test"]
    assert shell == "CMD-SHELL"
    assert line.endswith(" || exit 1")
    return shlex.split(line.removesuffix(" || exit 1"))


def init_container() -> dict[str, Any]:
    pod = document(DEPLOY / "kubernetes.yaml")["spec"]["template"]["spec"]
    return dict(pod["initContainers"][0])


def test_the_doctor_takes_the_command_lines_of_the_containers() -> None:
    lines = dict(container_checks())
    assert set(lines) == {"health check", "command", "compose", "kubernetes"}
    for words in lines.values():
        assert words[0] == "check"
        assert parsed(words)["python"] == "/usr/local/bin/python"


def test_the_image_holds_what_its_files_name_and_is_not_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    assert len(re.findall(r"^FROM python:\$\{PYTHON\}-slim", text, re.MULTILINE)) == 2
    build = document(DEPLOY / "compose.yaml")["services"]["faces"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_the_pod_is_locked_down_and_examines_the_image_that_will_run() -> None:
    pod = document(DEPLOY / "kubernetes.yaml")["spec"]["template"]["spec"]
    first, service = init_container(), pod["containers"][0]
    for key in ("image", "resources", "volumeMounts", "securityContext"):
        assert first[key] == service[key]
    assert pod["securityContext"]["runAsNonRoot"]
    assert first["securityContext"]["readOnlyRootFilesystem"]
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in first["volumeMounts"]} == names


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whom nobody knows")
def test_it_examines_without_home_name_and_temporary_folder(tmp_path: Path) -> None:
    """As in the pod: an unknown user, nothing in the environment, no folder to write to."""
    if not _is_open_to_all(Path(sys.executable)):
        pytest.skip("this environment lies in a folder that others cannot enter")
    words = [sys.executable, "-m", "mtcnn_doctor", "check", "--level", "1",
             "--select", "python-version"]  # fmt: skip
    done = run(["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", *words],
               {"TMPDIR": "/nonexistent"}, cwd="/")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def _is_open_to_all(path: Path) -> bool:
    places = {*path.parents, *path.resolve().parents, *ROOT.parents, ROOT}
    return all(place.stat().st_mode & 0o005 == 0o005 for place in places)


# Shell scripts


@pytest.mark.parametrize("name", ["slurm-prolog.sh", "node-exporter.sh"])
def test_a_script_can_be_run_and_holds_lines_that_the_doctor_takes(name: str) -> None:
    path = DEPLOY / name
    assert os.access(path, os.X_OK)
    options = re.findall(r"^\s*(?:\[.* && )?options\+?=\((.*)\)$", path.read_text(), re.MULTILINE)
    assert options
    parsed(["check", *(word for line in options for word in shlex.split(line))])
    if shutil.which("shellcheck"):
        assert run(["shellcheck", str(path)], {}).stdout == ""


class Node:
    """A compute node that runs the Prolog."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "prolog.log"

    def prolog(self, doctor: Path, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(DEPLOY / "slurm-prolog.sh")],  # with no PATH, as Slurm calls it
            env={"MTCNN_DOCTOR": str(doctor), "MTCNN_DOCTOR_LOG": str(self.log),
                 "TMPDIR": str(self.folder), "SLURM_JOB_ID": "17", **more},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_prolog_drains_for_a_gpu_that_is_gone_and_for_nothing_else(node: Node) -> None:
    done = node.prolog(DOCTOR, SLURM_JOB_GPUS="0")
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 1
    said = node.log.read_text()
    assert "gpu-none" in said
    assert "job 17: the node is drained for the errors above" in said
    # The same node is good for a job that wants none.
    assert node.prolog(DOCTOR).returncode == 0
    assert list(node.folder.iterdir()) == [node.log]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\nexit 2\n", "could not look (exit code 2)"),
        ("#!/bin/sh\nkill -SEGV $$\n", "could not look (exit code 139)"),
        ("#!/bin/sh\nexec sleep 60\n", "did not end in 1 s"),
        ("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", "did not end in 1 s"),
        ("#!/no/such/python\n", "could not look (exit code 127)"),
        # What Python does where the package is broken.
        ("#!/bin/sh\necho 'ModuleNotFoundError: typer' >&2\nexit 1\n", "(exit code 1)"),
    ],
)
def test_a_doctor_that_cannot_look_never_drains_the_node(node: Node, text: str, said: str) -> None:
    doctor = script(node.folder / "bin" / "mtcnn-doctor", text)
    done = node.prolog(doctor, MTCNN_DOCTOR_LIMIT="1")
    assert done.returncode == 0
    assert said in node.log.read_text()
    assert "the job starts" in node.log.read_text()


def test_the_prolog_lets_jobs_start_where_it_is_not_installed_or_has_no_log(node: Node) -> None:
    assert node.prolog(node.folder / "none", MTCNN_DOCTOR_LOG="/nonexistent/log").returncode == 0


def test_the_metrics_appear_whole_and_for_everybody(tmp_path: Path) -> None:
    given = {"MTCNN_DOCTOR": str(DOCTOR), "TEXTFILE_FOLDER": str(tmp_path)}
    # Without runs: what they say is tested with the format.
    broken = script(
        tmp_path / "bin" / "doctor",
        f'#!/bin/sh\nexec {shlex.quote(str(DOCTOR))} "$@" --level 1 --select gpu --expect-gpu\n',
    )
    export = [str(DEPLOY / "node-exporter.sh"), sys.executable]
    done = run(export, {**given, "MTCNN_DOCTOR": str(broken)})
    assert done.returncode == 0, done.stderr
    metrics = tmp_path / "mtcnn_doctor.prom"
    assert metrics.stat().st_mode & 0o777 == 0o644
    text = metrics.read_text()
    assert re.search(r"^mtcnn_doctor_exit_code\{.*\} [01]$", text, re.MULTILINE)
    # A doctor that fails is told, and the former metrics grow old.
    dead = script(tmp_path / "bin" / "dead", "#!/bin/sh\nexit 1\n")
    done = run(export, {**given, "MTCNN_DOCTOR": str(dead)})
    assert done.returncode == 1
    assert "made no metrics (exit code 1)" in done.stderr
    assert metrics.read_text() == text
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "mtcnn_doctor.prom"}
