"""Kernels and notebooks, judged on recorded facts."""

import copy

import pytest
from mtcnn_doctor.checks.jupyter import (
    kernel_interpreter_mismatch,
    kernel_missing_interpreter,
    kernel_no_ipykernel,
)
from mtcnn_doctor.checks.notebook import (
    kernel_died,
    notebook_import_order,
    notebook_stale_module,
)

from mtcnn_doctor.model import Severity

PYTHON = {"version": "3.11.7", "prefix": "/envs/mine"}
OWN = {
    "name": "python3",
    "display_name": "Python 3",
    "spec": "/envs/mine/share/jupyter/kernels/python3/kernel.json",
    "launchers": ["target"],
    "python": "/envs/mine/bin/python",
    "module": "ipykernel_launcher",
    "is_target": True,
    "state": "ok",
    "told": {"version": "3.11.7", "prefix": "/envs/mine", "modules": {"ipykernel_launcher": True}},
}
OTHER = {
    **OWN,
    "name": "other",
    "display_name": "Other",
    "spec": "/home/me/.local/share/jupyter/kernels/other/kernel.json",
    "python": "/envs/other/bin/python",
    "is_target": False,
    "told": {
        "version": "3.9.18",
        "prefix": "/envs/other",
        "executable": "/envs/other/bin/python",
        "versions": {"numpy": "1.26.4", "opencv-python": "4.8.1.78", "ipykernel": "6.29.5"},
        "modules": {"ipykernel_launcher": True},
    },
}
PACKAGES = ("numpy==2.4.6", "opencv-python-headless==5.0.0.93", "mtcnn==1.0.0", "ipykernel==7.4.0")


def jupyter(*kernels, shell=None, examined=None):
    return {"kernels": list(kernels), "shell": shell or {}, "examined": examined}


def changed(kernel, **more):
    return {**copy.deepcopy(kernel), **more}


@pytest.fixture
def mismatch(judge, installed):
    def call(fact, *more):
        packages = installed(*PACKAGES, *more)
        return judge(kernel_interpreter_mismatch, jupyter=fact, packages=packages, python=PYTHON)

    return call


def test_a_machine_without_jupyter_or_with_its_own_kernel_says_nothing(judge, mismatch):
    for fact in (jupyter(), jupyter(OWN)):
        assert mismatch(fact) == []
        assert judge(kernel_missing_interpreter, jupyter=fact) == []
        assert judge(kernel_no_ipykernel, jupyter=fact) == []


def test_a_kernel_of_a_deleted_environment(judge):
    gone = changed(OTHER, state="missing", reason="the environment /envs/other is gone", told={})
    (finding,) = judge(kernel_missing_interpreter, jupyter=jupyter(OWN, gone))
    assert finding.severity is Severity.ERROR
    assert finding.about == "other"
    assert finding.evidence["starts"] == "/envs/other/bin/python"
    assert "--name other" in finding.remedy.commands[0]


@pytest.mark.parametrize("state", ["not-python", "crash", "timeout"])
def test_a_kernel_that_does_not_start(judge, state):
    broken = changed(OTHER, state=state, reason="it ended with SIGSEGV")
    (finding,) = judge(kernel_missing_interpreter, jupyter=jupyter(broken))
    assert finding.severity is Severity.ERROR


def test_what_cannot_be_told_is_no_fault(judge, mismatch):
    unknown = changed(OTHER, state="unknown", python=None, reason="uv chooses", told={})
    old = changed(OTHER, state="too-old", reason="it is Python 2.7", told={})
    for fact in (jupyter(unknown), jupyter(old)):
        assert judge(kernel_missing_interpreter, jupyter=fact) == []
        assert judge(kernel_no_ipykernel, jupyter=fact) == []
        assert mismatch(fact) == []


def test_a_kernel_without_ipykernel(judge):
    told = {**OTHER["told"], "modules": {"ipykernel_launcher": False}}
    (finding,) = judge(kernel_no_ipykernel, jupyter=jupyter(OWN, changed(OTHER, told=told)))
    assert finding.severity is Severity.ERROR
    assert finding.remedy.commands == ("/envs/other/bin/python -m pip install ipykernel",)


def test_a_kernel_that_is_meant_to_be_another_is_only_mentioned(mismatch):
    (finding,) = mismatch(jupyter(OWN, OTHER))
    assert finding.severity is Severity.INFO
    said = finding.evidence["other"]
    assert said in finding.title
    assert "Python 3.9.18 (here 3.11.7)" in said
    assert "numpy 1.26.4 (here 2.4.6)" in said
    assert "no mtcnn" in said
    # Another distribution of the same OpenCV is another version, and not an absent one.
    assert "cv2 4.8.1.78" in said


def test_a_kernel_with_the_same_versions_is_not_mentioned(mismatch):
    versions = dict(line.split("==") for line in PACKAGES)
    told = {**OTHER["told"], "version": "3.11.7", "versions": versions}
    assert mismatch(jupyter(OWN, changed(OTHER, told=told))) == []


def test_the_default_kernel_of_this_environment_is_another(mismatch):
    taken = changed(OTHER, name="python3")
    (finding,) = mismatch(jupyter(taken), "jupyterlab==4.6.6")
    assert finding.severity is Severity.ERROR
    assert "mtcnn" in finding.title
    # Nobody starts notebooks from an environment that has no Jupyter.
    (finding,) = mismatch(jupyter(taken))
    assert finding.severity is Severity.INFO


def test_the_jupyter_of_the_shell_is_of_another_environment(mismatch):
    theirs = changed(OTHER, name="python3", launchers=["shell"])
    shell = {
        "python": {"path": "/envs/mine/bin/python", "is_target": True},
        "jupyter": {"path": "/usr/bin/jupyter", "is_target": False},
    }
    (finding,) = mismatch(jupyter(theirs, shell=shell))
    assert finding.severity is Severity.WARNING
    assert finding.evidence["jupyter"] == "/usr/bin/jupyter"
    # Another shell than that of the environment says nothing about notebooks.
    shell["python"]["is_target"] = False
    (finding,) = mismatch(jupyter(theirs, shell=shell))
    assert finding.severity is Severity.INFO


def test_pip_installs_elsewhere_than_into_the_kernel(judge, installed):
    versions = {"numpy": "2.4.6", "mtcnn": "1.0.0"}
    told = {"version": "3.11.7", "executable": "/usr/bin/python3", "versions": versions}
    shell = {"pip": {"path": "/usr/bin/pip", "is_target": False, "state": "ok", "told": told}}
    fact = jupyter(OWN, shell=shell, examined="python3")

    def mismatch(*lines):
        packages = installed(*lines)
        return judge(kernel_interpreter_mismatch, jupyter=fact, packages=packages, python=PYTHON)

    (finding,) = mismatch("numpy==2.4.6")
    assert finding.severity is Severity.WARNING
    assert finding.remedy.commands == ("%pip install mtcnn",)
    (finding,) = mismatch("numpy==2.4.6", "facenet-pytorch==2.6.0")
    assert finding.severity is Severity.INFO
    shell["pip"]["is_target"] = True
    assert mismatch("numpy==2.4.6") == []


def imported(*names, **more):
    return [
        {
            "module": name,
            "position": number,
            "distribution": name,
            "imported_version": "1.26.4",
            "disk_version": "1.26.4",
            **more.get(name, {}),
        }
        for number, name in enumerate(names)
    ]


def test_a_module_that_was_replaced_on_disk(judge):
    rows = imported("numpy", "torch", "mtcnn", "keras")
    assert judge(notebook_stale_module, notebook={"imported": rows}) == []
    rows = imported(
        "numpy",
        "torch",
        "mtcnn",
        "keras",
        numpy={"disk_version": "2.4.6"},
        mtcnn={"changed": True},
        keras={"disk_version": None},
    )
    found = judge(notebook_stale_module, notebook={"imported": rows})
    assert [finding.about for finding in found] == ["numpy", "mtcnn", "keras"]
    assert found[0].evidence == {"imported": "1.26.4", "on disk": "2.4.6"}
    assert {finding.severity for finding in found} == {Severity.WARNING}


def test_an_order_that_is_known_to_crash(judge):
    old, new = {"imported_version": "2.4.1"}, {"imported_version": "2.21.0"}
    order = ("torch", "tensorflow")
    (finding,) = judge(
        notebook_import_order, notebook={"imported": imported(*order, tensorflow=old)}
    )
    assert "torch was imported before tensorflow 2.4.1" in finding.title
    for fine in (imported(*order, tensorflow=new), imported(*order[::-1], tensorflow=old)):
        assert judge(notebook_import_order, notebook={"imported": fine}) == []


def test_two_runtimes_of_one_kin(judge):
    both = ["/a/lib/libiomp5.so", "/b/lib/libomp.so"]
    (finding,) = judge(notebook_import_order, notebook={"openmp": both})
    assert finding.evidence["openmp libraries"] == both
    gnu = ["/a/libgomp.so.1", "/b/libgomp-a34b3233.so.1", "/b/lib/libomp.so"]
    assert judge(notebook_import_order, notebook={"openmp": gnu}) == []


def test_a_variable_that_was_set_too_late(judge):
    row = {"name": "OMP_NUM_THREADS", "before": None, "now": "1", "read_by": "torch"}
    (finding,) = judge(notebook_import_order, notebook={"changed_variables": [row]})
    assert finding.about == "OMP_NUM_THREADS"
    assert "torch" in finding.title
    early = {**row, "read_by": None}
    assert judge(notebook_import_order, notebook={"changed_variables": [early]}) == []


DEATH = {
    "pid": 42,
    "signal": "SIGSEGV",
    "fatal": "Segmentation fault",
    "python_traceback": [
        {"file": "/v/site-packages/torch/nn/modules/conv.py", "line": 5, "function": "forward"},
        {"file": "/tmp/ipykernel_42/1.py", "line": 1, "function": "<module>"},
        {"file": "/v/site-packages/IPython/core/interactiveshell.py", "line": 9, "function": "run"},
    ],
    "cell": {"state": "running", "code": "net(image)", "imported": {"numpy": "2.4.6"}},
    "memory": {"rss_mb": 900.0, "available_mb": 5000.0, "modules": ["numpy", "torch", "cv2"]},
}


def test_a_death_in_a_framework(judge):
    (finding,) = judge(kernel_died, last_crash=DEATH)
    assert "died of SIGSEGV while a cell ran" in finding.title
    assert finding.evidence["python frames"][-1].startswith("/tmp/ipykernel_42/")
    assert finding.evidence["imported"] == "numpy 2.4.6, torch, cv2"
    assert finding.remedy.commands == ("mtcnn-doctor bench --backend torch --bisect",)


def test_a_death_without_a_word(judge):
    silent = {**DEATH, "signal": None, "fatal": None, "python_traceback": []}
    (finding,) = judge(kernel_died, last_crash=silent)
    assert "ended without a word while a cell ran" in finding.title
    (finding,) = judge(kernel_died, last_crash={**silent, "oom_kills_since": {"cgroup": 1}})
    assert "want of memory" in finding.title
    idle = {**silent, "cell": {"state": "idle", "code": None}}
    (finding,) = judge(kernel_died, last_crash=idle)
    assert "while no cell ran" in finding.title
    assert judge(kernel_died, last_crash={}) == []
