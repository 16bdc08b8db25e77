"""How often a backend fails in fresh processes, and what that proves."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.investigate import flaky
from mtcnn_doctor.investigate.fault import fault_of, normalised
from mtcnn_doctor.investigate.search_minimal import smallest
from mtcnn_doctor.model import Outcome, Run
from mtcnn_doctor.report.json_report import schema
from mtcnn_doctor.report.search_text import sections

from .conftest import AFTER_IMPORT, Customize, Doctor

PORTRAIT = next(picture.path for picture in bundled() if picture.name == "portrait.png")

EVERY_THIRD = (
    AFTER_IMPORT
    + """
import ctypes, os

def patch(module):
    real = module.matmul
    def matmul(*given, **named):
        if not asked:
            number = os.path.getsize(counter) if os.path.exists(counter) else 0
            with open(counter, "a") as file:
                file.write(".")
            asked.append(number % 3 == 1)
        if asked[0]:
            ctypes.string_at(0)
        return real(*given, **named)
    module.matmul = matmul

asked = []
if "MTCNN_DOCTOR_CHILD" in os.environ:
    after_import("numpy", patch)
"""
)


@pytest.mark.parametrize(
    ("failed", "runs", "low", "high"),
    # Of the statistics package R: prop.test(k, n, correct = FALSE).
    [(3, 10, 0.1078, 0.6032), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 3, 0.0615, 0.7923)],
)
def test_wilson_interval(failed: int, runs: int, low: float, high: float) -> None:
    assert flaky.wilson(failed, runs) == pytest.approx((low, high), abs=1e-4)


def test_nothing_is_known_without_runs() -> None:
    assert flaky.wilson(0, 0) == (0.0, 1.0)


def test_good_runs_until_a_fault_would_have_shown() -> None:
    assert flaky.runs_to_see(3, 3) == 1
    assert flaky.runs_to_see(3, 10) == 9
    assert 0.7 ** flaky.runs_to_see(3, 10) < 0.05 < 0.7 ** (flaky.runs_to_see(3, 10) - 1)


def test_fishers_test() -> None:
    # Three of three against none of three: one way of twenty.
    assert flaky.chance(3, 3, 0, 3) == pytest.approx(1 / 20)
    assert flaky.chance(3, 10, 0, 9) == pytest.approx(120 / 969)
    assert flaky.chance(0, 5, 0, 5) == 1.0
    assert flaky.chance(2, 4, 2, 4) > 0.5


@pytest.mark.parametrize(
    ("base", "alpha"), list(product([(3, 3), (3, 10), (6, 20)], [0.05, 0.002]))
)
def test_the_plan_is_enough_and_not_wasteful(base: tuple[int, int], alpha: float) -> None:
    failed, runs = base
    without, with_ = flaky.plan(failed, runs, 1, alpha)
    expected = int(failed / runs * without + 1e-9)
    assert flaky.chance(expected, without, 0, with_) <= alpha
    assert without >= runs
    assert without + with_ < 150


def test_the_smallest_set() -> None:
    things = list("abcdefghij")
    asked: list[str] = []

    def cures(part: object) -> bool:
        asked.append("".join(part))  # type: ignore[call-overload]
        return {"c", "h"} <= set(asked[-1])

    assert smallest(things, cures) == ["c", "h"]
    assert len(asked) < 15
    assert smallest(things, lambda part: "j" in part) == ["j"]
    # What is cheaper stands first and is preferred.
    assert smallest(things, lambda part: bool({"b", "i"} & set(part))) == ["b"]


def test_messages_without_what_differs_from_run_to_run() -> None:
    first = normalised("RuntimeError: /home/a/x.py:12: bad 0x7f00ab12 of 3.5e-3")
    second = normalised("RuntimeError: /srv/other/x.py:99: bad 0x55aa of 12")
    assert first == second == "RuntimeError: x.py:#: bad <address> of #"


def test_faults_are_told_apart() -> None:
    frames = ({"file": "/a/b.py", "line": 3, "function": "f"},)
    crash = Run("torch", Outcome.CRASH, signal="SIGSEGV", stage="pnet", python_traceback=frames)
    moved = ({"file": "/elsewhere/b.py", "line": 9, "function": "f"},)
    again = Run("torch", Outcome.CRASH, signal="SIGSEGV", stage="pnet", python_traceback=moved)
    assert fault_of(crash) == fault_of(again)
    for other in (
        Run("torch", Outcome.CRASH, signal="SIGABRT", stage="pnet", python_traceback=frames),
        Run("torch", Outcome.CRASH, signal="SIGSEGV", stage="rnet", python_traceback=frames),
        Run("torch", Outcome.CRASH, exit_code=3, stage="pnet", python_traceback=frames),
        Run("torch", Outcome.NOT_LOADABLE, stage="import", error={"last_line": "ImportError: x"}),
        Run("torch", Outcome.TIMEOUT, stage="pnet", python_traceback=frames),
    ):
        assert fault_of(other) != fault_of(crash)
    assert fault_of(Run("torch", Outcome.OK)) is None


def test_one_of_three_processes_fails(doctor: Doctor, customize: Customize, tmp_path: Path) -> None:
    environment = customize(EVERY_THIRD + f"counter = {str(tmp_path / 'counter')!r}\n")
    arguments = ("bench", "--backend", "numpy", "--repeat", "9", "--runs", "1", "--warmup", "0",
                 "--source", PORTRAIT, "--size", "160x160")  # fmt: skip
    answer = doctor(*arguments, "--format", "json", environment=environment)
    jsonschema.validate(answer.report, schema())
    (repeat,) = answer.report["search"]["repeats"]
    assert (repeat["runs"], repeat["failed"]) == (9, 3)
    assert repeat["interval"] == pytest.approx([0.1206, 0.6458], abs=1e-3)
    (fault,) = repeat["faults"]
    assert (fault["signal"], fault["count"]) == ("SIGSEGV", 3)
    (finding,) = [f for f in answer.findings() if f["id"] == "backend-flaky"]
    assert "3 of 9" in finding["title"]
    assert "--bisect" in finding["remedy"]["text"]
    assert answer.report["search"]["backends"] == []
    assert answer.code == 1


def test_a_healthy_backend_repeated(doctor: Doctor) -> None:
    answer = doctor(
        "bench", "--backend", "numpy", "--repeat", "3", "--runs", "1", "--warmup", "0",
        "--source", PORTRAIT, "--size", "160x160",
    )  # fmt: skip
    assert answer.code == 0
    assert "0 of 3 runs failed (95 % interval 0 to 56 %)" in answer.out
    assert "fresh process 3 of 3" in answer.err
    assert "Traceback" not in answer.err
    assert "left" not in answer.err  # of a budget that nobody set


def test_what_fails_every_time_is_not_called_flaky(doctor: Doctor, customize: Customize) -> None:
    code = EVERY_THIRD.replace("if asked[0]:", "if True:") + "asked.append(True)\n"
    answer = doctor(
        "bench", "--backend", "numpy", "--repeat", "2", "--runs", "1", "--warmup", "0",
        "--source", PORTRAIT, "--size", "160x160", environment=customize(code),
    )  # fmt: skip
    assert answer.code == 1
    assert "backend-crash" in answer.out
    assert "backend-flaky" not in answer.out
    assert "2 of 2 runs failed (95 % interval 34 to 100 %)" in answer.out
    assert "always so far" in answer.out


def test_an_answer_without_proof_is_a_likely_one() -> None:
    change = {"title": "one thread", "remedy": "Use one.", "code": "", "price": "slow", "why": "."}
    answer = {
        "changes": [change], "runs": 1, "failed": 0, "confirmed": False, "chance": 0.25,
        "alpha": 0.05, "checked": True,
    }  # fmt: skip
    entry = {
        "backend": "numpy", "verdict": "likely", "said": "SIGSEGV", "imported_before": [],
        "provoked_by": None, "without": {"runs": 3, "failed": 3, "interval": [0.44, 1.0]},
        "answer": answer, "tried": [], "untried": [],
    }  # fmt: skip
    search = {"repeats": [], "backends": [entry], "interrupted": False, "budget_s": 5.0}
    ((_, lines),) = sections(search)
    assert ("likely cure", "one thread") in lines
    assert "cure" not in dict(lines)
    answer["confirmed"], entry["verdict"] = True, "found"
    ((_, lines),) = sections(search)
    assert ("cure", "one thread") in lines
