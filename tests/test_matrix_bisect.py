"""The search for the place where good and bad change: few runs, and no claim beyond them."""

from __future__ import annotations

import math

import pytest

from mtcnn_doctor.investigate.matrix_bisect import Bisection, search


def searched(states: str, known: dict[int, bool | None] | None = None) -> tuple[Bisection, int]:
    """Search a row: g good, b bad, ? cannot be installed. Returns it and the number of runs."""
    asked: list[int] = []

    def probe(place: int) -> bool | None:
        asked.append(place)
        return {"g": True, "b": False, "?": None}[states[place]]

    found = Bisection(len(states), dict(known or {}))
    search(found, probe)
    assert len(set(asked)) == len(asked)
    return found, len(asked)


@pytest.mark.parametrize("count", [2, 3, 8, 40])
def test_every_place_is_found_with_few_runs(count: int) -> None:
    for place in range(1, count):
        for one, other in ("gb", "bg"):
            found, runs = searched(one * place + other * (count - place))
            assert (found.verdict, found.before, found.after) == ("found", place - 1, place)
            assert runs <= 2 + math.ceil(math.log2(count - 1)) if count > 2 else runs == 2


def test_what_cannot_be_installed_is_stepped_over() -> None:
    found, _ = searched("?gg?bb?")
    assert (found.verdict, found.before, found.after) == ("found", 2, 4)
    assert searched("????")[0].verdict == "too-few"
    assert searched("?g??")[0].verdict == "too-few"


def test_equal_ends_are_no_answer() -> None:
    found, runs = searched("gggbggg")
    assert (found.verdict, runs) == ("good-at-both-ends", 2)
    assert searched("bbgbb")[0].verdict == "bad-at-both-ends"


def test_what_earlier_runs_found_is_used_and_may_contradict() -> None:
    found, runs = searched("ggggbbbb", {3: True, 4: False})
    assert (found.verdict, found.before, found.after, runs) == ("found", 3, 4, 2)
    found, _ = searched("ggbbggbb", {3: False, 4: True})
    assert found.verdict == "not-monotone"
    assert found.changes() == [(0, 3), (3, 4), (4, 7)]
