from __future__ import annotations

import numpy as np
import pytest

from mtcnn_doctor.target.reference import geometry, suppression


def boxes(*rows):
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def kept(rows, scores, threshold, mode="union"):
    return suppression.nms(boxes(*rows), np.array(scores, dtype=float), threshold, mode).tolist()


def test_nothing_in_nothing_out():
    assert kept([], [], 0.5) == []


def test_the_better_of_two_equal_boxes_stays():
    assert kept([(0, 0, 9, 9), (0, 0, 9, 9)], [0.6, 0.9], 0.5) == [1]


def test_the_order_is_by_score():
    rows = [(0, 0, 9, 9), (100, 0, 109, 9), (200, 0, 209, 9)]
    assert kept(rows, [0.5, 0.9, 0.7], 0.5) == [1, 2, 0]


def test_of_equal_scores_the_earlier_index_wins():
    rows = [(20 * i, 0, 20 * i + 9, 9) for i in range(40)] * 2
    assert kept(rows, [0.5] * 80, 0.5) == list(range(40))


def test_a_suppressed_box_suppresses_nothing():
    # A overlaps B, B overlaps C, A does not overlap C: greedy keeps A and C.
    rows = [(0, 0, 9, 9), (3, 0, 12, 9), (6, 0, 15, 9)]
    assert kept(rows, [0.9, 0.8, 0.7], 0.5) == [0, 2]


def test_the_inclusive_pixel_counts():
    # 10 x 10 boxes shifted by 5: 50 shared of 150. Without the one it would be 36 of 126.
    rows = [(0, 0, 9, 9), (5, 0, 14, 9)]
    assert kept(rows, [0.9, 0.8], 0.32) == [0]
    assert kept(rows, [0.9, 0.8], 0.34) == [0, 1]


def test_an_overlap_equal_to_the_threshold_is_kept():
    rows = [(0, 0, 9, 9), (0, 0, 9, 4)]  # 50 shared of 100
    assert kept(rows, [0.9, 0.8], 0.5) == [0, 1]


def test_mode_min_divides_by_the_smaller_area():
    rows = [(0, 0, 99, 99), (10, 10, 19, 19)]
    assert kept(rows, [0.9, 0.8], 0.7) == [0, 1]
    assert kept(rows, [0.9, 0.8], 0.7, "min") == [0]


def test_touching_in_one_axis_only_is_no_overlap():
    rows = [(0, 0, 9, 9), (0, 50, 9, 59), (50, 50, 59, 59)]
    assert kept(rows, [0.9, 0.8, 0.7], 0.0) == [0, 1, 2]


def test_boxes_without_area_do_not_divide_by_zero():
    rows = [(5, 5, 4, 4), (5, 5, 4, 4), (0, 0, 9, 9)]
    assert sorted(kept(rows, [0.9, 0.8, 0.7], 0.5, "min")) == [0, 1, 2]


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode is 'max'"):
        kept([(0, 0, 9, 9)], [0.9], 0.5, "max")


def test_calibration_with_and_without_the_inclusive_pixel():
    box, offsets = boxes((10, 20, 29, 59)), np.array([[0.1, -0.1, 0.2, 0.5]], np.float32)
    found = geometry.calibrate(box, offsets)
    assert found == pytest.approx(boxes((12, 16, 33, 79)), abs=1e-5)
    found = geometry.calibrate(box, offsets, plus_one=False)
    assert found == pytest.approx(boxes((11.9, 16.1, 32.8, 78.5)), abs=1e-5)


def test_square_grows_the_shorter_side_around_the_centre():
    found = geometry.square(boxes((10, 20, 30, 60), (0, 0, 41, 20)))
    assert found.tolist() == [[0, 20, 40, 60], [0, -10.5, 41, 30.5]]


def test_truncation_goes_towards_zero():
    assert geometry.truncate(boxes((-1.9, 1.9, -0.2, 7))).tolist() == [[-1, 1, 0, 7]]
