"""The tables: every row is complete, every pattern fits its own symptom and nothing else."""

import re

import pytest
from packaging.specifiers import SpecifierSet
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
from mtcnn_doctor.knowledge.lookup import table

SYMPTOMS = {
    "numpy-abi-array-api": [
        "AttributeError: _ARRAY_API not found",
        "A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.2.6 as it may crash.",
        "ImportError: numpy.core.multiarray failed to import",
        "ImportError: numpy.core.umath failed to import",
    ],
    "numpy-not-available": [
        "RuntimeError: Numpy is not available",
        "RuntimeError: Could not infer dtype of numpy.uint8",
    ],
    "numpy-dtype-size": [
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96"
        " from C header, got 88 from PyObject",
    ],
    "numpy-broken-install": [
        "ImportError: \n\nIMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!\n",
        "ImportError: Error importing numpy: you should not try to import numpy from\n"
        "        its source directory; please exit the numpy source tree",
        "ModuleNotFoundError: No module named 'numpy._core._multiarray_umath'",
        "ModuleNotFoundError: No module named 'numpy.linalg'",
    ],
    "numpy-cpu-baseline": [
        "RuntimeError: NumPy was built with baseline optimizations: \n(X86_V2) but your machine"
        " doesn't support:\n(X86_V2).",
    ],
    "numpy-removed-alias": [
        "AttributeError: module 'numpy' has no attribute 'bool'.",
        "AttributeError: `np.float_` was removed in the NumPy 2.0 release. Use `np.float64`",
    ],
    "numpy-pickled-weights": [
        "ValueError: Object arrays cannot be loaded when allow_pickle=False",
    ],
    "numpy-ragged-batch": [
        "ValueError: setting an array element with a sequence. The requested array has an"
        " inhomogeneous shape after 1 dimensions.",
    ],
    "torchvision-nms": ["RuntimeError: operator torchvision::nms does not exist"],
    "torch-no-kernel": [
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    ],
    "cuda-driver-too-old": [
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12040).",
    ],
    "cuda-no-driver": [
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA",
    ],
    "torch-cpu-build": ["AssertionError: Torch not compiled with CUDA enabled"],
    "cuda-out-of-memory": [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.66 GiB.",
    ],
    "cuda-fork": [
        "RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with",
    ],
    "nvjitlink-symbol": [
        "ImportError: libcusparse.so.12: undefined symbol: __nvJitLinkAddData_12_1, version x",
    ],
    "nvidia-library-missing": [
        "ValueError: libcublas.so.*[0-9] not found in the system path ['/usr']",
        "ImportError: libcudnn.so.8: cannot open shared object file: No such file or directory",
    ],
    "opencv-libgl": [
        "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
        "ImportError: libgthread-2.0.so.0: cannot open shared object file: No such file",
    ],
    "opencv-empty-package": ["AttributeError: module 'cv2' has no attribute 'imread'"],
    "opencv5-caffe": ["AttributeError: module 'cv2.dnn' has no attribute 'readNetFromCaffe'."],
    "opencv-no-gui": [
        "error: (-2:Unspecified error) The function is not implemented. Rebuild the library with"
        " Windows, GTK+ 2.x or Cocoa support.",
    ],
    "opencv-empty-image": [
        "cv2.error: OpenCV(4.9.0) error: (-215:Assertion failed) !_src.empty() in function"
        " 'cvtColor'",
    ],
    "qt-xcb": ['qt.qpa.plugin: Could not load the Qt platform plugin "xcb" in "" even though'],
    "mtcnn-no-tensorflow": ["ModuleNotFoundError: No module named 'tensorflow'"],
    "pkg-resources-gone": ["ModuleNotFoundError: No module named 'pkg_resources'"],
    "mtcnn-constructor": [
        "TypeError: MTCNN.__init__() got an unexpected keyword argument 'min_face_size'",
        "TypeError: __init__() got an unexpected keyword argument 'steps_threshold'",
    ],
    "shadowed-partially-initialized": [
        "ImportError: cannot import name 'MTCNN' from partially initialized module 'mtcnn' (most"
        " likely due to a circular import) (/home/user/mtcnn.py)",
        "ModuleNotFoundError: No module named 'mtcnn.mtcnn'; 'mtcnn' is not a package",
    ],
    "descriptors-protobuf": [
        "TypeError: Descriptors cannot be created directly.",
        "TypeError: Descriptors cannot not be created directly.",
    ],
    "protobuf-getprototype": [
        "AttributeError: 'MessageFactory' object has no attribute 'GetPrototype'",
    ],
    "protobuf-runtime-older": [
        "ImportError: cannot import name 'runtime_version' from 'google.protobuf' (unknown)",
    ],
    "keras-cannot-be-imported": [
        "ImportError: Keras cannot be imported. Check that it is installed.",
    ],
    "tensorflow-1-names": ["AttributeError: module 'tensorflow' has no attribute 'ConfigProto'"],
    "tensorflow-gpu-libraries": [
        "W0000 gpu_device.cc:2343] Cannot dlopen some GPU libraries. Please make sure",
    ],
    "set-weights-count": [
        "ValueError: You called `set_weights(weights)` on layer 'p_net' with a weight list of"
        " length 1, but the layer was expecting 13 weights.",
    ],
    "channels-first": [
        "ValueError: The channel dimension of the inputs should be defined. Found `None`.",
    ],
    "h5py-decode": [
        "    original_keras_version = f.attrs['keras_version'].decode('utf8')\n"
        "AttributeError: 'str' object has no attribute 'decode'",
    ],
    "omp-two-runtimes": [
        "OMP: Error #15: Initializing libiomp5md.dll, but found libiomp5md.dll already initialized",
    ],
    "static-tls": [
        "ImportError: /env/torch/lib/libgomp-d22c30c5.so.1: cannot allocate memory in static TLS"
        " block",
    ],
    "mutex-lock-failed": [
        "libc++abi: terminating due to uncaught exception of type std::__1::system_error: mutex"
        " lock failed: Invalid argument",
    ],
    "illegal-instruction": [
        "Fatal Python error: Illegal instruction",
        "SIGILL",
        "F tensorflow/core/platform/cpu_feature_guard.cc:37] The TensorFlow library was compiled"
        " to use AVX instructions, but these aren't available on your machine.",
    ],
    "windows-dll-load": [
        "ImportError: DLL load failed while importing _pywrap_tensorflow_internal: A dynamic link",
    ],
    "windows-fbgemm": [
        'OSError: [WinError 126] Error loading "C:\\torch\\lib\\fbgemm.dll" or one of its'
        " dependencies.",
    ],
    "removed-stdlib": ["ModuleNotFoundError: No module named 'distutils'"],
    "weights-only": ["_pickle.UnpicklingError: Weights only load failed. This file can still be"],
    "weights-html": ["_pickle.UnpicklingError: invalid load key, '<'."],
    "weights-cut": ["EOFError: Ran out of input"],
    "empty-pyramid": ["RuntimeError: torch.cat(): expected a non-empty list of Tensors"],
    "grayscale-input": [
        "RuntimeError: permute(sparse_coo): number of dimensions in the tensor input does not"
        " match the length of the desired ordering of dimensions",
    ],
    "four-channels": [
        "RuntimeError: Given groups=1, weight of size [10, 3, 3, 3], expected input[1, 4, 97, 97]"
        " to have 3 channels, but got 4 channels instead",
    ],
    "image-none": [
        "ValueError: Attempt to convert a value (None) with an unsupported type to a Tensor.",
        "mtcnn.exceptions.invalid_image.InvalidImage: Image not valid.",
    ],
    "shared-memory": [
        "RuntimeError: DataLoader worker (pid 12) is killed by signal: Bus error.",
    ],
    "onnxruntime-cuda-provider": ["[W:onnxruntime] Failed to create CUDAExecutionProvider."],
}

UNRELATED = [
    "ValueError: invalid literal for int() with base 10: 'a'",
    "KeyError: 'boxes'",
    "IndexError: list index out of range",
    "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "AttributeError: 'list' object has no attribute 'shape'",
    "AttributeError: 'NoneType' object has no attribute 'group'",
    "AttributeError: 'str' object has no attribute 'decode'",
    "FileNotFoundError: [Errno 2] No such file or directory: 'faces.csv'",
    "PermissionError: [Errno 13] Permission denied: '/srv/data'",
    "ModuleNotFoundError: No module named 'pandas'",
    "ModuleNotFoundError: No module named 'tensorflow_hub'",
    "ModuleNotFoundError: No module named 'numpyro'",
    "ImportError: libpq.so.5: cannot open shared object file: No such file or directory",
    "ImportError: cannot import name 'soft_unicode' from 'markupsafe'",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x3 and 4x5)",
    "RuntimeError: Expected all tensors to be on the same device, but found cpu and cuda:0",
    "numpy.linalg.LinAlgError: Singular matrix",
    "ValueError: operands could not be broadcast together with shapes (3,) (4,)",
    "ZeroDivisionError: division by zero",
    "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x', port=443)",
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0",
    "RecursionError: maximum recursion depth exceeded",
    "I0000 port.cc:153] oneDNN custom operations are on. You may see slightly different results",
    "This TensorFlow binary is optimized to use available CPU instructions in performance-critical"
    " operations. To enable the following instructions: AVX2 FMA, rebuild TensorFlow",
    "W0000 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.",
    "Unable to register cuDNN factory: Attempting to register factory for plugin cuDNN",
]


def test_every_signature_has_a_symptom_here():
    assert {row.id for row in signatures()} == set(SYMPTOMS)


@pytest.mark.parametrize("row", signatures(), ids=lambda row: row.id)
def test_pattern_fits_its_symptoms_and_no_other(row):
    pattern = re.compile(row.pattern)
    for id, symptoms in SYMPTOMS.items():
        for symptom in symptoms:
            assert bool(pattern.search(symptom)) is (id == row.id), symptom
    for text in UNRELATED:
        assert not pattern.search(text), text


@pytest.mark.parametrize("id", SYMPTOMS)
def test_match_error_finds_the_row(id):
    for symptom in SYMPTOMS[id]:
        text = f'Traceback (most recent call last):\n  File "x.py", line 1\n{symptom}\n'
        assert match_error(text)[0].id == id


def test_no_match():
    assert match_error("") == []
    for text in UNRELATED:
        assert match_error(text) == []


def test_the_later_of_two_errors_goes_first():
    text = SYMPTOMS["numpy-abi-array-api"][0] + "\n" + SYMPTOMS["numpy-not-available"][0]
    assert [row.id for row in match_error(text)] == ["numpy-not-available", "numpy-abi-array-api"]


def test_rows_are_complete():
    for name in ("signatures", "abi", "cpu", "python", "torchvision"):
        ids = []
        for kind, rows in table(name).items():
            if kind == "schema_version":
                continue
            for row in rows:
                assert row["source"]
                assert row["confidence"] in ("high", "medium", "low")
                assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["reviewed"])
                if "affected" in row:
                    SpecifierSet(row["affected"])
                ids.append(row["id"])
        assert len(ids) == len(set(ids))


def test_remedies_destroy_nothing():
    for row in signatures():
        for command in row.commands:
            assert command.startswith(("pip install ", "apt-get install ")), command


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


def test_small_tables():
    assert cpu_needs("tensorflow-cpu", "2.20.0")[0] == ["avx"]
    assert cpu_needs("numpy", "2.3.5")[0] == []
    assert cpu_needs("numpy", "2.4.0rc1")[0] == []
    assert end_of_life("3.9") == "2025-10"
    assert end_of_life("3.13") is None
    assert "torch" in loose_pins("facenet-pytorch", "2.6.0")[0]
    assert loose_pins("facenet-pytorch", "2.5.3")[0] == frozenset()
