from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference import cascade
from mtcnn_doctor.target.reference.cascade import Settings, detect

FOLDER = Path(__file__).resolve().parents[2] / "reference_images"


class Changed:
    """Networks whose outputs pass through a function: change(network, call number, outputs)."""

    def __init__(self, inner, change):
        self.inner, self.change, self.calls = inner, change, []

    def run(self, name, x):
        self.calls.append((name, x.shape))
        outputs = [output.copy() for output in getattr(self.inner, name)(x)]
        return self.change(name, sum(call[0] == name for call in self.calls), outputs)

    def pnet(self, x):
        return self.run("pnet", x)

    def rnet(self, x):
        return self.run("rnet", x)

    def onet(self, x):
        return self.run("onet", x)


def unchanged(name, call, outputs):
    return outputs


def test_the_files_are_the_ones_described(expected, images):
    assert expected["schema_version"] == 1
    assert (
        Settings(
            expected["settings"]["min_face_size"],
            expected["settings"]["scale_factor"],
            tuple(expected["settings"]["thresholds"]),
        )
        == Settings()
    )
    listed = {entry["file"] for entry in expected["images"]}
    assert listed == {file.name for file in FOLDER.glob("*.png")}
    for entry in expected["images"]:
        content = (FOLDER / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert images[entry["file"]].shape == (entry["height"], entry["width"], 3)
        for face in entry["faces"]:
            assert face["required"] == (face["confidence"] >= 0.9)


def overlap(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def test_the_portrait_agrees_with_the_published_packages(exact, images):
    # What mtcnn 0.1.1 and mtcnn 1.0.0 (tensorflow 2.21) answer for this image.
    (face,) = detect(images["portrait.png"], exact, dtype=np.float64).detections
    assert overlap(face.box, (179, 60, 89, 113)) > 0.97
    assert face.confidence == pytest.approx(0.9999951, abs=1e-6)
    points = {
        "left_eye": (203, 101),
        "right_eye": (246, 103),
        "nose": (224, 128),
        "mouth_left": (201, 139),
        "mouth_right": (244, 141),
    }
    for name, point in points.items():
        assert np.trunc(face.keypoints[name]).tolist() == list(point)
    assert overlap(face.box, (182, 64, 83, 107)) > 0.85


def test_detections_come_best_first_as_plain_numbers(exact, images):
    found = detect(images["border_faces.png"], exact, dtype=np.float64).detections
    scores = [face.confidence for face in found]
    assert scores == sorted(scores, reverse=True)
    assert all(type(value) is float for value in (*found[0].box, *found[0].keypoints["nose"]))
    assert list(found[0].keypoints) == list(cascade.KEYPOINTS)


def test_boxes_are_not_clipped(exact, images):
    found = detect(images["border_faces.png"], exact, dtype=np.float64).detections
    assert min(face.box[0] for face in found) < -5
    assert max(face.box[1] + face.box[3] for face in found) > 375


def test_floating_point_images_give_the_same(exact, images):
    image = images["small_faces.png"]
    wanted = detect(image, exact).detections
    for kind in (np.float32, np.float64):
        found = detect(image.astype(kind), exact).detections
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert one.box == pytest.approx(other.box, abs=1e-3)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-6)


def test_an_image_need_not_be_contiguous(exact, images):
    image = images["portrait.png"]
    upside_down = np.ascontiguousarray(image[::-1])[::-1]
    assert detect(upside_down, exact) == detect(image, exact)


@pytest.mark.parametrize("minimum", [20, 33.3, 80])
@pytest.mark.parametrize("size", [(512, 512), (100, 900), (441, 603)])
def test_the_pyramid_has_the_published_number_of_levels(minimum, size):
    settings = Settings(min_face_size=minimum)
    scales = cascade.pyramid_scales(*size, settings)
    assert len(scales) == math.floor(math.log(min(size) / minimum) / -math.log(0.709)) + 1
    assert scales[0] == 12 / minimum
    assert scales[-1] * min(size) >= 12 > scales[-1] * min(size) * 0.709


@pytest.mark.parametrize("shape", [(1, 1, 3), (19, 19, 3), (19, 4000, 3), (4000, 10, 3)])
def test_an_image_smaller_than_the_smallest_face_has_none(exact, shape):
    nets = Changed(exact, unchanged)
    result = detect(np.zeros(shape, np.uint8), nets)
    assert (result.detections, result.levels, nets.calls) == ([], [], [])
    assert result.candidates == {"pnet": 0, "rnet": 0, "onet": 0}


def test_the_smallest_image_has_one_level(exact):
    result = detect(np.zeros((20, 20, 3), np.uint8), exact)
    assert result.levels == [(12, 12)]
    assert result.detections == []


@pytest.mark.parametrize("value", [0, 127, 255])
def test_a_plain_image_has_no_faces(exact, value):
    assert detect(np.full((90, 120, 3), value, np.uint8), exact).detections == []


@pytest.mark.parametrize("stage", ["pnet", "rnet", "onet"])
def test_no_candidates_at_any_stage_is_an_empty_answer(exact, images, stage):
    def refuse(name, call, outputs):
        if name == stage:
            outputs[0][:, 0], outputs[0][:, 1] = 9.0, -9.0
        return outputs

    nets = Changed(exact, refuse)
    result = detect(images["portrait.png"], nets)
    assert result.detections == []
    assert result.candidates[stage] == 0
    assert result.non_finite == []


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("output", [0, 1])
def test_non_finite_outputs_are_dropped_and_recorded(exact, images, poison, output):
    def spoil(name, call, outputs):
        if (name, call) == ("pnet", 3):
            outputs[output][0, 1, 5, 7] = poison
        if (name, call) in (("rnet", 2), ("onet", 1)):
            outputs[output][-1, 0] = poison
        return outputs

    result = detect(images["small_faces.png"], Changed(exact, spoil))
    assert result.non_finite == ["pnet level 3", "rnet crops 65-128", "onet crops 1-64"]
    assert len(result.detections) >= 28
    numbers = [value for face in result.detections for value in (*face.box, face.confidence)]
    assert np.isfinite(numbers).all()


def test_networks_that_answer_nothing_but_nan_find_nothing(exact, images):
    def spoil(name, call, outputs):
        return [np.full_like(output, np.nan) for output in outputs]

    result = detect(images["portrait.png"], Changed(exact, spoil))
    assert result.detections == []
    assert result.non_finite == [f"pnet level {level}" for level in range(1, 11)]


def test_huge_but_finite_outputs_do_no_harm(exact, images):
    def enlarge(name, call, outputs):
        return [output * np.float32(1e30) for output in outputs]

    result = detect(images["portrait.png"], Changed(exact, enlarge))
    assert result.non_finite == []


def test_saturated_scores_are_ordered_by_position(exact, images):
    def certain(name, call, outputs):
        if name == "pnet":
            outputs[0][:, 0], outputs[0][:, 1] = -500.0, 500.0
            outputs[1][...] = 0
        return outputs

    image = images["small_faces.png"][:60, :80]
    first = detect(image, Changed(exact, certain))
    assert first.candidates["pnet"] > 10
    assert detect(image, Changed(exact, certain)) == first


def test_a_wrong_shape_is_an_error_not_a_wrong_answer(exact, images):
    def transpose(name, call, outputs):
        return [output.transpose(0, 1, 3, 2) for output in outputs] if name == "pnet" else outputs

    with pytest.raises(ValueError, match=r"pnet answered with shape \(1, 2, 176, 128\)"):
        detect(images["small_faces.png"], Changed(exact, transpose))


def test_crops_come_in_chunks_of_at_most_64(exact, images):
    seen = []
    nets = Changed(exact, unchanged)
    result = detect(images["small_faces.png"], nets, enter=lambda *step: seen.append(step))
    crops = [shape[0] for name, shape in nets.calls if name == "rnet"]
    assert sum(crops) == result.candidates["pnet"]
    assert max(crops) == 64
    assert ("rnet", f"crops 65-128 of {result.candidates['pnet']}") in seen


def test_enter_tells_what_comes_next(exact, images):
    log = []

    class Watching(Changed):
        def run(self, name, x):
            log.append(f"{name} runs")
            return super().run(name, x)

    image = images["portrait.png"][:250, 100:350]
    result = detect(
        image, Watching(exact, unchanged), enter=lambda stage, step: log.append((stage, step))
    )
    steps = [
        f"level {index + 1} of {len(result.levels)}, {height}x{width}"
        for index, (height, width) in enumerate(result.levels)
    ]
    assert log[0] == ("pyramid", "column sums 250x250")
    for index, step in enumerate(steps):
        start = 1 + 5 * index
        assert log[start : start + 5] == [
            ("pyramid", step),
            ("pnet", step),
            "pnet runs",
            ("pyramid", "boxes of " + step),
            ("pyramid", f"boxes of level {index + 1} of {len(steps)}"),
        ]
    # Whatever is not a network's call stands under another stage than the network's.
    for before, now in itertools.pairwise(log):
        if isinstance(now, str):
            assert before[0] == now.split()[0]
        elif isinstance(before, str):
            assert now[0] == "pyramid"
    assert log[-1] == ("pyramid", "boxes of onet")


class Stub:
    """One candidate in the first level, with offsets and scores made up; nothing elsewhere."""

    def __init__(self):
        self.first = True
        self.crops = {}

    def pnet(self, x):
        height, width = ((n - 1) // 2 - 4 for n in x.shape[2:])
        logits, offsets = np.zeros((1, 2, height, width)), np.zeros((1, 4, height, width))
        logits[:, 0] = 5
        if self.first:
            logits[0, :, 10, 20] = (0, 5)
            offsets[0, :, 10, 20] = (0.1, 0.0, 0.0, 0.2)
        self.first = False
        return logits, offsets

    def rnet(self, x):
        self.crops["rnet"] = x
        return np.array([[0.0, 3.0]]), np.array([[0.1, 0.0, -0.1, 0.0]])

    def onet(self, x):
        self.crops["onet"] = x
        points = np.array([[0.3, 0.7, 0.5, 0.35, 0.65, 0.4, 0.4, 0.6, 0.8, 0.8]])
        return np.array([[0.0, 4.0]]), np.array([[0.0, 0.1, 0.0, -0.1]]), points


def test_the_arithmetic_of_one_candidate_by_hand():
    stub = Stub()
    image = np.full((100, 160, 3), 255, np.uint8)
    (face,) = detect(image, stub).detections
    # Scale 0.6, column 20, row 10: x1 = trunc(41 / 0.6) = 68, y1 = trunc(21 / 0.6) = 35,
    # x2 = trunc(52 / 0.6) = 86, y2 = trunc(32 / 0.6) = 53; 18 wide without the one.
    # Offsets: x1 69.8, y2 56.6; square of 21.6 around: 67.1 to 88.7, 35 to 56.6; truncated
    # 67, 35, 88, 56. R-Net: 22 wide with the one, x1 69.2, x2 85.8; the square of 21 around
    # 77.5, 45.5: 67 to 88 and 35 to 56 again.
    x1, y1, size = 67, 35, 22
    assert face.box == pytest.approx((x1, y1 + 2.2, 21, 21 - 4.4))
    assert face.confidence == pytest.approx(1 / (1 + math.exp(-4)), abs=1e-15)
    assert face.keypoints["left_eye"] == pytest.approx((x1 + 0.3 * size - 1, y1 + 0.4 * size - 1))
    assert face.keypoints["mouth_right"] == pytest.approx(
        (x1 + 0.65 * size - 1, y1 + 0.8 * size - 1)
    )
    assert stub.crops["rnet"].dtype == np.float32
    assert np.allclose(stub.crops["onet"], 127.5 / 128)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (None, TypeError, "NoneType, expected a NumPy array"),
        ("photo.jpg", TypeError, "image is a str"),
        (np.zeros((9, 9), np.uint8), ValueError, "three channels of gray"),
        (np.zeros((9, 9, 1), np.uint8), ValueError, r"shape \(9, 9, 1\)"),
        (np.zeros((9, 9, 4), np.uint8), ValueError, "drop the alpha"),
        (np.zeros((3, 90, 90), np.uint8), ValueError, "channels come last"),
        (np.zeros((1, 9, 9, 3), np.uint8), ValueError, r"shape \(1, 9, 9, 3\)"),
        (np.zeros((0, 9, 3), np.uint8), ValueError, "empty"),
        (np.zeros((9, 9, 3), np.uint16), TypeError, "uint16, expected uint8"),
        (np.zeros((9, 9, 3), np.int64), TypeError, "int64"),
        (np.zeros((9, 9, 3), bool), TypeError, "bool"),
        (np.full((9, 9, 3), np.nan), ValueError, "from nan to nan"),
        (np.full((9, 9, 3), -1.0), ValueError, "expected 0 to 255"),
        (np.full((9, 9, 3), 256.0), ValueError, "expected 0 to 255"),
        (np.full((9, 9, 3), 0.5), ValueError, "Multiply by 255"),
    ],
)
def test_bad_images_are_refused_with_a_reason(exact, image, error, message):
    with pytest.raises(error, match=message):
        detect(image, exact)


@pytest.mark.parametrize(
    "values",
    [
        {"min_face_size": 0},
        {"min_face_size": -20},
        {"min_face_size": math.nan},
        {"min_face_size": math.inf},
        {"scale_factor": 1.0},
        {"scale_factor": 0},
        {"scale_factor": math.nan},
        {"thresholds": (0.6, 0.7)},
        {"thresholds": (0.6, 0.7, 1.1)},
        {"thresholds": (0.6, math.nan, 0.7)},
    ],
)
def test_bad_settings_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Settings(**values)
