"""Every format is read, and written so that its own program reads the same numbers."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

from mtcnn_doctor.target.reference.files import lz4frame, pickle_writer, written
from mtcnn_doctor.target.reference.files.describe import read
from mtcnn_doctor.target.reference.files.protobuf import bytes_field, varint_field
from mtcnn_doctor.target.reference.files.raw import Budget, FileError
from mtcnn_doctor.target.reference.weights import LAYOUT, PUBLISHED_DIGESTS, load_weights

from .files import PUBLISHED, index, judged, keras_list, published, save, write


@pytest.mark.parametrize("format", written.FORMATS)
def test_what_is_written_is_read_bit_for_bit_and_without_a_word(tmp_path, format):
    paths = write(tmp_path, format)
    found, findings = judged(paths)
    networks = {name: arrays for one in found for name, arrays in one.networks.items()}
    for network, arrays in PUBLISHED.items():
        assert [a.tobytes() for a in networks[network]] == [a.tobytes() for a in arrays]
    assert [
        one.title for one in findings if one.severity.value in ("error", "warning", "info")
    ] == []
    digests = {
        name: facts["digest"] for one in found for name, facts in one.facts["networks"].items()
    }
    assert digests == PUBLISHED_DIGESTS


@pytest.mark.parametrize("format", written.FORMATS)
def test_numbers_of_ones_own_survive_every_format(tmp_path, format):
    random = np.random.default_rng(5)
    own = {
        network: [random.standard_normal(array.shape).astype(np.float32) for array in arrays]
        for network, arrays in PUBLISHED.items()
    }
    own["pnet"][1][:3] = [-0.0, 1e-42, np.float32(3.4e38)]
    networks = {}
    for path in write(tmp_path, format, own):
        networks.update(read(str(path)).networks)
    for network, arrays in own.items():
        assert [a.tobytes() for a in networks[network]] == [a.tobytes() for a in arrays]


def test_numpy_reads_what_is_written_for_mtcnn_01_and_facenet(tmp_path):
    (path,) = write(tmp_path, "mtcnn-0.1")
    # As mtcnn 0.1 does it.
    weights = np.load(path, allow_pickle=True).tolist()
    assert [len(weights[name]) for name in ("pnet", "rnet", "onet")] == [13, 16, 21]
    assert weights["pnet"][9].shape == (1, 1, 32, 2)
    # As facenet does it.
    for file in write(tmp_path, "facenet"):
        layers = np.load(file, encoding="latin1", allow_pickle=True).item()
        assert layers["conv1"]["weights"].shape[:3] == (3, 3, 3)


def test_torch_reads_what_is_written_for_facenet_pytorch(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    paths = write(tmp_path, "facenet-pytorch")
    state = torch.load(paths[1], weights_only=True)
    assert state["dense4.weight"].shape == (128, 576)
    assert list(state)[:3] == ["conv1.weight", "conv1.bias", "prelu1.weight"]
    expected = PUBLISHED["rnet"][index("rnet", "conv2.weight")]
    assert np.array_equal(state["conv2.weight"].numpy(), expected)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_are_read_in_both_formats_and_as_checkpoints(tmp_path, zipped):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    (first, *_) = write(tmp_path, "facenet-pytorch")
    state = torch.load(first, weights_only=True)
    # A column-major view, a slice of a larger storage, and things that are no weights.
    state["conv1.weight"] = (
        state["conv1.weight"].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    )
    state["conv1.bias"] = torch.cat([torch.zeros(7), state["conv1.bias"]])[7:]
    path = tmp_path / "pnet_epoch9.pt"
    torch.save(
        {"epoch": 9, "state_dict": state, "lr": 0.1}, path, _use_new_zipfile_serialization=zipped
    )
    facts = read(str(path)).facts
    assert facts["networks"]["pnet"]["published"]
    assert facts["networks"]["pnet"]["prefix"] == "state_dict"


def test_half_precision_of_torch_and_safetensors_is_read(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    (first, *_) = write(tmp_path, "facenet-pytorch")
    state = torch.load(first, weights_only=True)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({name: one.to(kind) for name, one in state.items()}, first)
        row = read(str(first)).facts["networks"]["pnet"]
        assert row["published"] == (kind == torch.float64)
        assert all(one["equal"] or one["correlation"] > 0.9999 for one in row["layers"])


def test_joblib_pickles_are_read_packed_or_not(tmp_path):
    plain = pickle_writer.joblib_list(keras_list("rnet"))
    for name, content in {
        "a.pkl": plain, "b.pkl": zlib.compress(plain), "c.lz4": lz4frame.compress(plain),
    }.items():  # fmt: skip
        assert read(str(save(tmp_path, name, content))).networks["rnet"]


def test_pickles_of_every_protocol_are_read(tmp_path):
    for protocol in range(2, 6):
        content = pickle.dumps(keras_list("pnet", "mtcnn-0.1"), protocol)
        facts = read(str(save(tmp_path, "pnet.pkl", content))).facts
        assert facts["networks"]["pnet"]["published"], protocol


def test_npz_and_plain_arrays(tmp_path):
    np.savez(tmp_path / "pnet.npz", *keras_list("pnet"))
    assert read(str(tmp_path / "pnet.npz")).facts["networks"]["pnet"]["published"]
    np.save(tmp_path / "plain.npy", np.zeros((3, 3)))
    facts = read(str(tmp_path / "plain.npy")).facts
    assert facts["state"] == "other"


@pytest.mark.parametrize("legacy", [False, True])
def test_caffe_models_with_split_slopes_are_read(tmp_path, legacy):
    """As converted for TensorRT: a ReLU on either side in place of PReLU, P-Net upright."""
    message = b""
    for (name, _), array in zip(LAYOUT["pnet"], PUBLISHED["pnet"], strict=True):
        layer, role = name.split(".")
        if role == "weight":
            weight = array if array.ndim == 4 else array[:, :, None, None]
            blobs = [weight, PUBLISHED["pnet"][index("pnet", f"{layer}.bias")]]
            message += _layer(
                {"face": "conv4-1", "box": "conv4-2"}.get(layer, layer), blobs, legacy
            )
        elif role == "slope":
            message += _layer(f"scale{layer[-1]}_1", [np.full_like(array, -1)], legacy)
            message += _layer(f"scale{layer[-1]}_2", [-array], legacy)
    facts = read(str(save(tmp_path, "det1_relu.caffemodel", message))).facts
    assert facts["networks"]["pnet"]["layout"] == "caffe-relu"
    assert facts["networks"]["pnet"]["published"]


def _layer(name, blobs, legacy):
    number, first, last = (2, 4, 6) if legacy else (100, 1, 7)
    content = bytes_field(first, name.encode())
    for blob in blobs:
        shape = (1,) * (4 - blob.ndim) + blob.shape
        if legacy:
            sizes = b"".join(varint_field(axis + 1, size) for axis, size in enumerate(shape))
        else:
            sizes = bytes_field(7, b"".join(varint_field(1, size) for size in blob.shape))
        content += bytes_field(last, sizes + bytes_field(5, blob.astype("<f4").tobytes()))
    return bytes_field(number, content)


def test_hdf5_and_keras_files_are_read(tmp_path):
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    layers = keras_list("pnet")
    kinds = [
        "conv2d",
        "p_re_lu",
        "conv2d_1",
        "p_re_lu_1",
        "conv2d_2",
        "p_re_lu_2",
        "conv2d_3",
        "conv2d_4",
    ]
    path = tmp_path / "pnet.weights.h5"
    with h5py.File(path, "w") as file:
        for kind in kinds:
            count = 1 if "relu" in kind.replace("_", "") else 2
            for number in range(count):
                file[f"layers/{kind}/vars/{number}"] = layers.pop(0)
        file["optimizer/vars/0"] = np.zeros((3, 3, 3, 10))
    assert read(str(path)).facts["networks"]["pnet"]["published"]


SAVE = """
import pickle, sys
import keras
from keras import layers
x = entry = keras.Input((None, None, 3))
for width in (10, 16, 32):
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(width, 3)(x))
model = keras.Model(entry, [layers.Conv2D(4, 1)(x), layers.Conv2D(2, 1)(x)])
model.set_weights(pickle.load(open(sys.argv[1], "rb")))
model.save("pnet.keras")
model.save_weights("pnet.weights.h5")
model.save("pnet.h5")
"""


@pytest.mark.exhaustive
def test_a_keras_model_is_read_from_all_three_of_its_formats(tmp_path):
    if importlib.util.find_spec("keras") is None:
        pytest.skip("no Keras here")
    (tmp_path / "list").write_bytes(pickle.dumps(keras_list("pnet")))
    subprocess.run([sys.executable, "-c", SAVE, "list"], cwd=tmp_path, check=True, timeout=300)
    for name in ("pnet.keras", "pnet.weights.h5", "pnet.h5"):
        facts = read(str(tmp_path / name)).facts
        assert facts["networks"]["pnet"]["published"], (name, facts)


def test_lz4_frames_of_the_lz4_program(tmp_path):
    """Compressed blocks, made here by hand: literals, an overlapping match, and the end."""
    # token: 3 literals and a match of 4 + 8 at distance 1; then 5 literals.
    block = bytes([0x38]) + b"abc" + bytes([1, 0]) + bytes([0x50]) + b"WORLD"
    flags = bytes([0x60, 0x40])
    head = lz4frame.MAGIC + flags + bytes([lz4frame.xxh32(flags) >> 8 & 0xFF])
    frame = head + len(block).to_bytes(4, "little") + block + bytes(4)
    assert lz4frame.decompress(frame, Budget()) == b"abc" + b"c" * 12 + b"WORLD"
    with pytest.raises(FileError, match="header's checksum"):
        lz4frame.decompress(frame[:6] + b"\0" + frame[7:], Budget())


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0x02CC5D05),
        (b"abc", 0x32D153FF),
        (b"Nobody inspects the spammish repetition", 0xE2293B2F),
    ],
)
def test_xxh32_gives_the_published_values(data, checksum):
    assert lz4frame.xxh32(data) == checksum


def test_load_weights_takes_any_format_and_fills_up_with_the_published(tmp_path):
    own = published()
    own["pnet"][1] += 1
    first, *_ = write(tmp_path, "mtcnn-1.0", own)
    loaded = load_weights(str(first))
    assert np.array_equal(loaded["pnet"][1], own["pnet"][1])
    assert np.array_equal(loaded["onet"][0], PUBLISHED["onet"][0])
    assert all(array.flags.writeable for arrays in loaded.values() for array in arrays)


def test_truncation_anywhere_is_a_statement_and_no_crash(tmp_path):
    for format in written.FORMATS:
        content = next(
            iter(
                written.encode(
                    format, {"pnet": PUBLISHED["pnet"]} if format != "mtcnn-0.1" else PUBLISHED
                ).values()
            )
        )
        for cut in (1, 5, 9, 40, len(content) // 2, len(content) - 1):
            ending = {"safetensors": ".safetensors", "caffe": ".caffemodel", "onnx": ".onnx"}.get(
                format, ".bin"
            )
            facts = read(str(save(tmp_path, "cut" + ending, content[:cut]))).facts
            incomplete = [n for n in facts.get("networks", {}).values() if not n["complete"]]
            assert facts["state"] != "read" or incomplete or cut == len(content) - 1, (
                format,
                cut,
                facts,
            )
