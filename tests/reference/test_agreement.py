"""Every backend against the float64 specification: noise, crowds, awkward shapes, no faces, 4K."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.reference import Detector
from mtcnn_doctor.target.reference import cascade, networks

#: What issue and documentation promise.
SCORE, PIXELS = 5e-4, 0.05


@pytest.fixture(scope="module", params=[*networks.BACKENDS, "numpy, not compiled"])
def backend(request):
    """Parameters of a detector; compiled resampling where numba is installed, and once without."""
    name = request.param.split(",")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(BACKENDS[name].module)
        except ImportError as error:
            pytest.skip(f"{name} cannot be imported: {error}")
    return {"backend": name, "compiled": None if name == request.param else False}


@pytest.fixture(scope="module")
def truth(exact):
    """Answers of the specification, one after the other as they are asked for."""
    known = {}

    def of(title, image, record=None, **settings):
        if title not in known:
            result = cascade.detect(
                image, exact, cascade.Settings(**settings), dtype=np.float64, record=record
            )
            known[title] = result, record
        return known[title]

    return of


def crowd(images):
    """300 faces of 24 to 30 pixels, each shifted and dimmed in its own way."""
    rng = np.random.default_rng(8)
    head = images["portrait.png"][22:214, 128:320].reshape(48, 4, 48, 4, 3).mean(axis=(1, 3))
    scene = np.full((15 * 56, 20 * 56, 3), 110.0) + rng.normal(0, 6, (15 * 56, 20 * 56, 3))
    for row in range(15):
        for column in range(20):
            y, x = 56 * row + rng.integers(0, 9), 56 * column + rng.integers(0, 9)
            scene[y : y + 48, x : x + 48] = head * rng.uniform(0.6, 1.0)
    return np.clip(np.rint(scene), 0, 255).astype(np.uint8)


def assert_agrees(result, wanted):
    assert result.levels == tuple(wanted.levels)
    assert result.non_finite == ()
    assert len(result.faces) == len(wanted.detections)
    found = np.array([[*f.box, *np.ravel(f.keypoints), f.confidence] for f in result.faces])
    faces = [[*d.box, *np.ravel(list(d.keypoints.values())), d.confidence]
             for d in wanted.detections]  # fmt: skip
    for face in np.array(faces):
        # Scores that differ by rounding alone may come in another order.
        nearest = found[np.abs(found[:, :4] - face[:4]).sum(axis=1).argmin()]
        assert np.abs(nearest[:-1] - face[:-1]).max() <= PIXELS
        assert abs(nearest[-1] - face[-1]) <= SCORE


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_crowd_of_hundreds(backend, lanes, truth, images):
    image = crowd(images)
    wanted, _ = truth("crowd", image)
    assert len(wanted.detections) >= 290
    with Detector(**backend, lanes=lanes) as detector:
        first = detector.detect(image)
        assert_agrees(first, wanted)
        assert detector.detect(image) == first  # to the last bit


@pytest.mark.parametrize("shape", [(200, 200), (97, 333)], ids=str)
def test_noise(backend, shape, truth):
    image = np.random.default_rng(11).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted, _ = truth(f"noise {shape}", image)
    assert wanted.candidates["pnet"] > 0
    with Detector(**backend, lanes=1) as detector:
        assert_agrees(detector.detect(image), wanted)


@pytest.mark.parametrize(
    ("shape", "least"), [((12, 12), 12), ((11, 2000), 11), ((2000, 11), 11), ((13, 500), 12)]
)
def test_awkward_shapes(backend, shape, least, truth):
    image = np.random.default_rng(4).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted, said = truth(f"shape {shape}", image, cascade.Stages(), min_face_size=least)
    assert len(wanted.levels) >= 1
    with Detector(**backend, lanes=2, min_face_size=least) as detector:
        assert_agrees(detector.detect(image), wanted)
        stages = detector.stages(image)
    # Such images rarely hold a face: the raw answers have to agree, too.
    for level, true in zip(stages.pnet, said.pnet, strict=True):
        assert np.abs(level.logits - true.logits).max() < SCORE
        assert np.abs(level.offsets - true.offsets).max() < SCORE
    assert np.array_equal(stages.rnet.boxes, said.rnet.boxes)
    assert np.abs(stages.rnet.logits - said.rnet.logits).max(initial=0) < SCORE
    with Detector(**backend, lanes=2) as detector:
        assert detector.detect(image).faces == ()


def test_images_without_faces(backend, truth, images):
    with Detector(**backend) as detector:
        for title, image in (
            ("no face", images["no_face.png"]),
            ("black", np.zeros((240, 320, 3), np.uint8)),
            ("white", np.full((240, 320, 3), 255, np.uint8)),
        ):
            wanted, _ = truth(title, image)
            assert wanted.detections == []
            assert_agrees(detector.detect(image), wanted)


@pytest.mark.heavy
def test_4k(backend, truth, images):
    image = images["crowd.png"].repeat(3, axis=0).repeat(3, axis=1)
    assert image.shape == (2160, 3840, 3)
    wanted, _ = truth("4K", image)
    assert len(wanted.detections) >= 15
    with Detector(**backend) as detector:
        assert_agrees(detector.detect(image), wanted)
