"""The probes of the frameworks, each in a process of its own."""

import importlib.util
import json
import subprocess
import sys

import pytest

MODULES = {
    "numpy": "numpy",
    "opencv": "cv2",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai_edge_litert",
}


@pytest.mark.parametrize("probe", MODULES)
def test_framework(probe):
    if importlib.util.find_spec(MODULES[probe]) is None:
        pytest.skip(f"{MODULES[probe]} is not installed")
    code = (
        "import importlib, json;"
        f"probe = importlib.import_module('mtcnn_doctor.target.probes.{probe}');"
        "print('@' + json.dumps(probe.collect({}), allow_nan=False))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout.rpartition("@")[2])
    assert facts["version"]
    assert facts["file"]
    build = facts["build"]
    if probe == "numpy":
        assert build["simd"]["baseline"]
    elif probe == "opencv":
        assert build["has_imread"]
        assert build["threads"] >= 1
    elif probe == "torch":
        assert facts["numpy_bridge"] == "ok"
        assert isinstance(build["cuda_available"], bool)
        assert "cuda" in build
    elif probe == "tensorflow":
        assert isinstance(build["is_cuda_build"], bool)
        assert build["devices"] == [] or build["is_cuda_build"]
        assert build["keras"]
    elif probe == "openvino":
        assert "CPU" in build["devices"]
        assert "FP32" in build["cpu"]
    elif probe == "litert":
        assert build["package"] == "ai_edge_litert"
    else:
        assert "CPUExecutionProvider" in build["providers"]


def test_sections_of_opencv():
    from mtcnn_doctor.target.probes.opencv import _sections

    text = (
        "\nGeneral configuration for OpenCV 4.9.0 ====\n  Version control:  4.9.0\n\n"
        "  GUI:                           QT5\n    QT:                          YES (ver 5.15)\n\n"
        "  Video I/O:\n    FFMPEG:                      YES\n      avcodec:  YES (59)\n\n"
        "  Parallel framework:            pthreads\n"
    )
    assert _sections(text) == {
        "GUI": "QT5",
        "Video I/O": {"FFMPEG": "YES", "avcodec": "YES (59)"},
        "Parallel framework": "pthreads",
    }
