"""Each thing that can be wrong with a weight file is named, and nothing else is."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_doctor.model import Severity
from mtcnn_doctor.target.reference.files import pickle_writer, trial, written

from .files import PUBLISHED, index, judged, keras_list, lz4, problems, published, save, write

IMAGES = Path(__file__).resolve().parents[2] / "reference_images"


def changed(network: str, name: str, change: Any) -> dict[str, Any]:
    """The published networks with one array replaced by ``change(array)``."""
    own = published()
    at = index(network, name)
    own[network][at] = np.ascontiguousarray(change(own[network][at]), dtype=np.float32)
    return own


def lz4_of(folder: Path, own: dict[str, Any], network: str = "pnet") -> Path:
    return save(
        folder,
        f"{network}.lz4",
        written.encode("mtcnn-1.0", {network: own[network]})[f"{network}.lz4"],
    )


def torch_of(folder: Path, own: dict[str, Any], network: str = "pnet") -> Path:
    name = f"{network}.pt"
    return save(folder, name, written.encode("facenet-pytorch", {network: own[network]})[name])


def with_nan(array):
    array[0] = np.nan
    return array


def with_zeros(array):
    array[:3] = 0
    return array


def html(folder):
    return save(folder, "det1.npy", b"\n<!DOCTYPE html><html><body>Not Found</body></html>")


def lfs(folder):
    return save(
        folder, "pnet.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 28570\n"
    )


def note(folder):
    return save(folder, "pnet.npy", b'{"message": "Not Found", "status": "404"}')


def empty(folder):
    return save(folder, "rnet.lz4", b"")


def cut_npy(folder):
    (path,) = write(folder, "mtcnn-0.1")
    return save(folder, path.name, path.read_bytes()[:1_000_000])


def cut_torch(folder):
    return save(folder, "onet.pt", torch_of(folder, PUBLISHED, "onet").read_bytes()[:900_000])


def cut_lz4(folder):
    return save(folder, "onet.lz4", lz4_of(folder, PUBLISHED, "onet").read_bytes()[:900_000])


def cut_caffe(folder):
    content = written.encode("caffe", {"rnet": PUBLISHED["rnet"]})["det2.caffemodel"]
    return save(folder, "det2.caffemodel", content[:300_000])


def bit_in_torch(folder):
    content = bytearray(torch_of(folder, PUBLISHED, "rnet").read_bytes())
    content[200_000] ^= 4
    return save(folder, "rnet.pt", bytes(content))


def bit_in_lz4(folder):
    content = bytearray(lz4_of(folder, PUBLISHED, "rnet").read_bytes())
    content[200_000] ^= 4
    return save(folder, "rnet.lz4", bytes(content))


def zeros(folder):
    return save(folder, "det3.npy", bytes(1_557_360))


def too_few(folder):
    return save(folder, "pnet.lz4", lz4(keras_list("pnet")[:-1]))


def no_slopes(folder):
    listed = [one for at, one in enumerate(keras_list("pnet")) if at not in (2, 5, 8)]
    return save(folder, "pnet.lz4", lz4(listed))


def no_landmarks(folder):
    # mtcnn 1.0 keeps them between the boxes and the faces.
    listed = keras_list("onet")
    del listed[17:19]
    return save(folder, "onet.lz4", lz4(listed))


def whole_dictionary(folder):
    return save(folder, "pnet.lz4", lz4({"pnet": keras_list("pnet")}))


def list_in_npy(folder):
    content = pickle_writer.numpy_object([keras_list("pnet", "mtcnn-0.1")])
    return save(folder, "pnet.npy", content)


def module_prefix(folder):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    state = torch.load(torch_of(folder, PUBLISHED), weights_only=True)
    torch.save({f"module.{name}": one for name, one in state.items()}, folder / "pnet.pt")
    return folder / "pnet.pt"


def whole_checkpoint(folder):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    state = torch.load(torch_of(folder, PUBLISHED), weights_only=True)
    torch.save({"epoch": 3, "state_dict": state}, folder / "pnet.pt")
    return folder / "pnet.pt"


def turned_lz4(folder):
    own = published()
    for name in ("conv1", "conv2", "conv3"):
        at = index("pnet", f"{name}.weight")
        own["pnet"][at] = np.ascontiguousarray(own["pnet"][at].transpose(0, 1, 3, 2))
    return lz4_of(folder, own)


def turned_and_trained(folder):
    own = published()
    random = np.random.default_rng(1)
    for name in ("conv1", "conv2", "conv3"):
        at = index("pnet", f"{name}.weight")
        turned = own["pnet"][at].transpose(0, 1, 3, 2)
        noise = random.standard_normal(turned.shape) * turned.std() * 0.2
        own["pnet"][at] = np.ascontiguousarray(turned + noise, dtype=np.float32)
    return torch_of(folder, own)


def caffe_order_in_torch(folder):
    """A dense layer copied from Caffe without reordering its inputs."""
    own = published()
    at = index("rnet", "fc4.weight")
    right = own["rnet"][at]  # (out, c, y, x)
    flat = np.ascontiguousarray(right.transpose(0, 1, 3, 2)).reshape(128, -1)  # c, x, y
    own["rnet"][at] = np.ascontiguousarray(flat.reshape(128, 3, 3, 64).transpose(0, 3, 2, 1))
    return torch_of(folder, own, "rnet")


def old_heads(folder):
    listed = keras_list("pnet")
    return save(folder, "pnet.lz4", lz4(listed[:9] + listed[11:] + listed[9:11]))


def faces_exchanged(folder):
    own = published()
    for role in ("weight", "bias"):
        at = index("onet", f"face.{role}")
        own["onet"][at] = own["onet"][at][::-1].copy()
    return torch_of(folder, own, "onet")


def points_interleaved(folder):
    own = published()
    for role in ("weight", "bias"):
        at = index("onet", f"landmarks.{role}")
        own["onet"][at] = own["onet"][at][[0, 5, 1, 6, 2, 7, 3, 8, 4, 9]].copy()
    return lz4_of(folder, own, "onet")


def not_a_number(folder):
    return lz4_of(folder, changed("onet", "conv3.weight", with_nan), "onet")


def dead(folder):
    return torch_of(folder, changed("rnet", "conv2.weight", with_zeros), "rnet")


def untrained_slopes(folder):
    own = published()
    for name in ("conv1", "conv2", "conv3"):
        own["pnet"][index("pnet", f"{name}.slope")][:] = 0.25
    return torch_of(folder, own)


def wider(folder):
    listed = keras_list("pnet")
    listed[3] = np.zeros((3, 3, 10, 20), np.float32) + 0.1
    listed[4], listed[5] = np.ones(20, np.float32), np.ones((1, 1, 20), np.float32)
    return save(folder, "pnet.lz4", lz4(listed))


def unshared_slopes(folder):
    listed = keras_list("rnet")
    listed[2] = np.broadcast_to(listed[2], (22, 22, 28)).copy()
    return save(folder, "rnet.lz4", lz4(listed))


def wrong_name(folder):
    return save(folder, "pnet.pt", torch_of(folder, PUBLISHED, "rnet").read_bytes())


def noise(folder):
    content = np.random.default_rng(3).integers(0, 256, 30_000, np.uint8).tobytes()
    return save(folder, "weights.bin", b"\xf7" + content)


def another_model(folder):
    np.savez(
        folder / "resnet.npz", a=np.zeros((64, 3, 7, 7), np.float32), b=np.zeros(64, np.float32)
    )
    return folder / "resnet.npz"


def checkpoint(folder):
    return save(folder, "model.ckpt.index", b"\x00\x00\x00\x11" + bytes(range(200)))


def tflite(folder):
    return save(folder, "pnet.tflite", b"\x1c\0\0\0TFL3" + bytes(100))


def hostile(folder):
    class Payload:
        def __reduce__(self):
            return print, ("this was run",)

    return save(folder, "pnet.pkl", pickle.dumps([*keras_list("pnet"), Payload()]))


CORRUPTIONS = [
    (html, "weights-not-a-model"),
    (lfs, "weights-not-a-model"),
    (note, "weights-not-a-model"),
    (empty, "weights-truncated"),
    (cut_npy, "weights-truncated"),
    (cut_torch, "weights-truncated"),
    (cut_lz4, "weights-truncated"),
    (cut_caffe, "weights-truncated"),
    (bit_in_torch, "weights-truncated"),
    (bit_in_lz4, "weights-truncated"),
    (zeros, "weights-truncated"),
    (too_few, "weights-count"),
    (no_slopes, "weights-count"),
    (no_landmarks, "weights-count"),
    (whole_dictionary, "weights-nesting"),
    (list_in_npy, "weights-nesting"),
    (module_prefix, "weights-nesting"),
    (whole_checkpoint, "weights-nesting"),
    (turned_lz4, "weights-orientation"),
    (turned_and_trained, "weights-orientation"),
    (caffe_order_in_torch, "weights-orientation"),
    (old_heads, "weights-head-order"),
    (faces_exchanged, "weights-head-order"),
    (points_interleaved, "weights-head-order"),
    (not_a_number, "weights-nonfinite"),
    (dead, "weights-statistics"),
    (untrained_slopes, "weights-statistics"),
    (wider, "weights-shape"),
    (unshared_slopes, "weights-shape"),
    (wrong_name, "weights-mixed"),
    (noise, "weights-format"),
    (another_model, "weights-format"),
    (checkpoint, "weights-format"),
    (tflite, "weights-format"),
    (hostile, "weights-unsafe"),
]


@pytest.mark.parametrize(
    ("make", "id"), CORRUPTIONS, ids=[make.__name__ for make, _ in CORRUPTIONS]
)
def test_each_corruption_has_its_name_and_no_other(tmp_path, capfd, make, id):
    found = problems(make(tmp_path))
    assert [one.id for one in found] == [id], [(one.id, one.title) for one in found]
    assert found[0].remedy is not None
    assert "this was run" not in capfd.readouterr().out


def texts(finding: Any) -> str:
    return " ".join([finding.title, finding.effect, finding.cause, str(finding.evidence)])


def test_the_errors_of_the_programs_are_told_word_for_word(tmp_path):
    (count,) = problems(too_few(tmp_path))
    assert (
        "You called `set_weights(weights)` on layer 'p_net' with a weight list of length 12, but "
        "the layer was expecting 13 weights." in texts(count)
    )
    (nested,) = problems(whole_dictionary(tmp_path))
    assert "with a weight list of length 1, but the layer was expecting 13 weights" in texts(nested)
    (heads,) = problems(old_heads(tmp_path))
    assert (
        "Layer p_net weight shape (1, 1, 32, 4) is not compatible with provided weight shape "
        "(1, 1, 32, 2)." in texts(heads)
    )


@pytest.mark.parametrize("make", [module_prefix, whole_checkpoint])
def test_the_keys_that_torch_misses_are_those_that_are_named(tmp_path, make):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    path = make(tmp_path)
    (finding,) = problems(path)
    model = torch.nn.Module()
    model.conv1 = torch.nn.Conv2d(3, 10, 3)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(torch.load(path, weights_only=True))
    said = str(caught.value)
    assert 'Missing key(s) in state_dict: "conv1.weight"' in said
    assert 'Missing key(s) in state_dict: "conv1.weight"' in texts(finding)
    assert "Unexpected key(s) in state_dict: " in said
    assert "Unexpected key(s) in state_dict: " in texts(finding)


def test_an_old_list_in_a_new_container_is_turned_and_has_its_heads_in_the_old_order(tmp_path):
    found = problems(save(tmp_path, "pnet.lz4", lz4(keras_list("pnet", "mtcnn-0.1"))))
    assert sorted(one.id for one in found) == ["weights-head-order", "weights-orientation"]


def test_files_of_two_packages_are_mixed(tmp_path):
    mixed = [lz4_of(tmp_path, PUBLISHED), torch_of(tmp_path, PUBLISHED, "rnet")]
    assert [one.id for one in problems(*mixed)] == ["weights-mixed"]
    # Two files of the same network are not meant to be used together.
    assert problems(lz4_of(tmp_path, PUBLISHED), torch_of(tmp_path, PUBLISHED)) == []


def test_retrained_layers_are_named_and_are_no_problem(tmp_path):
    own = changed("onet", "face.bias", lambda array: array + 0.01)
    own["onet"][index("onet", "fc5.weight")] *= 1.01
    path = lz4_of(tmp_path, own, "onet")
    _, findings = judged([path])
    (told,) = [one for one in findings if one.severity is Severity.INFO]
    assert told.id == "weights-modified"
    assert "differs from the published one in fc5, face" in told.title
    assert problems(path) == []


def test_a_network_of_its_own_gets_no_finding_about_orientation_or_order(tmp_path):
    random = np.random.default_rng(0)
    own = {
        network: [random.standard_normal(array.shape).astype(np.float32) * 0.1 for array in arrays]
        for network, arrays in PUBLISHED.items()
    }
    for path in (lz4_of(tmp_path, own, "onet"), torch_of(tmp_path, own, "rnet")):
        _, findings = judged([path])
        told = [one for one in findings if one.severity.value in ("error", "warning", "info")]
        assert [one.id for one in told] == ["weights-modified"]
        assert "a network of its own" in told[0].title


def tried(own: dict[str, Any], images: tuple[str, ...] = ("crowd.png",)) -> dict[str, Any]:
    paths = [str(IMAGES / name) for name in images]
    answer = trial.run(own, PUBLISHED, paths, {}, lambda image: None)
    return {**answer, "networks": ["pnet", "rnet", "onet"]}


def test_the_published_networks_keep_all_faces_in_a_trial(tmp_path):
    answer = tried(PUBLISHED)
    (row,) = answer["images"]
    assert row["given"] == row["published"]
    assert row["kept"] == dict.fromkeys(("pnet", "rnet", "onet"), row["published"]["faces"])
    assert problems(*write(tmp_path, "mtcnn-1.0"), trial=answer) == []


def test_corners_in_place_of_offsets_are_named(tmp_path):
    # The face's corners within the crop, as who forgets the division learns them.
    own = changed("pnet", "box.bias", lambda bias: np.add(bias, [0.2, 0.2, 0.72, 0.67]))
    found = problems(lz4_of(tmp_path, own), trial=tried(own))
    assert "weights-statistics" in {one.id for one in found}
    (corners,) = [one for one in found if one.id == "weights-statistics"]
    assert corners.title == "P-Net answers corners within the crop, not offsets"


def test_the_network_that_loses_the_faces_is_named(tmp_path):
    own = changed("rnet", "face.bias", lambda bias: np.add(bias, [4, -4]))
    found = problems(lz4_of(tmp_path, own, "rnet"), trial=tried(own))
    assert [one.id for one in found] == ["weights-recall"]
    assert found[0].title.startswith("R-Net keeps ")
    assert found[0].about == "R-Net"


def test_a_p_net_that_sees_faces_everywhere_is_stopped_and_named(tmp_path):
    own = changed("pnet", "face.bias", lambda bias: np.add(bias, [-20, 20]))
    found = problems(lz4_of(tmp_path, own), trial=tried(own))
    assert [one.id for one in found] == ["weights-recall"]
    assert "for faces" in found[0].title
