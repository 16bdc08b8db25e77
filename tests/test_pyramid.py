"""The arithmetic of image pyramids, held to what the packages do."""

from __future__ import annotations

import math

import pytest

from mtcnn_doctor import pyramid


@pytest.mark.parametrize("face", [12.0, 20.0, 37.5, 100.0])
@pytest.mark.parametrize(("width", "height"), [(20, 20), (561, 561), (640, 480), (4000, 3000)])
def test_the_reference_has_as_many_levels_as_its_formula_says(
    width: int, height: int, face: float
) -> None:
    shorter = min(width, height)
    expected = 0
    if shorter >= face:
        expected = math.floor(math.log(shorter / face) / -math.log(0.709)) + 1
    found = pyramid.levels(width, height, face)
    assert len(found) == expected
    if found:
        assert found[0].face == face
        assert pyramid.largest_face(found) <= shorter
        assert pyramid.largest_face(found) / 0.709 > shorter


def test_an_image_smaller_than_a_face_has_no_level() -> None:
    assert pyramid.levels(19, 400, 20) == []
    assert pyramid.largest_face([]) == 0


@pytest.mark.parametrize(("face", "factor"), [(0, 0.7), (math.nan, 0.7), (20, 1.0), (20, 0.0)])
def test_a_pyramid_that_never_ends_is_refused(face: float, factor: float) -> None:
    for ask in (pyramid.levels, pyramid.levels_of_mtcnn_1, pyramid.is_silently_empty):
        with pytest.raises(ValueError, match="is no"):
            ask(640, 480, face, factor)


# Measured with mtcnn 1.0.0: (width, height, min_face_size, scale_factor), last level, finds faces.
MEASURED = [
    ((419, 52, 30, 0.709), (84, 10), False),
    ((33, 203, 26, 0.8), (7, 47), False),
    ((367, 226, 26, 0.709), (15, 9), False),
    ((178, 203, 100, 0.8), (2, 2), False),
    ((417, 204, 31, 0.709), (20, 10), False),
    ((169, 23, 23, 0.5), None, False),
]


@pytest.mark.parametrize(("settings", "last", "looks"), MEASURED)
def test_mtcnn_1_as_measured(
    settings: tuple[int, int, float, float], last: tuple[int, int] | None, looks: bool
) -> None:
    levels = pyramid.levels_of_mtcnn_1(*settings)
    assert ((levels[-1].width, levels[-1].height) if levels else None) == last
    assert pyramid.is_silently_empty(*settings) is not looks


def test_mtcnn_1_with_its_own_settings_looks_at_every_image() -> None:
    assert not [side for side in range(21, 8000) if pyramid.is_silently_empty(side, side)]


def test_from_31_pixels_on_mtcnn_1_looks_at_none() -> None:
    assert pyramid.is_always_empty(31)
    assert not pyramid.is_always_empty(30)
    assert pyramid.largest_safe_min_face(480, 480) == 23


def test_a_small_face_ends_the_pyramid_of_mtcnn_1_before_the_large_ones() -> None:
    levels = pyramid.levels_of_mtcnn_1(561, 561, 5)
    assert 100 < pyramid.largest_face(levels) < 120
    assert pyramid.largest_face(pyramid.levels(561, 561, 5)) > 390
