"""Every backend on the bundled images, on noise and on awkward sizes."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference import cascade, networks
from mtcnn_doctor.target.reference.networks import numpy_backend, onnx_model

#: What a backend imports, where it is not called like the backend.
MODULES = {"opencv": "cv2", "litert": "ai_edge_litert"}
RNG = np.random.default_rng(11)
TARGET = Path(networks.__file__).resolve().parents[2]


@pytest.fixture(scope="session", params=networks.BACKENDS)
def backend(request, published):
    """Name and networks; the frameworks' own warnings at import are not ours to judge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if request.param != "numpy":
            try:
                importlib.import_module(MODULES.get(request.param, request.param))
            except ImportError as error:
                pytest.skip(f"{request.param} cannot be imported: {error}")
        return request.param, networks.create(request.param, published)


def noise(*shape):
    return (RNG.random(shape) * 2 - 1).astype(np.float32)


def assert_near(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        # Largest deviation seen in any backend: 5e-6 at values up to 12.
        assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize(
    "size", [(12, 12), (11, 11), (11, 200), (13, 13), (640, 12), (101, 64), (200, 201)], ids=str
)
def test_pnet_is_near_float64_at_every_size(backend, exact, size):
    x = noise(1, 3, *size)
    found = backend[1].pnet(x)
    assert found[0].shape == (1, 2, (size[0] - 1) // 2 - 4, (size[1] - 1) // 2 - 4)
    assert_near(found, exact.pnet(x))


@pytest.mark.parametrize("count", [1, 2, 17, 64])
def test_rnet_and_onet_are_near_float64(backend, exact, count):
    x = noise(count, 3, 24, 24)
    assert_near(backend[1].rnet(x), exact.rnet(x))
    x = noise(count, 3, 48, 48)
    assert_near(backend[1].onet(x), exact.onet(x))


def test_a_batch_is_its_images_one_by_one(backend, exact):
    x = noise(3, 3, 31, 44)
    assert_near(backend[1].pnet(x), exact.pnet(x))


def faces(result):
    return [detection.as_dict() for detection in result.detections]


def compare(found, entry, tolerance):
    assert len(found) == len(entry["faces"])
    for wanted in entry["faces"]:
        nearest = min(found, key=lambda f: np.abs(np.subtract(f["box"], wanted["box"])).sum())
        assert nearest["box"] == pytest.approx(wanted["box"], abs=tolerance["box_px"], rel=0)
        assert nearest["confidence"] == pytest.approx(
            wanted["confidence"], abs=tolerance["confidence"], rel=0
        )
        for name in cascade.KEYPOINTS:
            assert nearest["keypoints"][name] == pytest.approx(
                wanted["keypoints"][name], abs=tolerance["keypoint_px"], rel=0
            )


def test_the_bundled_images_give_the_expected_faces(backend, expected, images):
    name, nets = backend
    for entry in expected["images"]:
        result = cascade.detect(images[entry["file"]], nets)
        compare(faces(result), entry, expected["tolerance"][name])
        assert len(result.levels) == entry["levels"]
        assert result.non_finite == []


def test_the_expected_faces_are_those_of_float64(exact, expected, images):
    for entry in expected["images"]:
        result = cascade.detect(images[entry["file"]], exact, dtype=np.float64)
        zero = {"box_px": 1e-6, "keypoint_px": 1e-6, "confidence": 1e-8}
        compare(faces(result), entry, zero)
        assert result.candidates == entry["candidates"]


def test_noise_gives_the_same_answer_everywhere(backend, exact):
    image = RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    wanted = faces(cascade.detect(image, exact, dtype=np.float64))
    compare(
        faces(cascade.detect(image, backend[1])),
        {"faces": wanted},
        {"box_px": 1.0, "keypoint_px": 1.0, "confidence": 0.01},
    )


@pytest.mark.parametrize("backend", ["tensorflow"], indirect=True)
def test_tensorflow_is_traced_once_whatever_the_sizes(backend, images):
    for file in ("portrait.png", "small_faces.png", "border_faces.png"):
        cascade.detect(images[file], backend[1])
    assert backend[1].traces == {"pnet": 1, "rnet": 1, "onet": 1}


@pytest.mark.parametrize("pixels", [1, 1000, 5000])
@pytest.mark.parametrize("size", [(64, 40), (63, 41), (12, 50), (97, 11)], ids=str)
def test_numpy_strips_do_not_show(monkeypatch, exact, pixels, size):
    x = noise(2, 3, *size).astype(np.float64)
    monkeypatch.setattr(numpy_backend, "_STRIP_PIXELS", 1 << 30)
    whole = exact.pnet(x)
    monkeypatch.setattr(numpy_backend, "_STRIP_PIXELS", pixels)
    for part, all_at_once in zip(exact.pnet(x), whole, strict=True):
        assert np.abs(part - all_at_once).max() < 1e-12


def test_pnet_refuses_what_is_smaller_than_its_receptive_field(exact):
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, not 10 x 30"):
        exact.pnet(noise(1, 3, 10, 30))


def test_an_unknown_device_is_refused(backend, published):
    with pytest.raises(ValueError, match="abacus"):
        networks.create(backend[0], published, device="abacus")


def test_an_unknown_backend_is_refused(published):
    with pytest.raises(ValueError, match="unknown backend 'caffe', expected one of numpy, torch"):
        networks.create("caffe", published)


def test_the_onnx_models_use_up_all_arrays(published):
    models = onnx_model.build_models(published)
    assert [len(models[name]) for name in ("pnet", "rnet", "onet")] == [27343, 401760, 1557577]
    with pytest.raises(ValueError, match="left over"):
        onnx_model.build_models({**published, "rnet": [*published["rnet"], published["rnet"][0]]})


@pytest.mark.parametrize("name", ["torch", "tensorflow", "onnxruntime"])
def test_threads_are_limited_on_request(published, name):
    # In a process of its own: tensorflow takes the number only before it has done anything.
    script = f"""
import sys
sys.path.insert(0, {str(TARGET.parents[1])!r})
try:
    import {name}
except ImportError:
    raise SystemExit(42)
from mtcnn_doctor.target.reference import networks, weights
nets = networks.create({name!r}, weights.load_weights(), threads=1)
print({{"torch": lambda: sys.modules["torch"].get_num_threads(),
       "tensorflow": lambda: sys.modules["tensorflow"].config.threading
       .get_intra_op_parallelism_threads(),
       "onnxruntime": lambda: nets._pnet.get_session_options().intra_op_num_threads}}[{name!r}]())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    if done.returncode == 42:
        pytest.skip(f"{name} is not installed")
    assert done.stdout.split()[-1:] == ["1"], done.stderr


def test_the_package_runs_under_another_name_and_loads_no_framework():
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "mtcnn_doctor_target", {str(TARGET / "__init__.py")!r},
    submodule_search_locations=[{str(TARGET)!r}])
module = importlib.util.module_from_spec(spec)
sys.modules["mtcnn_doctor_target"] = module
spec.loader.exec_module(module)
from mtcnn_doctor_target.reference import cascade, networks, picture, weights
nets = networks.create("numpy", weights.load_weights())
image = picture.read_rgb({str(TARGET.parents[1] / "reference_images" / "portrait.png")!r})
print(len(cascade.detect(image, nets).detections))
print(*({{"mtcnn_doctor", "torch", "tensorflow", "onnxruntime", "cv2", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", script], capture_output=True, text=True
    )
    assert done.stdout == "1\n\n", done.stderr


def test_torch_layers_by_rows_are_torchs_own():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    from mtcnn_doctor.target.reference.networks.torch_rows import RowMaxPool, RowPReLU

    torch.manual_seed(4)
    own = torch.nn.PReLU(5)
    own.weight.data.uniform_(-1, 2)
    for kernel in (2, 3):
        pool = torch.nn.MaxPool2d(kernel, stride=2, ceil_mode=True)
        for height, width in itertools.product(range(kernel, 10), repeat=2):
            x = torch.randn(2, 5, height, width).to(memory_format=torch.channels_last)
            x[0, 0, 0, 0] = float("nan")
            assert torch.equal(RowMaxPool(pool)(x).nan_to_num(9), pool(x).nan_to_num(9))
            assert torch.equal(RowPReLU(own)(x).nan_to_num(9), own(x).nan_to_num(9))
