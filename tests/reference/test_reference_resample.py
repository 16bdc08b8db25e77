from __future__ import annotations

import numpy as np
import pytest

from mtcnn_doctor.target.reference.resample import AreaSampler

RNG = np.random.default_rng(7)


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
def test_resize_is_the_definition(size):
    image = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    result = AreaSampler(image).resize(*size)
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
def test_resize_agrees_with_opencv_in_both_directions(source, target):
    cv2 = pytest.importorskip("cv2")
    image = (RNG.random((*source, 3)) * 255).astype(np.float32)
    theirs = cv2.resize(image, target[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(AreaSampler(image).resize(*target) - theirs).max() < 2e-3


def test_crops_are_the_definition_inside_and_across_the_border():
    image = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    boxes = np.array([[3, 4, 17, 18], [-6, -2, 9, 12], [20, 10, 45, 35], [5, 5, 8, 8.0]])
    crops = AreaSampler(image).crop(boxes, 12)
    for crop, (x1, y1, x2, y2) in zip(crops, boxes, strict=True):
        dy, dx = (y2 - y1 + 1) / 12, (x2 - x1 + 1) / 12
        for i, j in np.ndindex(12, 12):
            top, left = y1 - 1 + i * dy, x1 - 1 + j * dx
            value = covered_mean(image, top, top + dy, left, left + dx)
            assert crop[i, j] == pytest.approx(value, abs=1e-9)


def test_a_crop_of_its_own_size_is_the_pixels_counted_from_one():
    image = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    (crop,) = AreaSampler(image).crop(np.array([[11.0, 6.0, 34.0, 29.0]]), 24)
    assert np.allclose(crop, image[5:29, 10:34], atol=1e-9)


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
def test_crops_without_image_are_zero(box):
    image = np.full((40, 50, 3), 255, np.uint8)
    crops = AreaSampler(image).crop(np.array([box, [1, 1, 40, 40]], dtype=float), 24)
    assert not crops[0].any()
    assert np.allclose(crops[1], 255)


def test_a_constant_image_stays_constant():
    image = np.full((123, 457, 3), 200, np.uint8)
    assert np.abs(AreaSampler(image).resize(74, 275) - 200).max() < 1e-7
