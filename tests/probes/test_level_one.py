"""The probes of level 1, run for real: here and under every interpreter that is to be found."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mtcnn_doctor
from mtcnn_doctor import facts as contract

TARGET = Path(mtcnn_doctor.__file__).parent / "target"
LEVEL_ONE = ("python", "packages", "environment", "threads", "cpu", "memory", "gpu")
FRAMEWORKS = ("numpy", "opencv", "torch", "tensorflow", "onnxruntime", "openvino", "litert")
LOADER = """
import importlib, importlib.util, json, sys
folder, orders, names = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
spec = importlib.util.spec_from_file_location(
    "mtcnn_doctor_target", folder + "/__init__.py", submodule_search_locations=[folder])
package = importlib.util.module_from_spec(spec)
sys.modules["mtcnn_doctor_target"] = package
spec.loader.exec_module(package)
answer = {}
for name in names:
    probe = importlib.import_module("mtcnn_doctor_target.probes." + name)
    answer[name] = probe.collect(orders)
if not names:
    for name in orders["modules"]:
        importlib.import_module("mtcnn_doctor_target.probes." + name)
print(json.dumps(answer, allow_nan=False))
"""


def collect(python, *names, orders=None, cwd=None, **variables):
    """Run probes by path in another interpreter, as the worker does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update(variables)
    answer = subprocess.run(
        [str(python), "-W", "error", "-c", LOADER, str(TARGET), json.dumps(orders or {}), *names],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return json.loads(answer.stdout)


def _interpreters():
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = {}
    for path in sorted(root.glob("3.*/bin/python")):
        parts = path.parent.parent.name.split(".")
        if parts[1].isdigit() and int(parts[1]) >= 8:
            found.setdefault(".".join(parts[:2]), path)
    return found


INTERPRETERS = _interpreters()


@pytest.mark.parametrize("name", LEVEL_ONE)
def test_facts_keep_to_the_contract(name):
    facts = importlib.import_module(f"mtcnn_doctor.target.probes.{name}").collect({})
    allowed = getattr(contract, name.capitalize()).__annotations__
    assert facts
    assert set(facts) <= set(allowed)
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_other_interpreters(version):
    if version not in INTERPRETERS:
        pytest.skip(f"no Python {version} under pyenv")
    answer = collect(INTERPRETERS[version], *LEVEL_ONE)
    assert answer["python"]["version"].startswith(version + ".")
    assert answer["python"]["markers"]["python_version"] == version
    assert answer["python"]["abi_tags"][0] == "cp" + version.replace(".", "")
    assert isinstance(answer["packages"]["distributions"], list)
    assert answer["packages"]["modules"]["torch"] is not None
    assert answer["cpu"]["logical"] >= 1
    every = [*LEVEL_ONE, *FRAMEWORKS, "image"]
    assert collect(INTERPRETERS[version], orders={"modules": every}) == {}


def test_markers_are_those_of_packaging():
    from packaging.markers import default_environment

    from mtcnn_doctor.target.probes import python

    assert python.collect({})["markers"] == default_environment()


def test_abi_tags_are_those_of_packaging():
    from packaging.tags import sys_tags

    from mtcnn_doctor.target.probes import python

    assert set(python.collect({})["abi_tags"]) == {tag.abi for tag in sys_tags()}


def test_environment_takes_no_secrets(monkeypatch):
    from mtcnn_doctor.target.probes import environment

    monkeypatch.setenv("TF_VAR_db_password", "secret")
    monkeypatch.setenv("TORCH_HUB_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    variables = environment.collect({})["variables"]
    assert "secret" not in variables.values()
    assert variables["CUDA_VISIBLE_DEVICES"] == ""
    assert variables["TF_USE_LEGACY_KERAS"] == "1"


def test_threads(monkeypatch):
    from mtcnn_doctor.target.probes import threads

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.collect({})["environment"]["OMP_NUM_THREADS"] == "3"


def test_probes_import_nothing_of_the_field():
    code = (
        f"import sys; sys.argv = ['-', {str(TARGET)!r}, '{{}}', *{list(LEVEL_ONE)!r}];"
        f"exec({LOADER!r});"
        "bad = {'numpy','cv2','torch','tensorflow','onnxruntime','packaging'} & set(sys.modules);"
        "assert not bad, bad"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_packages_probe_is_fast():
    from mtcnn_doctor.target.probes import packages

    packages.collect({})  # warms the file system's cache
    started = time.perf_counter()
    packages.collect({})
    assert time.perf_counter() - started < 1.0  # some 0.1 s; the rest is for busy machines
