"""The search for the change that makes a fault disappear: every claim rests on counted runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from mtcnn_doctor.collect.trial import Manner, OutOfTime, Trial
from mtcnn_doctor.investigate import flaky
from mtcnn_doctor.investigate.fault import Fault, fault_of
from mtcnn_doctor.investigate.search_minimal import smallest
from mtcnn_doctor.knowledge.mitigations import Mitigation, compatible
from mtcnn_doctor.model import Outcome

#: Runs that have to fail before a fault counts as one that strikes every time.
_FEW = 3
#: Runs without a change where the fault strikes now and then, unless --repeat says otherwise.
_SOME = 10
#: Runs after which a fault that does not come back is given up.
_MANY = 20
#: How often the numbers of a claim may be made larger, when chance was against it.
_ROUNDS = 3

Runner = Callable[[Sequence[Mitigation], Manner], Trial]
Note = Callable[[str], None]


@dataclass
class Attempt:
    """A set of changes (none: the ordinary run) and what its runs came to.

    ``unchecked`` of its runs ended well with faces that nobody could hold against known ones.
    ``unjudged`` are runs that say nothing for that reason, and are none of ``runs``.
    """

    changes: tuple[Mitigation, ...]
    faults: list[Fault | None] = field(default_factory=list)
    unchecked: int = 0
    unjudged: int = 0

    @property
    def runs(self) -> int:
        """How many runs there were."""
        return len(self.faults)

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(fault is not None for fault in self.faults)

    @property
    def cured(self) -> bool:
        """Whether no run failed, of as many as there were."""
        return self.runs > 0 and self.failed == 0 and not self.unjudged

    @property
    def name(self) -> str:
        """The changes in words."""
        return " and ".join(change.title for change in self.changes) or "no change"

    def fault(self) -> Fault | None:
        """Return the fault that struck most often."""
        seen = [fault for fault in self.faults if fault is not None]
        return max(seen, key=seen.count) if seen else None


@dataclass
class Answer:
    """The set of changes that was found. ``confirmed``: proven beyond chance."""

    attempt: Attempt
    confirmed: bool = False
    chance: float = 1.0
    alpha: float = flaky.ALPHA


class Search:
    """One backend's search; :meth:`go` carries it out, the attributes tell how it ended.

    ``verdict``: "found", "likely" (not enough runs to rule out chance), "not-found" (everything
    was tried), "budget-spent", "not-reproduced" or "interrupted".
    """

    def __init__(
        self,
        runner: Runner,
        candidates: Sequence[Mitigation],
        manners: Sequence[Manner],
        *,
        seen: Attempt | None = None,
        repeat: int | None = None,
        note: Note = lambda text: None,
    ) -> None:
        """Prepare a search.

        Args:
            runner: Runs the backend once, in a fresh child, under changes.
            candidates: What is to be tried, cheapest first.
            manners: Ways to run it, the simplest first; the first that fails is kept.
            seen: Runs without a change in the first of these manners, where there were some.
            repeat: How many runs without a change there are to be.
            note: Told what is going on.
        """
        self._runner = runner
        self._candidates = list(candidates)
        self._manners = list(manners)
        self._repeat = repeat
        self._note = note
        self.manner = self._manners[0]
        self.base = seen or Attempt(())
        self.tried: dict[tuple[str, ...], Attempt] = {}
        self.answer: Answer | None = None
        self.verdict = "not-found"
        self.spent_s = 0.0

    @property
    def fault(self) -> Fault | None:
        """The fault that is searched for."""
        return self.base.fault()

    @property
    def untried(self) -> list[str]:
        """The candidates that were not tried alone."""
        return [row.id for row in self._candidates if (row.id,) not in self.tried]

    def go(self) -> None:
        """Reproduce the fault, try the changes, prove the first that helps.

        Raises:
            KeyboardInterrupt: after ``verdict`` has been set; what was found stays.
        """
        began = time.monotonic()
        try:
            if not self._reproduce():
                self.verdict = "not-reproduced"
                return
            if self._singles() or self._together() or self._pairs():
                self.verdict = "found"
        except OutOfTime:
            self.verdict = "budget-spent"
        except KeyboardInterrupt:
            self.verdict = "interrupted"
            raise
        finally:
            self.spent_s = time.monotonic() - began
            if self.answer is not None and self.verdict not in ("found", "interrupted"):
                self.verdict = "likely"

    # -- without a change ------------------------------------------------------------------------

    def _reproduce(self) -> bool:
        """Run without a change until the rate of the fault is known well enough to search."""
        if not self.base.failed:
            self._note("without any change, to see how often it fails")
            # A fault that needs no lanes and no repetition is searched without them.
            for manner in self._manners:
                self.manner, self.base = manner, Attempt(())
                self._repeat_base(_FEW)
                if self.base.failed:
                    break
            else:
                self._repeat_base(self._repeat or _MANY)
        if self.base.failed and (self._repeat or self.base.failed < self.base.runs):
            self._repeat_base(self._repeat or _SOME)
        # A rare fault needs more than one sighting.
        while self.base.failed == 1 and self.base.runs < _MANY:
            self._repeat_base(self.base.runs + 1)
        self._note(f"{self.base.failed} of {self.base.runs} runs fail without any change")
        return self.base.failed > 0

    def _repeat_base(self, runs: int) -> None:
        while self.base.runs < runs:
            self._run(self.base)

    # -- single changes --------------------------------------------------------------------------

    def _singles(self) -> bool:
        return any(self._helps((row,)) for row in self._candidates)

    def _helps(self, changes: Sequence[Mitigation]) -> bool:
        return self._cures(changes) and self._confirm(changes)

    def _cures(self, changes: Sequence[Mitigation]) -> bool:
        """Whether the fault stays away in enough runs; asked twice, the answer is remembered."""
        key = tuple(row.id for row in changes)
        attempt = self.tried.get(key)
        if attempt is None:
            attempt = Attempt(tuple(changes))
            self._note(self._progress(attempt))
        needed = flaky.runs_to_see(self.base.failed, self.base.runs)
        while attempt.failed == 0 and not attempt.unjudged and attempt.runs < needed:
            self._run(attempt)
            # Kept only once something is known of it.
            self.tried[key] = attempt
        if attempt.unjudged and not attempt.runs:
            self._note("  its faces could not be checked: this proves nothing")
        if attempt.failed and not attempt.faults[:-1]:
            self._note(f"  {self._said(attempt)}")
        return attempt.cured

    def _progress(self, attempt: Attempt) -> str:
        if len(attempt.changes) == 1:
            number = self._candidates.index(attempt.changes[0]) + 1
            return f"{number} of {len(self._candidates)}: {attempt.name}"
        if len(attempt.changes) > 3:
            return f"{len(attempt.changes)} changes together"
        return attempt.name

    def _said(self, attempt: Attempt) -> str:
        fault = attempt.fault()
        if fault is None:
            return "no fault"
        return "the same fault" if self.same(fault) else f"another fault: {fault.describe()}"

    def same(self, fault: Fault) -> bool:
        """Whether a fault is one of those that strike without a change."""
        return fault in self.base.faults

    # -- proof -----------------------------------------------------------------------------------

    def _confirm(self, changes: Sequence[Mitigation]) -> bool:
        """Run with and without the changes, in turns, until chance is ruled out.

        The runs with them are on all images: a cure for one image is none.
        The more was tried, the more likely one of it would have looked like a cure by chance:
        the limit is divided by the number of attempts.
        """
        attempt = self.tried[tuple(row.id for row in changes)]
        earlier = self.answer
        self.answer = answer = Answer(attempt, alpha=flaky.ALPHA / max(1, len(self.tried)))
        self._note(f"no fault with {attempt.name}; proving it")
        for _ in range(_ROUNDS):
            runs, others = flaky.plan(self.base.failed, self.base.runs, attempt.runs, answer.alpha)
            while self.base.runs < runs or attempt.runs < others:
                if self.base.runs < runs:
                    self._run(self.base)
                if attempt.runs < others:
                    self._run(attempt, whole=True)
                if not attempt.cured:
                    failed = f"it fails with {attempt.name}, too"
                    self._note(f"  {failed if attempt.failed else 'its faces were not checked'}")
                    self.answer = earlier
                    return False
            answer.chance = flaky.chance(
                self.base.failed, self.base.runs, attempt.failed, attempt.runs
            )
            answer.confirmed = answer.chance <= answer.alpha
            if answer.confirmed:
                self._note(f"found: {attempt.name}")
                return True
        return False

    # -- several changes -------------------------------------------------------------------------

    def _together(self) -> bool:
        """Try all changes that go together, and take away what is not needed."""
        usable = self._combinable()
        calm = [row for row in usable if not self._changed(row)]
        sets = (compatible(usable), compatible(usable[::-1])[::-1], compatible(calm))
        for rows in sets:
            if len(rows) > 1 and self._cures(rows):
                self._note("no fault with all of them; looking for the smallest set")
                found = smallest(rows, self._cures)
                if found is not None and self._helps(found):
                    return True
        return False

    def _combinable(self) -> list[Mitigation]:
        """Return what may be part of a combination; one that hides the faces hides a cure."""
        return [
            row
            for row in self._candidates
            if not row.unsafe and not getattr(self.tried.get((row.id,)), "unjudged", 0)
        ]

    def _changed(self, row: Mitigation) -> bool:
        """Whether a change brought another fault: half of the cure, or a fault of its own."""
        attempt = self.tried.get((row.id,))
        fault = attempt.fault() if attempt is not None else None
        return fault is not None and not self.same(fault)

    def _pairs(self) -> bool:
        """Try pairs, those with a change that moved the fault first."""
        usable = self._combinable()
        pairs = [pair for pair in combinations(usable, 2) if pair[0].fits(pair[1])]
        pairs.sort(
            key=lambda pair: (
                -sum(self._changed(row) for row in pair),
                sum(row.cost for row in pair),
            )
        )
        return any(self._helps(pair) for pair in pairs)

    def _run(self, attempt: Attempt, *, whole: bool = False) -> None:
        """Run once more. ``whole``: on all images, where the search itself looks at one."""
        manner = replace(self.manner, image=None) if whole else self.manner
        trial = self._runner(attempt.changes, manner)
        fault = fault_of(trial.run)
        unchecked = fault is None and not trial.checked
        if unchecked and attempt.changes and self._finds_wrong_faces():
            attempt.unjudged += 1
            return
        attempt.faults.append(fault)
        attempt.unchecked += unchecked

    def _finds_wrong_faces(self) -> bool:
        """Whether the fault shows itself in the faces alone: unseen, they are no evidence."""
        return any(
            fault is not None and fault.outcome == Outcome.WRONG_RESULT.value
            for fault in self.base.faults
        )

    # -- telling ---------------------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """Return the search as plain data."""
        low, high = flaky.wilson(self.base.failed, self.base.runs)
        return {
            "verdict": self.verdict,
            "fault": None if self.fault is None else self.fault.to_data(),
            "said": "" if self.fault is None else self.fault.describe(),
            "without": {
                "runs": self.base.runs,
                "failed": self.base.failed,
                "interval": [round(low, 4), round(high, 4)],
            },
            "answer": self._answer_data(),
            "tried": [self._attempt_data(attempt) for attempt in self.tried.values()],
            "untried": self.untried,
            "spent_s": round(self.spent_s, 1),
        }

    def _answer_data(self) -> dict[str, Any] | None:
        if self.answer is None:
            return None
        attempt = self.answer.attempt
        kept = ("id", "title", "price", "why", "remedy", "code", "unsafe", "source")
        return {
            "changes": [{key: getattr(row, key) for key in kept} for row in attempt.changes],
            "runs": attempt.runs,
            "failed": attempt.failed,
            "confirmed": self.answer.confirmed,
            "chance": float(f"{self.answer.chance:.3g}"),
            "alpha": float(f"{self.answer.alpha:.3g}"),
            "checked": attempt.unchecked == 0,
        }

    def _attempt_data(self, attempt: Attempt) -> dict[str, Any]:
        fault = attempt.fault()
        if fault is None and attempt.unjudged:
            verdict = "not-judged"
        elif fault is None:
            needed = flaky.runs_to_see(self.base.failed, self.base.runs)
            verdict = "cures" if attempt.runs >= needed else "too-few-runs"
        else:
            verdict = "same-fault" if self.same(fault) else "changes-the-fault"
        return {
            "changes": [row.id for row in attempt.changes],
            "runs": attempt.runs,
            "failed": attempt.failed,
            "verdict": verdict,
            "fault": None if fault is None else fault.to_data(),
            "said": "" if fault is None else fault.describe(),
        }
