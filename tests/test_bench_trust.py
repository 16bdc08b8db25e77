"""Whether numbers can be trusted: each reason fires on its evidence, and on nothing less."""

from __future__ import annotations

import pytest

from mtcnn_doctor.investigate.bench_trust import trust

STEADY = [100.0, 101.0, 99.0, 100.5, 99.5, 100.0, 101.0, 99.0, 100.2, 99.8]
QUIET = {
    "wall_s": 1.2,
    "cpu_s": 2.3,
    "cpus": 2,
    "others_share": 0.02,
    "load_before": 0.3,
    "mhz_before": 2600.0,
    "mhz_after": 2550.0,
    "on_battery": False,
    "thermal_events": 0,
    "throttled_periods": 0,
    "throttled_s": 0.0,
}


def reasons(samples: dict[str, list[float]], load: dict[str, object], **more: int) -> list[str]:
    found = trust(samples, load, **more)
    assert found["verdict"] == ("with-care" if found["reasons"] else "trusted")
    assert all(reason["text"] and reason["evidence"] for reason in found["reasons"])
    return [reason["id"] for reason in found["reasons"]]


def test_a_quiet_machine_and_steady_runs_are_trusted() -> None:
    assert reasons({"a": STEADY, "b": STEADY}, QUIET) == []


def test_where_nothing_is_known_of_the_machine_the_samples_decide() -> None:
    assert reasons({"a": STEADY}, {}) == []


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (STEADY[:4], "few-samples"),
        ([], "few-samples"),
        ([100.0, 130.0, 80.0, 115.0, 85.0, 120.0, 78.0], "spread"),
        ([*STEADY, 180.0], "outliers"),
        ([100.0] * 6 + [125.0] * 6, "drift"),
        ([125.0] * 6 + [100.0] * 6, "drift"),
    ],
)
def test_samples_that_call_for_care(times: list[float], reason: str) -> None:
    found = trust({"calm": STEADY, "odd": times}, QUIET)
    assert reason in [one["id"] for one in found["reasons"]]
    if reason != "few-samples":
        (named,) = [one for one in found["reasons"] if one["id"] == reason]
        assert "odd" in named["text"]


def test_one_slow_run_of_many_is_no_spread() -> None:
    assert "spread" not in reasons({"a": [*STEADY, 500.0]}, QUIET)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"others_share": 0.4}, "other-load"),
        ({"others_share": None, "load_before": 5.0}, "busy-before"),
        ({"mhz_after": 1900.0}, "clock-fell"),
        ({"thermal_events": 3}, "heat"),
        ({"throttled_s": 0.4, "throttled_periods": 5}, "quota"),
        ({"on_battery": True}, "battery"),
    ],
)
def test_loads_that_call_for_care(change: dict[str, object], reason: str) -> None:
    assert reasons({"a": STEADY}, {**QUIET, **change}) == [reason]


def test_a_load_before_is_no_reason_where_the_load_meanwhile_is_known() -> None:
    # It may be the doctor's own: the backend that was measured before this one.
    assert reasons({"a": STEADY}, {**QUIET, "load_before": 5.0}) == []


def test_more_threads_than_processors() -> None:
    assert reasons({"a": STEADY}, QUIET, threads=8) == ["crowded"]
    assert reasons({"a": STEADY}, QUIET, threads=2) == []
