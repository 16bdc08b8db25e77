"""What the system tells of throttling, read from files as Linux writes them."""

from __future__ import annotations

import time
from pathlib import Path

from mtcnn_doctor.collect.load import LoadWatch, thermal_events, throttling


def test_throttling_of_either_version(tmp_path: Path) -> None:
    assert throttling(str(tmp_path / "none")) is None
    second = tmp_path / "v2"
    second.mkdir()
    (second / "cpu.stat").write_text(
        "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 250000\n"
    )
    assert throttling(str(second)) == (3, 0.25)
    first = tmp_path / "v1" / "cpu,cpuacct"
    first.mkdir(parents=True)
    (first / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\nthrottled_time 500000000\n")
    assert throttling(str(tmp_path / "v1")) == (4, 0.5)
    root = tmp_path / "root"
    root.mkdir()
    (root / "cpu.stat").write_text("usage_usec 5\n")  # the root group has no quota
    assert throttling(str(root)) is None


def test_thermal_events_of_all_processors(tmp_path: Path) -> None:
    assert thermal_events(str(tmp_path)) is None
    for cpu, core, package in ((0, "1", "2"), (11, "0", "4")):
        folder = tmp_path / f"cpu{cpu}" / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(core + "\n")
        (folder / "package_throttle_count").write_text(package + "\n")
    assert thermal_events(str(tmp_path)) == 7


def test_a_watch_measures_between_the_childs_messages() -> None:
    watch = LoadWatch()
    assert watch.found == {}
    watch.hear("numpy", {"t": "measuring"})
    time.sleep(0.3)
    watch.hear("numpy", {"t": "measured", "cpu_s": 0.1})
    assert watch.found["wall_s"] >= 0.3
    assert watch.found["cpu_s"] == 0.1
    assert watch.found["cpus"] >= 1
    assert 0 <= watch.found.get("others_share", 0) <= 1
