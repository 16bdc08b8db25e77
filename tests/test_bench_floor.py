"""The arithmetic of the networks, against figures that were counted independently."""

from __future__ import annotations

import math

import pytest

from mtcnn_doctor.investigate import bench_floor


def levels(height: int, width: int) -> list[list[int]]:
    """The pyramid of the default settings."""
    scale, found = 12 / 20, []
    while min(height, width) * scale >= 12:
        found.append([math.ceil(height * scale), math.ceil(width * scale)])
        scale *= 0.709
    return found


@pytest.mark.parametrize(
    ("height", "width", "gflop"),
    [(480, 640, 0.76), (720, 1280, 2.34), (1080, 1920, 5.34), (2160, 3840, 21.7)],
)
def test_pnet_over_a_pyramid(height: int, width: int, gflop: float) -> None:
    image = {"levels": levels(height, width), "candidates": {"pnet": 0, "rnet": 0, "onet": 0}}
    assert bench_floor.image_flops(image) / 1e9 == pytest.approx(gflop, rel=0.005)


def test_crops() -> None:
    rnet = bench_floor.flops(bench_floor.RNET, 24, 24)
    onet = bench_floor.flops(bench_floor.ONET, 48, 48)
    assert rnet / 1e6 == pytest.approx(3.06, abs=0.005)
    assert onet / 1e6 == pytest.approx(25.8, abs=0.05)


def test_an_image_is_its_levels_and_the_crops_that_were_judged() -> None:
    image = {"levels": levels(720, 1280), "candidates": {"pnet": 633, "rnet": 61, "onet": 6}}
    # 2.34 for the levels, 1.94 for 633 crops of R-Net, 1.58 for 61 of O-Net.
    assert bench_floor.image_flops(image) / 1e9 == pytest.approx(5.86, rel=0.005)
    assert bench_floor.floor_ms(5_860_000_000, 230.0) == pytest.approx(25.5, abs=0.1)


def test_a_level_too_small_for_a_layer_costs_what_was_computed_before() -> None:
    assert bench_floor.flops(bench_floor.PNET, 2, 50) == 0
    assert bench_floor.flops(bench_floor.PNET, 12, 12) == 2 * (
        9 * 3 * 10 * 100 + 9 * 10 * 16 * 9 + 9 * 16 * 32 + 32 * 6
    )
