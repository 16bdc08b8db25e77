"""The table of changes that might avoid a fault."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.investigate.search_bench import merged
from mtcnn_doctor.knowledge import mitigations as table
from mtcnn_doctor.knowledge.mitigations import Circumstances, Mitigation

TORCH = Circumstances("torch", "torch", "linux", modules=frozenset({"torch", "cv2"}))


def row(id: str) -> Mitigation:
    return next(row for row in table.mitigations() if row.id == id)


def ids(here: Circumstances) -> list[str]:
    return [row.id for row in table.candidates(here)]


def test_rows_are_complete() -> None:
    for row in table.mitigations():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.id)
        assert row.source.startswith("https://")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.reviewed)
        assert set(row.backends) <= set(BACKENDS)
        assert all(text.endswith(".") for text in (row.why, row.remedy))


def test_cheap_changes_go_first_and_unsafe_ones_last() -> None:
    costs = [row.cost for row in table.candidates(TORCH)]
    assert costs == sorted(costs)
    assert [row.id for row in table.mitigations() if row.unsafe] == ["kmp-duplicate"]
    assert table.mitigations()[-1].unsafe


def test_only_what_would_change_something_is_tried() -> None:
    assert "no-ld-preload" not in ids(TORCH)
    preloaded = Circumstances("torch", "torch", "linux", environment={"LD_PRELOAD": "x.so"})
    assert "no-ld-preload" in ids(preloaded)
    assert "cv2-first" not in ids(preloaded)  # cv2 is not there
    assert "cv2-first" not in ids(Circumstances("opencv", "cv2", "linux", modules=TORCH.modules))
    set_already = Circumstances("torch", "torch", "linux", environment={"MALLOC_ARENA_MAX": "1"})
    assert "malloc-one-arena" not in ids(set_already)
    assert "malloc-one-arena" not in ids(Circumstances("torch", "torch", "win32"))
    assert "tf-no-onednn" not in ids(TORCH)
    assert "on-the-cpu" not in ids(TORCH)
    assert "on-the-cpu" in ids(Circumstances("torch", "torch", "linux", device="cuda:0"))


def test_what_the_program_imports_first_can_be_moved() -> None:
    assert "framework-first" not in ids(TORCH)
    before = Circumstances("torch", "torch", "linux", modules=TORCH.modules, before=("cv2",))
    assert ids(before)[0] == "framework-first"
    assert not {"cv2-first", "no-cv2"} & set(ids(before))


def test_what_the_fault_points_at_goes_first() -> None:
    def first(frame: str, **variables: str) -> str:
        here = Circumstances("numpy", "numpy", "linux", environment=variables, frames=(frame,))
        return ids(here)[0]

    assert first("/srv/plugins/sitecustomize.py", PYTHONPATH="/opt:/srv/plugins") == "no-pythonpath"
    assert first("/srv/start.py", PYTHONSTARTUP="/srv/start.py") == "no-pythonpath"
    for elsewhere in ("/srv/plugins2/x.py", "<string>", "/srv/x.py"):
        assert first(elsewhere, PYTHONPATH="/srv/plugins") != "no-pythonpath"


def test_changes_that_contradict_each_other_are_not_combined() -> None:
    assert not row("onednn-avx2").fits(row("onednn-sse41"))
    assert not row("environment-one-thread").fits(row("framework-one-thread"))
    assert row("one-caller").fits(row("framework-one-thread"))
    together = table.compatible(table.candidates(TORCH))
    assert len(together) > 10
    for one in together:
        assert all(one.fits(other) for other in together if other is not one)


def test_several_changes_as_one() -> None:
    change = merged([row("malloc-one-arena"), row("no-pythonpath"), row("cv2-first")], ("PIL",))
    assert change.set == {"MALLOC_ARENA_MAX": "1"}
    assert change.without == ("PYTHONPATH", "PYTHONSTARTUP")
    assert change.orders == {"import_first": ["cv2", "PIL"]}


GOOD: dict[str, Any] = {
    "id": "x", "title": "x", "cost": 1, "price": "x", "why": "x", "remedy": "x", "source": "x",
    "reviewed": "x", "orders": {"lanes": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"orders": {"lanes": "1"}}, "no order lanes"),
        ({"orders": {"unheard": 1}}, "no order unheard"),
        ({"orders": {}}, "changes nothing"),
        ({"cost": 9}, "cost"),
        ({"device": "tpu"}, "device"),
        ({"enviroment": {}}, "unknown enviroment"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        table._mitigation({**GOOD, **changed})


def test_a_row_without_its_source_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks source"):
        table._mitigation({key: value for key, value in GOOD.items() if key != "source"})
