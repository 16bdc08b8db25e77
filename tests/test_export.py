"""``export``: files that other programs read, tried before they take their names."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference import weights
from mtcnn_doctor.target.reference.networks.numpy_backend import NumpyNetworks

from .conftest import Doctor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")

FILES = {
    "onnx": ["pnet.onnx", "rnet.onnx", "onet.onnx"],
    "tflite": ["pnet.tflite", "rnet.tflite", "onet.tflite"],
    "torchscript": ["pnet.pt", "rnet.pt", "onet.pt"],
    "savedmodel": ["pnet", "rnet", "onet"],
}
NOTES = ["metadata.json", "README.md"]
READERS = {
    "onnx": "onnxruntime", "tflite": "ai_edge_litert", "torchscript": "torch",
    "savedmodel": "tensorflow",
}  # fmt: skip


def only(tmp_path: Path, *wanted: str) -> Path:
    """An environment that sees NumPy and the packages named, and nothing else."""
    python = tmp_path / "only"
    venv.create(python, with_pip=False)
    site = next(python.glob("lib/python*/site-packages"))
    for path in Path(np.__file__).parent.parent.iterdir():
        name = path.name.lower().replace("-", "_")
        if name.startswith(("numpy", *wanted)):
            (site / path.name).symlink_to(path)
    return python


@pytest.mark.parametrize("kind", FILES)
def test_written_and_verified(doctor: Doctor, tmp_path: Path, kind: str) -> None:
    pytest.importorskip(READERS[kind])
    folder = tmp_path / "new" / "models"
    answer = doctor("export", kind, "-o", folder, "--format", "json")
    assert answer.code == 0, answer.out + answer.err
    result = answer.report
    assert result["state"] == "verified"
    assert result["verification"]["version"]
    assert result["verification"]["max_error"] < 1e-4
    assert {tuple(size) for size in result["verification"]["networks"]["pnet"]["inputs"]} > {
        (1, 11, 11), (2, 31, 44)
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES[kind], *NOTES])
    notes = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    last = kind in ("tflite", "savedmodel")
    assert notes["input"]["layout"] == ("NHWC" if last else "NCHW")
    for network, entry in notes["networks"].items():
        assert entry["weights_sha256"] == weights.PUBLISHED_DIGESTS[network]
    assert [row["name"] for row in notes["networks"]["onet"]["outputs"]] == [
        "face", "box", "landmarks"
    ]  # fmt: skip
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "(value - 127.5) / 128" in text
    assert "Iván de Paz Centeno" in text


def test_a_user_can_follow_the_metadata_of_a_tflite_file(
    doctor: Doctor, tmp_path: Path, exact: NumpyNetworks
) -> None:
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    assert doctor("export", "tflite", "-o", tmp_path / "models").code == 0
    notes = json.loads((tmp_path / "models" / "metadata.json").read_text(encoding="utf-8"))
    entry = notes["networks"]["onet"]
    reader = interpreters.Interpreter(model_path=str(tmp_path / "models" / entry["file"]))
    reader.resize_tensor_input(reader.get_input_details()[0]["index"], (4, 48, 48, 3))
    run = reader.get_signature_runner()
    image = np.random.default_rng(1).random((4, 48, 48, 3), np.float32)
    found = run(**{notes["input"]["name"]: image})
    wanted = exact.onet(image.transpose(0, 3, 1, 2))
    for row, theirs in zip(entry["outputs"], wanted, strict=True):
        assert np.abs(found[row["name"]] - theirs).max() < 1e-4


def test_the_text_says_how_far_off_and_where(doctor: Doctor, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    answer = doctor("export", "onnx", "-o", tmp_path / "models")
    assert answer.out.startswith("✓ onnx written to ")
    assert "verified with onnxruntime" in answer.out
    assert "pnet.onnx" in answer.out


@pytest.mark.parametrize(
    ("kind", "absent"), [("onnx", "onnxruntime"), ("tflite", "ai_edge_litert")]
)
def test_without_a_reader_nothing_is_claimed(
    doctor: Doctor, tmp_path: Path, kind: str, absent: str
) -> None:
    folder = tmp_path / "models"
    answer = doctor("export", kind, "-o", folder, "--python", only(tmp_path))
    assert answer.code == 0
    assert answer.out.startswith(f"! {kind} written to ")
    assert "not verified" in answer.out
    assert absent in answer.out
    assert (folder / FILES[kind][2]).stat().st_size > 1_000_000
    assert json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["verified"] is None
    assert "Not verified" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("reader", ["openvino", "cv2"])
def test_onnx_is_verified_by_what_there_is(doctor: Doctor, tmp_path: Path, reader: str) -> None:
    pytest.importorskip(reader)
    python = only(tmp_path, reader, "opencv_python" if reader == "cv2" else reader)
    answer = doctor("export", "onnx", "-o", tmp_path / "m", "--python", python, "--format", "json")
    assert answer.report["state"] == "verified", answer.out
    assert answer.report["verification"]["reader"] == {"cv2": "opencv"}.get(reader, reader)


def test_a_reader_that_answers_wrongly_is_an_error(
    doctor: Doctor, tmp_path: Path, patch_module
) -> None:
    pytest.importorskip("onnxruntime")
    wrong = patch_module(
        "onnxruntime",
        """
        class InferenceSession(module.InferenceSession):
            def run(self, *a, **k):
                outputs = super().run(*a, **k)
                return [outputs[0], outputs[1] + 0.01, *outputs[2:]]
        module.InferenceSession = InferenceSession
        """,
    )
    folder = tmp_path / "models"
    answer = doctor("export", "onnx", "-o", folder, environment=wrong)
    assert answer.code == 1
    assert "onnxruntime runs them and NumPy disagree" in answer.out
    assert "pnet is off by up to 0.01" in answer.out
    assert not folder.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("module.InferenceSession = None", "TypeError"),
        ("import os\nmodule.InferenceSession = lambda *a, **k: os.abort()", "SIGABRT"),
    ],
)
def test_a_reader_that_fails_is_an_error_and_leaves_earlier_files(
    doctor: Doctor, tmp_path: Path, patch_module, body: str, words: str
) -> None:
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "pnet.onnx").write_text("earlier")
    answer = doctor(
        "export", "onnx", "-o", folder, "--force", environment=patch_module("onnxruntime", body)
    )
    assert answer.code == 1
    assert words in answer.out
    assert [path.name for path in folder.iterdir()] == ["pnet.onnx"]
    assert (folder / "pnet.onnx").read_text() == "earlier"


def test_files_are_replaced_only_by_force(doctor: Doctor, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    (folder / "other.txt").write_text("mine")
    refused = doctor("export", "onnx", "-o", folder)
    assert refused.code == 2
    assert "README.md already" in refused.err
    assert "--force" in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert (folder / "README.md").read_text() == "mine"
    assert doctor("export", "onnx", "-o", folder, "--force").code == 0
    assert "MTCNN as onnx" in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "other.txt").read_text() == "mine"


def test_a_saved_model_is_replaced_whole(doctor: Doctor, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    folder = tmp_path / "models"
    (folder / "pnet").mkdir(parents=True)
    (folder / "pnet" / "stale").write_text("")
    assert doctor("export", "savedmodel", "-o", folder, "--force").code == 0
    assert not (folder / "pnet" / "stale").exists()
    assert (folder / "pnet" / "saved_model.pb").is_file()
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES["savedmodel"], *NOTES])


def safetensors(path: Path, change: float) -> None:
    """The bundled weights with one bias of P-Net moved."""
    data = bytearray(Path(weights.BUNDLED_FILE).read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    start = 8 + length + header["pnet.face.bias"]["data_offsets"][0]
    (value,) = struct.unpack_from("<f", data, start)
    struct.pack_into("<f", data, start, value + change)
    path.write_bytes(data)


def test_other_weights_are_exported_and_named(doctor: Doctor, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    safetensors(own, 0.5)
    folder = tmp_path / "models"
    answer = doctor("export", "tflite", "-o", folder, "--weights", own, "--format", "json")
    assert answer.code == 0
    assert answer.report["weights"]["published"] is False
    notes = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    digests = {name: entry["weights_sha256"] for name, entry in notes["networks"].items()}
    assert digests["pnet"] != weights.PUBLISHED_DIGESTS["pnet"]
    assert digests["rnet"] == weights.PUBLISHED_DIGESTS["rnet"]
    assert "Iván de Paz Centeno" not in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["onnx", "-o", "{file}"], "is a file; name a folder"),
        (["onnx", "-o", "{file}/below"], "cannot be made"),
        (["onnx", "-o", "m", "--weights", "missing"], "--weights missing: no such file"),
        (["onnx", "-o", "m", "--weights", "{file}"], "no known format of weights"),
        (["onnx", "-o", "m", "--python", "/nowhere/python"], "no interpreter /nowhere/python"),
        (["torchscript", "-o", "m", "--python", "{only}"], "torch is not installed in"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    doctor: Doctor, tmp_path: Path, arguments: list[str], words: str
) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    python = only(tmp_path) if "{only}" in arguments else None
    answer = doctor("export", *(a.format(file=file, only=python) for a in arguments))
    assert answer.code == 2
    assert words in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert "Traceback" not in answer.err
    assert not (tmp_path / "work" / "m").exists()


def test_an_unknown_format_is_exit_2(doctor: Doctor) -> None:
    answer = doctor("export", "caffe", "-o", "m")
    assert answer.code == 2
    assert "savedmodel" in answer.err


@pytest.fixture(scope="module")
def exact() -> NumpyNetworks:
    return NumpyNetworks(weights.load_weights(), np.float64)


def test_the_doctor_imports_none_of_the_frameworks(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from mtcnn_doctor.__main__ import main\n"
        f"sys.argv = ['mtcnn-doctor', 'export', 'onnx', '-q', '-o', {str(tmp_path / 'models')!r}]\n"
        "code = main()\n"
        "print(code, *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert not {"numpy", "torch", "tensorflow", "onnxruntime", "openvino", "cv2"} & set(loaded)
