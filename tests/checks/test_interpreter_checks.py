from mtcnn_doctor.checks.interpreter import python_architecture, python_version

from mtcnn_doctor.model import Severity


def _with_tags(packages, *tags, **more):
    packages["distributions"][0].update(wheel_tags=list(tags), **more)
    return packages


def test_wheel_of_another_python(problems, python311, installed):
    packages = _with_tags(installed("torch==2.9.0"), "cp310-cp310-manylinux_2_28_x86_64")
    [finding] = problems(python_version, python=python311, packages=packages)
    assert finding.severity is Severity.ERROR
    assert finding.about == "torch"


def test_requires_python_excludes_the_interpreter(problems, python311, installed):
    packages = installed("mtcnn==9.0")
    packages["distributions"][0]["requires_python"] = ">=3.12"
    [finding] = problems(python_version, python=python311, packages=packages)
    assert ">=3.12" in finding.title


def test_wheels_that_fit(problems, python311, installed):
    for tag in (
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp37-abi3-manylinux2014_x86_64",
        "py3-none-any",
        "py2.py3-none-any",
        "py3-none-manylinux_2_17_x86_64",
        "cp311-none-win_amd64",
        "cp315-abi3t-linux_x86_64",
    ):
        packages = _with_tags(installed("torch==2.9.0"), tag)
        assert problems(python_version, python=python311, packages=packages) == [], tag


def test_abi3_from_a_newer_python_does_not_fit(problems, python311, installed):
    packages = _with_tags(installed("h5py==3.0"), "cp312-abi3-manylinux2014_x86_64")
    assert problems(python_version, python=python311, packages=packages)


def test_packages_outside_the_field_are_left_alone(problems, python311, installed):
    packages = _with_tags(installed("somebody==1.0"), "cp27-cp27mu-manylinux1_x86_64")
    assert problems(python_version, python=python311, packages=packages) == []


def test_end_of_life_is_told_and_no_problem(judge):
    [finding] = judge(python_version, python={"version": "3.9.2", "version_info": [3, 9, 2]})
    assert finding.severity is Severity.INFO
    assert judge(python_version, python={"version": "3.13.0", "version_info": [3, 13, 0]}) == []


def test_ancient_python_warns(problems):
    [finding] = problems(python_version, python={"version": "3.8.18", "version_info": [3, 8, 18]})
    assert finding.severity is Severity.WARNING


def test_32_bit(problems, python311):
    [finding] = problems(python_architecture, python={**python311, "bits": 32, "machine": "AMD64"})
    assert finding.severity is Severity.ERROR


def test_rosetta(problems, python311):
    assert problems(python_architecture, python={**python311, "rosetta": True})
    assert problems(python_architecture, python=python311) == []


def test_wheel_of_another_processor(problems, python311, installed):
    apple = {**python311, "machine": "arm64", "platform": "darwin"}
    packages = _with_tags(installed("torch==2.2.2"), "cp311-none-macosx_10_9_x86_64")
    assert problems(python_architecture, python=apple, packages=packages)
    packages = _with_tags(installed("numpy==2.2.2"), "cp311-cp311-macosx_11_0_universal2")
    assert problems(python_architecture, python=apple, packages=packages) == []
    packages = _with_tags(installed("keras==3.0"), "py3-none-any")
    assert problems(python_architecture, python=apple, packages=packages) == []
