from mtcnn_doctor.checks.abi import numpy_abi
from mtcnn_doctor.checks.imports import import_failure
from mtcnn_doctor.checks.packages import broken_install, module_shadowed
from mtcnn_doctor.checks.requirements import requirement_conflict

from mtcnn_doctor.model import Severity

SITE = "/venv/lib/python3.11/site-packages"


def test_missing_files(problems, installed):
    packages = installed("numpy==2.2.6")
    packages["distributions"][0].update(
        files_checked=300, files_missing=["numpy/linalg/__init__.py"], files_missing_count=120
    )
    [finding] = problems(broken_install, packages=packages)
    assert finding.about == "numpy"
    assert finding.title == "numpy 2.2.6 is incomplete: 120 of 300 files are missing"
    assert finding.remedy.commands == ('pip install --force-reinstall --no-deps "numpy==2.2.6"',)


def test_cut_file_of_a_local_build(problems, installed):
    packages = installed("torch==2.13.0+cpu")
    packages["distributions"][0].update(
        files_checked=9, files_truncated=["torch/lib/libtorch_cpu.so"], files_truncated_count=1
    )
    [finding] = problems(broken_install, packages=packages)
    assert finding.remedy.commands[0].endswith("https://download.pytorch.org/whl/cpu")


def test_two_records_of_one_distribution(problems, installed):
    packages = installed("numpy==2.2.6", "numpy==1.26.4")
    [finding] = problems(broken_install, packages=packages)
    assert finding.severity is Severity.ERROR
    assert "2.2.6, 1.26.4" in finding.title


def test_same_distribution_in_two_folders_is_no_duplicate(problems, installed):
    packages = installed("numpy==2.2.6", "numpy==1.26.4")
    packages["distributions"][1]["location"] = "/home/user/.local/lib/python3.11/site-packages"
    assert problems(broken_install, packages=packages) == []


def test_leftovers_alone_are_a_warning(problems, installed):
    packages = installed("numpy==2.2.6", leftovers=[f"{SITE}/~umpy", f"{SITE}/~umpy.libs"])
    [finding] = problems(broken_install, packages=packages)
    assert finding.severity is Severity.WARNING
    assert "~umpy, ~umpy.libs" in finding.title


def test_shadow_in_the_working_directory(problems, installed):
    row = {
        "found": "/home/user/project/mtcnn.py",
        "shadow": "/home/user/project/mtcnn.py",
        "shadow_from": "working directory",
        "hides": f"{SITE}/mtcnn",
    }
    [finding] = problems(module_shadowed, packages=installed(modules={"mtcnn": row}))
    assert finding.severity is Severity.ERROR
    assert finding.about == "mtcnn"
    assert "leave the working directory off the path" in finding.effect
    assert "__pycache__" in finding.remedy.text


def test_shadow_of_the_standard_library_on_pythonpath(problems, installed):
    row = {
        "found": "/home/user/lib/random.py",
        "shadow": "/home/user/lib/random.py",
        "shadow_from": "PYTHONPATH",
        "hides": "the standard library",
    }
    [finding] = problems(module_shadowed, packages=installed(modules={"random": row}))
    assert finding.title == "random.py on PYTHONPATH hides the module random"
    assert "off the path" not in finding.effect


def test_source_checkouts(problems, installed):
    def row(name):
        place = f"/home/user/{name}-src/{name}"
        return {"found": place, "shadow": place, "shadow_from": "working directory", "hides": "x"}

    modules = {"numpy": row("numpy"), "mtcnn": row("mtcnn")}
    found = problems(module_shadowed, packages=installed(modules=modules))
    assert {finding.about: finding.severity for finding in found} == {
        "numpy": Severity.ERROR,
        "mtcnn": Severity.WARNING,
    }


def test_no_shadow(problems, installed):
    modules = {"numpy": {"found": f"{SITE}/numpy", "in_site": True, "namespace": False}}
    assert problems(module_shadowed, packages=installed(modules=modules)) == []


def test_torch_222_with_numpy_226(problems, recorded):
    [finding] = problems(numpy_abi, **recorded("torch-2.2.2-numpy-2.2.6"))
    assert finding.about == "torch"
    assert finding.severity is Severity.ERROR
    assert "torch 2.2.2+cpu was built for NumPy 1.x, and NumPy 2.2.6" in finding.title
    assert finding.remedy.commands == (
        'pip install "numpy<2"',
        'pip install --upgrade "torch>=2.3"',
    )
    assert finding.evidence["seen"] == "RuntimeError: Numpy is not available"


def test_torch_rule_without_a_readable_binary(problems, recorded):
    facts = recorded("torch-2.2.2-numpy-2.2.6")
    facts["packages"]["numpy_abi"] = []
    del facts["torch"]
    assert [f.about for f in problems(numpy_abi, **facts)] == ["torch"]


def test_torch_seen_by_its_bridge_alone(problems, recorded):
    facts = recorded("torch-2.2.2-numpy-2.2.6")
    facts["packages"]["numpy_abi"][0]["supports_numpy2"] = True
    assert [f.about for f in problems(numpy_abi, **facts)] == ["torch"]


def test_one_fault_is_one_finding(recorded):
    """The recorded torch fault fires numpy-abi and nothing else."""
    from .conftest import judge_facts
    from .test_healthy import CHECKS

    facts = recorded("torch-2.2.2-numpy-2.2.6")
    found = [
        finding
        for check in CHECKS
        for finding in judge_facts(check, facts) or ()
        if finding.is_problem
    ]
    assert [finding.about for finding in found] == ["torch"]


def test_builds_for_numpy_2_are_silent(problems, recorded, installed):
    assert problems(numpy_abi, **recorded("healthy-all")) == []
    packages = installed("numpy==2.2.6", "opencv-python==4.10.0.84", "onnxruntime==1.19.0")
    assert problems(numpy_abi, packages=packages) == []


def test_numpy_1_is_silent(problems, installed):
    packages = installed("numpy==1.26.4", "torch==2.2.2", "onnxruntime==1.16.3")
    assert problems(numpy_abi, packages=packages) == []


def test_opencv_for_numpy_1(problems, installed):
    row = {"distribution": "opencv-python", "file": "cv2.abi3.so", "supports_numpy2": False}
    packages = installed("numpy==2.4.0", "opencv-python==4.8.1.78", numpy_abi=[row])
    [finding] = problems(numpy_abi, packages=packages)
    assert finding.remedy.commands[1] == 'pip install --upgrade "opencv-python>=4.10.0.84"'


def test_numpy_1_is_not_proposed_where_it_has_no_wheels(problems, installed):
    packages = installed("numpy==2.4.0", "opencv-python==4.8.1.78")
    python = {"version_info": [3, 13, 0], "platform": "linux"}
    [finding] = problems(numpy_abi, packages=packages, python=python)
    assert finding.remedy.commands == ('pip install --upgrade "opencv-python>=4.10.0.84"',)


def test_numpy_1_is_not_proposed_where_another_package_forbids_it(problems, installed):
    packages = installed("numpy==2.4.0", "torch==2.2.2", "opencv-python==4.13.0.90: numpy>=2")
    [finding] = problems(numpy_abi, packages=packages)
    assert finding.about == "torch"
    assert 'pip install "numpy<2"' not in finding.remedy.commands
    assert "would break opencv-python" in finding.remedy.text


def _not_loadable(line, **more):
    kind, _, message = line.partition(": ")
    error = {"type": kind, "message": message, "last_line": line}
    return {"state": "not-loadable", "error": error, "stderr_tail": "", **more}


def test_import_failure_carries_line_and_knowledge(problems, installed):
    fact = _not_loadable("TypeError: Descriptors cannot be created directly.")
    [finding] = problems(
        import_failure, tensorflow=fact, packages=installed("tensorflow-cpu==2.8.0")
    )
    assert finding.about == "tensorflow"
    assert "Descriptors cannot be created directly" in finding.title
    assert finding.evidence["known error"] == "descriptors-protobuf"
    assert finding.remedy.commands == ('pip install "protobuf<3.21"',)
    assert {"numpy-abi:tensorflow-cpu", "import-failure:numpy", "broken-install:numpy"} <= set(
        finding.requires
    )


def test_import_failure_of_an_unknown_kind(problems):
    [finding] = problems(import_failure, torch=_not_loadable("ValueError: never seen before"))
    assert "known error" not in finding.evidence
    assert finding.remedy.text


def test_crash_at_import_is_reported_for_numpy_only(problems):
    crash = {"state": "crash", "signal": "SIGSEGV", "exit_code": 139}
    [finding] = problems(import_failure, numpy=crash, torch=crash)
    assert finding.title == "numpy crashes at import (SIGSEGV)"
    assert finding.evidence["exit code"] == 139


def test_shadow_on_pythonpath_is_a_root_of_failed_imports(problems, installed):
    modules = {"random": {"shadow": "/lib/random.py", "shadow_from": "PYTHONPATH"}}
    fact = _not_loadable("ImportError: cannot import name 'choice' from 'random'")
    [finding] = problems(import_failure, numpy=fact, packages=installed(modules=modules))
    assert "module-shadowed:random" in finding.requires


def test_loaded_or_absent_frameworks_are_silent(problems):
    assert problems(import_failure, torch={"state": "ok"}, numpy={"state": "not-installed"}) == []


def test_a_death_under_a_small_limit_of_address_space_blames_the_limit(problems, installed):
    fact = {"state": "crash", "signal": "SIGSEGV", "version": "5.0.0"}
    limited = {"rlimits": {"RLIMIT_AS": 400 * 2**20}}
    packages = installed("opencv-python==5.0.0.93")
    [finding] = problems(import_failure, opencv=fact, packages=packages, memory=limited)
    assert "ulimit -v" in finding.cause
    assert "ulimit -v" in finding.remedy.text
    [finding] = problems(import_failure, opencv=fact, packages=packages)
    assert "ulimit" not in finding.remedy.text


def test_a_module_without_its_metadata_is_not_called_missing(problems, installed):
    modules = {"numpy": {"found": "/site/numpy"}}
    packages = installed("opencv-python-headless==5.0.0.93: numpy>=2", modules=modules)
    python = {"markers": {"python_version": "3.11", "sys_platform": "linux"}}
    [finding] = problems(requirement_conflict, packages=packages, python=python)
    assert "whose module is there without metadata" in finding.title


def test_foreign_code_that_dies_in_an_import_is_named(problems, installed):
    frames = [
        {"file": "/usr/lib/python3.11/ctypes/__init__.py", "line": 519, "function": "string_at"},
        {"file": "/data/sitecustomize.py", "line": 5, "function": "find_spec"},
    ]
    fact = {"state": "crash", "signal": "SIGSEGV", "python_traceback": frames}
    packages = installed("opencv-python==5.0.0.93")
    [finding] = problems(import_failure, opencv=fact, packages=packages)
    assert "/data/sitecustomize.py" in finding.cause
    assert finding.remedy.text.startswith("Remove /data/sitecustomize.py")
    frames[1]["file"] = "/venv/lib/python3.11/site-packages/cv2/__init__.py"
    [finding] = problems(import_failure, opencv=fact, packages=packages)
    assert finding.cause == ""
