"""Releases that do not go together: the matrices, protobuf, Keras, pins, known faults."""

import pytest
from mtcnn_doctor.checks.facenet import facenet_pins
from mtcnn_doctor.checks.keras import keras_version
from mtcnn_doctor.checks.known import known_bad_release
from mtcnn_doctor.checks.matrices import tensorflow_version_matrix, torch_version_matrix
from mtcnn_doctor.checks.protobuf import protobuf_mismatch

from mtcnn_doctor.model import Severity

GOOD_TENSORFLOW = "tensorflow==2.21.0: numpy>=1.26.0 | keras>=3.12.0 | h5py<3.15.0,>=3.11.0"
GOOD = (GOOD_TENSORFLOW, "numpy==2.4.0", "keras==3.12.0", "h5py==3.14.0", "protobuf==6.31.1")


def planned(*lines):
    """What a file of requirements names: nothing but names and releases."""
    rows = [line.split("==") for line in lines]
    return {"distributions": [{"name": n, "key": n, "version": v} for n, v in rows]}


def variables(**values):
    return {"variables": values}


# tensorflow-version-matrix


def test_a_numpy_that_tensorflow_refuses(problems, python311, installed):
    packages = installed("tensorflow-cpu==2.18.0: numpy<2.1.0,>=1.26.0", "numpy==2.4.0")
    [finding] = problems(tensorflow_version_matrix, python=python311, packages=packages)
    assert (finding.about, finding.severity) == ("tensorflow-cpu (numpy)", Severity.ERROR)
    assert "requires numpy<2.1.0,>=1.26.0, but numpy 2.4.0 is installed" in finding.title
    assert "numpy-abi:tensorflow-cpu" in finding.requires
    assert "path-pollution:numpy" in finding.requires


def test_tensorflow_imported_all_the_same_is_a_warning(problems, python311, installed):
    packages = installed("tensorflow==2.18.0: numpy<2.1.0", "numpy==2.4.0")
    [finding] = problems(
        tensorflow_version_matrix, python=python311, packages=packages, tensorflow={"state": "ok"}
    )
    assert finding.severity is Severity.WARNING


def test_h5py_that_detectors_never_touch_is_a_warning(problems, python311, installed):
    packages = installed("tensorflow==2.21.0: h5py<3.15.0,>=3.11.0", "h5py==3.16.0")
    [finding] = problems(tensorflow_version_matrix, python=python311, packages=packages)
    assert (finding.about, finding.severity) == ("tensorflow", Severity.WARNING)


def test_a_numpy_that_took_away_what_tensorflow_uses(problems, python311, installed):
    """TensorFlow 2.8 allows any NumPy from 1.20 on and uses numpy.object, which 1.24 removed."""
    packages = installed("tensorflow-cpu==2.8.4: numpy>=1.20", "numpy==1.26.4")
    [finding] = problems(tensorflow_version_matrix, python=python311, packages=packages)
    assert finding.severity is Severity.ERROR
    assert finding.evidence["numpy"] == "1.26.4"


def test_tensorflow_with_what_it_asks_for(judge, python311, installed):
    packages = installed(*GOOD)
    assert judge(tensorflow_version_matrix, python=python311, packages=packages) == []


def test_a_planned_tensorflow_without_a_wheel_for_this_python(problems, python311):
    python = {**python311, "version": "3.13.0", "version_info": [3, 13, 0, "final", 0]}
    [finding] = problems(
        tensorflow_version_matrix, python=python, packages=planned("tensorflow==2.15.1")
    )
    assert finding.title == "tensorflow 2.15.1 has no wheel for Python 3.13"
    assert finding.about == "tensorflow (python)"
    assert "2.20.0" in finding.remedy.text


def test_a_planned_tensorflow_without_a_wheel_for_this_platform(problems, python311):
    python = {**python311, "platform": "darwin", "machine": "x86_64"}
    [finding] = problems(
        tensorflow_version_matrix, python=python, packages=planned("tensorflow==2.18.0")
    )
    assert finding.title == "tensorflow 2.18.0 has no wheel for macOS x86_64"


def test_a_planned_set_is_judged_by_the_tables(problems, python311):
    packages = planned("tensorflow==2.18.0", "numpy==2.4.0")
    [finding] = problems(tensorflow_version_matrix, python=python311, packages=packages)
    assert "requires numpy<2.1.0,>=1.26.0" in finding.title


def test_an_installed_tensorflow_is_not_judged_by_the_table_of_wheels(judge, python311, installed):
    """conda-forge builds it for more Pythons than the index has wheels for."""
    python = {**python311, "version": "3.13.0", "version_info": [3, 13, 0, "final", 0]}
    packages = installed("tensorflow==2.18.0", "numpy==2.0.2")
    assert judge(tensorflow_version_matrix, python=python, packages=packages) == []


# torch-version-matrix

CUDA = 'nvidia-cudnn-cu12==9.1.0.70; platform_system == "Linux"'


def test_a_cudnn_of_another_release_than_torch_wants(problems, python311, installed):
    packages = installed(
        f"torch==2.6.0: {CUDA}", "nvidia-cudnn-cu12==8.9.7.29", "tensorflow==2.16.1"
    )
    [finding] = problems(torch_version_matrix, python=python311, packages=packages)
    assert (finding.about, finding.severity) == ("torch", Severity.ERROR)
    assert "nvidia-cudnn-cu12 8.9.7.29 is installed" in finding.title
    assert "and-cuda" in finding.remedy.text


def test_missing_cuda_packages_are_one_finding(problems, python311, installed):
    packages = installed(f"torch==2.6.0: {CUDA} | nvidia-cublas-cu12==12.4.5.8")
    [finding] = problems(torch_version_matrix, python=python311, packages=packages)
    assert "lacks the CUDA libraries of" in finding.title
    assert set(finding.evidence) == {"nvidia-cudnn-cu12", "nvidia-cublas-cu12"}


def test_torch_that_was_imported_all_the_same(problems, python311, installed):
    packages = installed(f"torch==2.6.0: {CUDA}", "nvidia-cudnn-cu12==8.9.7.29")
    [finding] = problems(
        torch_version_matrix, python=python311, packages=packages, torch={"state": "ok"}
    )
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("torch", ["torch==2.13.0+cpu: filelock", f"torch==2.6.0: {CUDA}"])
def test_torch_with_what_it_asks_for(judge, python311, installed, torch):
    packages = installed(torch, "nvidia-cudnn-cu12==9.1.0.70", "filelock==3.0", "numpy==2.2.0")
    assert judge(torch_version_matrix, python=python311, packages=packages) == []


def test_a_planned_torch_without_a_wheel(problems, judge, python311):
    python = {**python311, "version": "3.13.0", "version_info": [3, 13, 0, "final", 0]}
    [finding] = problems(torch_version_matrix, python=python, packages=planned("torch==2.2.2"))
    assert finding.title == "torch 2.2.2 has no wheel for Python 3.13"
    assert judge(torch_version_matrix, python=python, packages=planned("torch==2.9.0")) == []


# protobuf-mismatch


def test_protobuf_that_metadata_allow_and_tensorflow_does_not(problems, python311, installed):
    packages = installed("tensorflow-cpu==2.8.0: protobuf>=3.9.2", "protobuf==4.25.3")
    [finding] = problems(protobuf_mismatch, python=python311, packages=packages)
    assert (finding.about, finding.severity) == ("tensorflow-cpu", Severity.ERROR)
    assert "Descriptors cannot be created directly" in finding.effect
    assert finding.remedy.commands == ('pip install "protobuf>=3.9.2,<3.20.2"',)


def test_the_python_implementation_avoids_it(judge, python311, installed):
    packages = installed("tensorflow-cpu==2.8.0: protobuf>=3.9.2", "protobuf==4.25.3")
    [finding] = judge(
        protobuf_mismatch,
        python=python311,
        packages=packages,
        environment=variables(PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python"),
    )
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize(
    ("line", "protobuf", "said"),
    [
        ("tensorflow==2.15.1: protobuf<5.0.0,>=3.20.3", "6.31.1", "GetPrototype"),
        ("tensorflow==2.11.0: protobuf<3.20,>=3.9.2", "4.25.3", "Descriptors cannot"),
        ("tensorflow==2.21.0: protobuf<8.0.0,>=6.31.1", "5.29.0", "Gencode/Runtime"),
    ],
)
def test_protobuf_outside_what_tensorflow_asks_for(
    problems, python311, installed, line, protobuf, said
):
    packages = installed(line, f"protobuf=={protobuf}")
    [finding] = problems(protobuf_mismatch, python=python311, packages=packages)
    assert finding.severity is Severity.ERROR
    assert said in finding.effect


def test_protobuf_that_let_tensorflow_be_imported(judge, problems, python311, installed):
    facts = {"python": python311, "tensorflow": {"state": "ok"}}
    known = installed("tensorflow==2.12.0: protobuf>=3.20.3", "protobuf==5.29.0")
    assert judge(protobuf_mismatch, packages=known, **facts) == []
    declared = installed("tensorflow==2.15.1: protobuf<5.0.0", "protobuf==6.31.1")
    [finding] = problems(protobuf_mismatch, packages=declared, **facts)
    assert finding.severity is Severity.WARNING


def test_protobuf_that_fits(judge, python311, installed):
    packages = installed("tensorflow==2.8.4: protobuf<3.20,>=3.9.2", "protobuf==3.19.6")
    assert judge(protobuf_mismatch, python=python311, packages=packages) == []


# keras-version


def test_another_framework_below_keras(problems, judge, installed):
    packages = installed(*GOOD, "mtcnn==1.0.0", "torch==2.13.0")
    facts = {"packages": packages, "environment": variables(KERAS_BACKEND="torch")}
    [finding] = problems(keras_version, **facts)
    assert (finding.about, finding.severity) == ("mtcnn", Severity.ERROR)
    for value in ("tensorflow", "", " TensorFlow "):
        facts["environment"] = variables(KERAS_BACKEND=value)
        assert judge(keras_version, **facts) == []


def test_another_framework_below_keras_concerns_mtcnn_alone(problems, installed):
    packages = installed(*GOOD, "torch==2.13.0")
    assert (
        problems(keras_version, packages=packages, environment=variables(KERAS_BACKEND="torch"))
        == []
    )


def test_keras_2_asked_for_and_not_installed(problems, judge, installed):
    packages = installed(*GOOD, "mtcnn==1.0.0")
    facts = {"environment": variables(TF_USE_LEGACY_KERAS="1", KERAS_BACKEND="torch")}
    [finding] = problems(keras_version, packages=packages, **facts)
    assert (finding.about, finding.severity) == ("mtcnn", Severity.ERROR)
    assert finding.remedy.commands == ('pip install "tf-keras==2.21.*"',)
    packages = installed(*GOOD, "mtcnn==1.0.0", "tf-keras==2.21.0")
    assert judge(keras_version, packages=packages, **facts) == []
    assert judge(keras_version, packages=packages, environment=variables()) == []


def test_tf_keras_is_not_laid_over_another_build_of_tensorflow(problems, installed):
    packages = installed("tensorflow-cpu==2.21.0", "keras==3.12.0")
    [finding] = problems(
        keras_version, packages=packages, environment=variables(TF_USE_LEGACY_KERAS="true")
    )
    assert finding.severity is Severity.WARNING
    assert "--no-deps" in finding.remedy.commands[0]


@pytest.mark.parametrize(
    ("tensorflow", "keras", "wanted"),
    [
        ("tensorflow==2.15.1: keras<2.16,>=2.15.0", "3.12.0", "keras<2.16,>=2.15.0"),
        ("tensorflow==2.18.0: keras>=3.5.0", "2.15.0", "keras>=3.5.0"),
    ],
)
def test_the_other_generation_of_keras(problems, installed, tensorflow, keras, wanted):
    [finding] = problems(keras_version, packages=installed(tensorflow, f"keras=={keras}"))
    assert (finding.about, finding.severity) == ("tensorflow", Severity.ERROR)
    assert finding.remedy.commands == (f'pip install "{wanted}"',)


@pytest.mark.parametrize(
    "lines",
    [
        GOOD,
        ("tensorflow==2.15.1: keras<2.16,>=2.15.0", "keras==2.15.0", "mtcnn==0.1.1"),
        ("keras==3.12.0", "torch==2.13.0"),
        ("torch==2.13.0",),
    ],
)
def test_keras_where_it_belongs(problems, installed, lines):
    assert problems(keras_version, packages=installed(*lines)) == []


# facenet-pins

PINS = "torch<2.3.0,>=2.2.0 | torchvision<0.18.0,>=0.17.0 | numpy<2.0.0,>=1.24.0 | Pillow<10.3.0"


def test_newer_releases_than_facenet_pins(problems, python311, installed):
    packages = installed(
        f"facenet-pytorch==2.6.0: {PINS}", "torch==2.13.0+cpu", "numpy==2.4.0", "pillow==12.0.0"
    )
    [finding] = problems(facenet_pins, python=python311, packages=packages)
    assert finding.severity is Severity.WARNING
    assert set(finding.evidence) == {"torch", "numpy", "pillow"}
    assert "would put" in finding.effect


def test_older_releases_than_facenet_pins(problems, python311, installed):
    packages = installed(f"facenet-pytorch==2.6.0: {PINS}", "torch==1.13.1", "numpy==1.26.4")
    [finding] = problems(facenet_pins, python=python311, packages=packages)
    assert finding.severity is Severity.ERROR


def test_pins_that_a_plan_violates(problems, python311):
    packages = planned("facenet-pytorch==2.6.0", "torch==2.13.0")
    [finding] = problems(facenet_pins, python=python311, packages=packages)
    assert finding.severity is Severity.ERROR
    assert "--no-deps" in finding.remedy.commands[0]


def test_a_plan_that_python_313_rules_out(problems, python311):
    python = {**python311, "version": "3.13.0", "version_info": [3, 13, 0, "final", 0]}
    packages = planned("facenet-pytorch==2.6.0")
    [finding] = problems(facenet_pins, python=python, packages=packages)
    assert "Python 3.13" in finding.title


def test_pins_that_are_kept(judge, python311, installed):
    packages = installed(
        f"facenet-pytorch==2.6.0: {PINS}", "torch==2.2.2", "numpy==1.26.4", "pillow==10.2.0"
    )
    assert judge(facenet_pins, python=python311, packages=packages) == []
    packages = installed("facenet-pytorch==2.5.3: torchvision", "torch==2.13.0")
    assert judge(facenet_pins, python=python311, packages=packages) == []


# known-bad-release


def test_a_release_that_was_withdrawn(problems, python311, installed):
    [finding] = problems(known_bad_release, python=python311, packages=installed("numpy==2.4.0"))
    assert (finding.about, finding.severity) == ("numpy (numpy-240-yanked)", Severity.WARNING)
    assert finding.evidence["known as"] == "numpy-240-yanked"
    assert "2.4.1" in finding.remedy.text


@pytest.mark.parametrize(
    "lines",
    [
        ("tensorflow==2.15.1", "numpy==2.2.6", "protobuf==6.31.1"),
        ("onnxruntime==1.16.3", "numpy==2.2.6"),
        ("opencv-python==4.10.0.84", "opencv-python-headless==4.10.0.84"),
        ("torch==2.13.0", "facenet-pytorch==2.6.0"),
        ("mtcnn==0.1.1",),
    ],
)
def test_what_another_check_reports_is_told_once(problems, python311, installed, lines):
    packages = installed(*lines)
    assert problems(known_bad_release, python=python311, packages=packages) == []


def test_only_on_its_platform(problems, python311, installed):
    packages = installed("tensorflow==2.20.0", "pyarrow==21.0.0")
    assert problems(known_bad_release, python=python311, packages=packages) == []
    mac = {**python311, "platform": "darwin", "machine": "arm64"}
    [finding] = problems(known_bad_release, python=mac, packages=packages)
    assert finding.severity is Severity.ERROR
    [finding] = problems(
        known_bad_release, python=mac, packages=packages, tensorflow={"state": "ok"}
    )
    assert finding.severity is Severity.WARNING


def test_a_row_that_goes_by_a_text_needs_the_text(problems, python311, installed):
    facts = {"python": python311, "packages": installed("numpy==1.26.4")}
    said = "AttributeError: module 'numpy' has no attribute 'object'."
    assert problems(known_bad_release, **facts, tensorflow={"state": "ok"}) == []
    passing = {"state": "ok", "stderr_tail": said}
    [finding] = problems(known_bad_release, **facts, tensorflow=passing)
    assert (finding.about, finding.severity) == ("numpy (numpy-alias-124)", Severity.WARNING)
    # What ended an import is told with the import.
    failed = {"state": "not-loadable", "stderr_tail": said}
    assert problems(known_bad_release, **facts, tensorflow=failed) == []


def test_what_has_no_wheel_concerns_plans_only(problems, python311, installed):
    mac = {**python311, "platform": "darwin", "machine": "x86_64"}
    packages = installed("openvino==2026.1.0")
    assert problems(known_bad_release, python=mac, packages=packages) == []
    [finding] = problems(known_bad_release, python=mac, packages=planned("openvino==2026.1.0"))
    assert "openvino-intel-mac" in finding.about
