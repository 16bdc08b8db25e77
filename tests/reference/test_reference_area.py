from __future__ import annotations

import numpy as np
import pytest

from mtcnn_doctor.target.reference.lanes import Lanes

RNG = np.random.default_rng(7)


def plain(x):
    """From what the networks are given back to pixel values, channels last."""
    return x.transpose(0, 2, 3, 1) * 128.0 + 127.5


class Sampler:
    """One implementation of the averages, in pixel values."""

    def __init__(self, kind):
        self.kind = kind

    def resize(self, image, size, dtype=np.float64):
        return plain(self.kind(image, dtype, Lanes.none()).level(size, 0, size[0]))[0]

    def crop(self, image, boxes, size, dtype=np.float64):
        return plain(self.kind(image, dtype, Lanes.none()).crops(np.asarray(boxes, float), size))


@pytest.fixture
def sampler(kernels):
    return Sampler(kernels.averages)


def covered_mean(image, y0, y1, x0, x1):
    """The definition, written out: fractions of pixels, zero outside."""
    total = np.zeros(3)
    for y in range(int(np.floor(y0)), int(np.ceil(y1))):
        for x in range(int(np.floor(x0)), int(np.ceil(x1))):
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                part = (min(y + 1, y1) - max(y, y0)) * (min(x + 1, x1) - max(x, x0))
                total += part * image[y, x]
    return total / ((y1 - y0) * (x1 - x0))


@pytest.mark.parametrize("size", [(5, 7), (13, 4), (30, 41), (9, 11), (1, 1), (70, 3)])
def test_resize_is_the_definition(sampler, size):
    image = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    result = sampler.resize(image, size)
    assert result.shape == (*size, 3)
    dy, dx = 9 / size[0], 11 / size[1]
    for i, j in np.ndindex(*size):
        value = covered_mean(image, i * dy, (i + 1) * dy, j * dx, (j + 1) * dx)
        assert result[i, j] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((120, 160), (73, 97)),
        ((121, 163), (60, 81)),
        ((97, 33), (12, 12)),
        ((64, 64), (64, 64)),
        ((24, 24), (48, 48)),
        ((17, 17), (48, 48)),
        ((31, 40), (77, 91)),
    ],
    ids=str,
)
def test_resize_agrees_with_opencv_in_both_directions(sampler, source, target):
    cv2 = pytest.importorskip("cv2")
    image = (RNG.random((*source, 3)) * 255).astype(np.float32)
    theirs = cv2.resize(image, target[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(sampler.resize(image, target) - theirs).max() < 2e-3


def test_crops_are_the_definition_inside_and_across_the_border(sampler):
    image = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    boxes = np.array([[3, 4, 17, 18], [-6, -2, 9, 12], [20, 10, 45, 35], [5, 5, 8, 8.0]])
    found = sampler.crop(image, boxes, 12)
    for one, (x1, y1, x2, y2) in zip(found, boxes, strict=True):
        dy, dx = (y2 - y1 + 1) / 12, (x2 - x1 + 1) / 12
        for i, j in np.ndindex(12, 12):
            top, left = y1 - 1 + i * dy, x1 - 1 + j * dx
            value = covered_mean(image, top, top + dy, left, left + dx)
            assert one[i, j] == pytest.approx(value, abs=1e-9)


def test_a_crop_of_its_own_size_is_the_pixels_counted_from_one(sampler):
    image = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    (one,) = sampler.crop(image, [[11, 6, 34, 29]], 24)
    assert np.allclose(one, image[5:29, 10:34], atol=1e-9)


@pytest.mark.parametrize(
    "box",
    [
        [-50, 5, -10, 45],
        [5, -50, 45, -10],
        [200, 5, 240, 45],
        [5, 200, 45, 240],
        [1e30, 1e30, 2e30, 2e30],
        [10, 10, 9, 9],
        [10, 10, 3, 3],
    ],
    ids=["left", "above", "right", "below", "far away", "empty", "turned inside out"],
)
def test_crops_without_image_are_zero(sampler, box):
    image = np.full((40, 50, 3), 255, np.uint8)
    found = sampler.crop(image, [box, [1, 1, 40, 40]], 24)
    assert not found[0].any()
    assert np.allclose(found[1], 255)


def test_a_constant_image_stays_constant(sampler):
    image = np.full((123, 457, 3), 200, np.uint8)
    assert np.abs(sampler.resize(image, (74, 275)) - 200).max() < 1e-7


@pytest.mark.parametrize("shape", [(20, 30), (301, 77), (12, 400)], ids=str)
def test_float32_is_as_good_as_float32_can_be(sampler, shape):
    image = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    boxes = np.trunc(RNG.uniform(-20, 320, (60, 4)))
    boxes[:, 2:] = boxes[:, :2] + np.trunc(RNG.uniform(8, 200, (60, 2)))
    for size in ((shape[0] * 3 // 5, shape[1] * 3 // 5), (12, 12), (shape[0] * 2, shape[1])):
        error = sampler.resize(image, size, np.float32) - sampler.resize(image, size)
        assert np.abs(error).max() < 2e-4
    for side in (24, 48):
        error = sampler.crop(image, boxes, side, np.float32) - sampler.crop(image, boxes, side)
        assert np.abs(error).max() < 2e-4


def test_an_image_of_floats_is_averaged_as_exactly(sampler):
    image = RNG.uniform(0, 255, (403, 91, 3)).astype(np.float32)
    assert (
        np.abs(
            sampler.resize(image, (241, 54), np.float32) - sampler.resize(image, (241, 54))
        ).max()
        < 2e-4
    )


def test_a_band_of_a_level_is_the_same_rows_of_the_whole(sampler):
    image = RNG.integers(0, 256, (150, 90, 3), dtype=np.uint8)
    averages = sampler.kind(image, np.float64, Lanes.none())
    whole = averages.level((107, 64), 0, 107).copy()  # the next call overwrites it
    for start, stop in ((0, 107), (0, 22), (36, 90), (96, 107)):
        part = averages.level((107, 64), start, stop)
        assert np.abs(part - whole[:, :, start:stop]).max() < 1e-12


def test_boxes_of_all_sizes_together_are_the_boxes_one_by_one(sampler):
    image = RNG.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    low = np.trunc(RNG.uniform(-60, 300, (300, 2)))
    boxes = np.hstack([low, low + np.trunc(np.exp(RNG.uniform(1, 6, (300, 1))))])
    together = sampler.crop(image, boxes, 24)
    for box, one in zip(boxes, together, strict=True):
        assert np.abs(sampler.crop(image, [box], 24)[0] - one).max() < 1e-9
