"""The tables that checks look things up in: what they say of releases, processors and errors."""

import pytest
from packaging.version import Version

from mtcnn_doctor.knowledge import (
    companion_series,
    cpu_needs,
    end_of_life,
    loose_pins,
    match_error,
    numpy2_support,
    signatures,
)
from mtcnn_doctor.knowledge.issues import issues
from mtcnn_doctor.knowledge.lookup import table
from mtcnn_doctor.knowledge.releases import rows

#: Lines that TensorFlow writes where all is well, and errors that have many causes.
UNRELATED = [
    "AttributeError: 'list' object has no attribute 'shape'",
    "AttributeError: 'NoneType' object has no attribute 'group'",
    "AttributeError: 'str' object has no attribute 'decode'",
    "ModuleNotFoundError: No module named 'pandas'",
    "ModuleNotFoundError: No module named 'tensorflow_hub'",
    "ModuleNotFoundError: No module named 'numpyro'",
    "ModuleNotFoundError: No module named 'importlib_resources'",
    "ImportError: libpq.so.5: cannot open shared object file: No such file or directory",
    "ImportError: cannot import name 'soft_unicode' from 'markupsafe'",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x3 and 4x5)",
    "RuntimeError: Expected all tensors to be on the same device, but found cpu and cuda:0",
    "TypeError: Object of type int64 is not JSON serializable",
    "TypeError: 'NoneType' object is not iterable",
    "I0000 port.cc:153] oneDNN custom operations are on. You may see slightly different results",
    "This TensorFlow binary is optimized to use available CPU instructions in performance-critical"
    " operations. To enable the following instructions: AVX2 FMA, rebuild TensorFlow",
    "W0000 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.",
    "Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN when one"
    " has already been registered",
]


@pytest.mark.parametrize("text", UNRELATED)
def test_no_check_quotes_a_failure_for(text):
    assert match_error(text) == []


def test_an_empty_text_shows_nothing():
    assert match_error("") == []


def test_the_later_of_two_errors_goes_first():
    text = "AttributeError: _ARRAY_API not found\nRuntimeError: Numpy is not available"
    assert [row.id for row in match_error(text)] == ["numpy-not-available", "numpy-abi-array-api"]


def test_the_surroundings_tell_one_cause_from_another():
    banner = '\n  File "site-packages/{}/__init__.py"\nImportError: numpy.core.{} failed to import'
    assert match_error(banner.format("cv2", "multiarray"))[0].id == "numpy2-opencv-old"
    assert match_error(banner.format("tensorflow", "umath"))[0].id == "numpy2-tensorflow-lt218"
    assert match_error(banner.format("other", "umath"))[0].id == "numpy-abi-array-api"


def test_what_the_text_does_not_decide_is_not_quoted():
    """A segmentation fault with both frameworks loaded says nothing about their order."""
    text = "Fatal Python error: Segmentation fault\nExtension modules: torch._C, tensorflow.python"
    assert match_error(text) == []


def test_remedies_destroy_nothing():
    allowed = (
        "pip install ", "apt-get install ", "python -m pip install ", "mtcnn-doctor ",
        "python -m ipykernel install ", "jupyter kernelspec list",
    )  # fmt: skip
    for row in signatures():
        for command in row.commands:
            assert command.startswith(allowed), command
    for issue in issues():
        for command in issue.commands:
            assert command.startswith("pip install "), command


def test_first_releases_for_numpy_2():
    assert numpy2_support("torch", "linux").first == "2.3"
    assert numpy2_support("torch", "win32").first == "2.4"
    assert numpy2_support("opencv-contrib-python").first == "4.10.0.84"
    assert numpy2_support("requests") is None
    for row in table("abi")["numpy2"]:
        Version(row["first"])


def test_companions_of_torch():
    assert companion_series("torchvision", "2.13.0+cpu") == "0.28"
    assert companion_series("torchaudio", "2.9.1") == "2.9"
    assert companion_series("torchaudio", "2.13.0") is None
    assert companion_series("torchvision", "2.99") is None
    assert companion_series("torchvision", "nonsense") is None


def test_the_series_of_companions_are_those_of_the_releases():
    """The small table that every start with torch reads agrees with the large one."""
    for row in rows("torch"):
        for package in ("torchvision", "torchaudio"):
            for companion in row.get(package, ()):
                series = companion_series(package, row["version"])
                assert series == ".".join(companion.split(".")[:2]), (row["version"], companion)


def test_small_tables():
    assert cpu_needs("tensorflow-cpu", "2.20.0")[0] == ["avx"]
    assert cpu_needs("numpy", "2.3.5")[0] == []
    assert cpu_needs("numpy", "2.4.0rc1")[0] == []
    assert end_of_life("3.9") == "2025-10"
    assert end_of_life("3.13") is None
    assert "torch" in loose_pins("facenet-pytorch", "2.6.0")[0]
    assert loose_pins("facenet-pytorch", "2.5.3")[0] == frozenset()
