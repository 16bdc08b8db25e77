"""Suppression against the sentence that defines it, on many boxes at once."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(5)


def one_by_one(boxes, scores, threshold, mode):
    """The definition: keep the best, drop what overlaps it, go on with the rest."""
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left]) + 1
        height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        smaller = np.minimum(area[best], area[left])
        whole = area[best] + area[left] - shared if mode == "union" else smaller
        left = left[shared <= threshold * whole]
    return kept


@pytest.mark.parametrize("mode", ["union", "min"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("spread", [20, 300, 3000], ids=["heap", "crowd", "field"])
def test_many_boxes(kernels, mode, threshold, spread):
    corner = np.trunc(RNG.uniform(-spread / 3, spread, (700, 2)))
    boxes = np.hstack([corner, corner + np.trunc(RNG.uniform(4, 60, (700, 2)))])
    # Coarse scores: many ties, and chains in which every box is better than the next.
    scores = np.round(RNG.random(700), 2)
    assert kernels.nms(boxes, scores, threshold, mode).tolist() == one_by_one(
        boxes, scores, threshold, mode
    )


def test_a_long_chain_is_decided_one_after_the_other(kernels):
    left = np.arange(500.0) * 3
    boxes = np.stack([left, np.zeros(500), left + 9, np.full(500, 9.0)], axis=1)
    scores = np.linspace(0.9, 0.1, 500)
    assert kernels.nms(boxes, scores, 0.5).tolist() == list(range(0, 500, 2))


@pytest.mark.parametrize("scale", [2.4, 1.0, 0.6, 0.2, 0.033])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_cells_of_a_level_need_their_neighbours_only(kernels, scale, share, threshold):
    grid = (31, 23)
    cells = np.flatnonzero(RNG.random(grid).ravel() < share)
    row, column = np.divmod(cells, grid[1])
    corner = np.stack([column, row, column, row], axis=1) * 2 + 1.0
    corner[:, 2:] += 11
    boxes = np.trunc(corner / scale)
    scores = np.round(RNG.random(len(cells)), 2)
    found = kernels.nms_grid(boxes, scores, cells, grid, scale, threshold).tolist()
    assert found == one_by_one(boxes, scores, threshold, "union")


def test_no_cells_at_all(kernels):
    empty = np.empty(0, np.intp)
    assert kernels.nms_grid(np.empty((0, 4)), np.empty(0), empty, (5, 5), 0.6, 0.5).tolist() == []


def test_cells_that_pass(kernels):
    logits, offsets = RNG.normal(0, 3, (2, 500)), RNG.normal(0, 1, (4, 500))
    for kind in (np.float32, np.float64):
        cells, clean = kernels.passing(logits.astype(kind), offsets.astype(kind), 0.5)
        margin = logits[1].astype(kind) - logits[0].astype(kind)
        assert clean
        assert cells.tolist() == np.flatnonzero(margin >= 0.5).tolist()
    assert kernels.passing(logits, offsets, -np.inf)[0].tolist() == list(range(500))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", range(6))
def test_cells_with_a_number_that_is_none_do_not_pass(kernels, value, row):
    answers = np.ones((6, 8), np.float32)
    answers[0] = -5
    answers[row, 3] = value
    cells, clean = kernels.passing(answers[:2], answers[2:], 0.0)
    assert not clean
    assert cells.tolist() == [0, 1, 2, 4, 5, 6, 7]


def test_numbers_whose_sum_is_too_large_are_numbers(kernels):
    answers = np.full((6, 4), 3e38, np.float32)
    answers[0] = -3e38
    cells, clean = kernels.passing(answers[:2], answers[2:], 1.0)
    assert clean
    assert cells.tolist() == [0, 1, 2, 3]
