"""Carrying out a plan: freeze, rehearse, install, look again, and go back where it got worse."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.request import Request
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.examine import examine
from mtcnn_doctor.investigate.environments import shortened
from mtcnn_doctor.investigate.fix_compare import Comparison, compare
from mtcnn_doctor.investigate.fix_freeze import Freeze, save, taken
from mtcnn_doctor.investigate.fix_place import place_of
from mtcnn_doctor.investigate.fix_plan import Plan, Step
from mtcnn_doctor.investigate.fix_restore import commands as commands_back
from mtcnn_doctor.investigate.fix_restore import restore
from mtcnn_doctor.investigate.matrix_cache import default_folder
from mtcnn_doctor.investigate.matrix_commands import Commands, Done
from mtcnn_doctor.model import Report

FREEZE, LOG = "freeze.json", "log.txt"
#: What a step, or all of it, came to.
DONE, FAILED, LEFT_OUT = "done", "failed", "left out"
FIXED, BETTER, SAME, RESTORED, DAMAGED, DECLINED, STOPPED = (
    "fixed", "better", "unchanged", "restored", "damaged", "declined", "interrupted",
)  # fmt: skip


@dataclass(frozen=True)
class Manner:
    """How a plan is carried out.

    ``agree`` is asked before anything is changed, with what will be done, line by line. ``say``
    hears what happens. ``limit_s`` is for each command.
    """

    agree: Callable[[Sequence[str]], bool]
    say: Callable[[str], None]
    limit_s: float


@dataclass
class Applied:
    """What carrying out a plan came to, for the report."""

    folder: Path
    state: str = SAME
    steps: dict[int, tuple[str, str]] = field(default_factory=dict)
    changes: list[dict[str, str | None]] = field(default_factory=list)
    found: Comparison | None = None
    advice: list[str] = field(default_factory=list)

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        found = self.found or Comparison((), (), (), (), ())
        return {
            "state": self.state,
            "steps": [
                {"number": number, "outcome": outcome, "said": said}
                for number, (outcome, said) in sorted(self.steps.items())
            ],
            "changes": self.changes,
            "gone": list(found.gone),
            "remaining": list(found.remaining),
            "new": list(found.new),
            "runs": [{"name": n, "before": b, "after": a} for n, b, a in found.runs],
            "worse": list(found.worse),
            "advice": self.advice,
            "freeze": str(self.folder / FREEZE),
            "log": str(self.folder / LOG),
        }


def new_folder() -> Path:
    """Make a folder for the freeze and the log of one run, below the user's cache.

    Raises:
        UsageError: it cannot be made.
    """
    name = datetime.datetime.now().strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}"
    folder = default_folder().parent / "fix" / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}; name a folder of yours in XDG_CACHE_HOME"
        ) from error
    return folder


class Applier:
    """Carries out plans in one target, of which ``about`` is the fact ``python``."""

    def __init__(
        self,
        request: Request,
        about: Mapping[str, Any],
        commands: Commands,
        folder: Path,
        manner: Manner,
    ) -> None:
        self._request = request
        self._about = about
        self._commands = commands
        self._folder = folder
        self._manner = manner

    # -- what both directions need ---------------------------------------------------------------

    def look(self) -> Freeze:
        """Return what is installed now."""
        return taken(self._about, self._request.target.python)

    def agree(self, lines: Sequence[str]) -> bool:
        """Ask whether to do it."""
        return self._manner.agree(lines)

    def run(self, command: Sequence[str]) -> str:
        """Run a command of the installer; return why it failed, "" where it did not."""
        self._manner.say(f"running: {shlex.join(command)}")
        done = self._logged(command)
        return "" if done.code == 0 else _reason(done, self._manner.limit_s)

    def _logged(self, command: Sequence[str]) -> Done:
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            began = time.monotonic()
            done = self._commands.run(command, self._manner.limit_s)
            log.write(f"{done.out}{done.err}")
            log.write(f"exit code {done.code} after {time.monotonic() - began:.1f} s\n\n")
        return done

    def restore(self, plan: Plan, wanted: Freeze) -> tuple[bool, list[str]]:
        """Bring the target back to a freeze; whether it is as it was, and what went wrong."""
        return restore(plan.place, wanted, self.look, self.run)

    # -- the plan --------------------------------------------------------------------------------

    def apply(self, plan: Plan, before: Report) -> Applied:
        """Carry out a plan. Ctrl-C is answered with what was changed by then, and the way back."""
        applied = Applied(self._folder)
        former = self.look()
        save(former, self._folder / FREEZE)
        feasible, lines = self._rehearsed(plan, applied)
        if not feasible:
            applied.advice = ["nothing was installed: the installer can do none of the steps"]
            return applied
        lines += _warnings(former)
        if not self._manner.agree(lines):
            applied.state = DECLINED
            return applied
        self._manner.say(f"what is installed now was written to {self._folder / FREEZE}")
        try:
            self._carry_out(plan, feasible, former, before, applied)
        except KeyboardInterrupt:
            self._interrupted(former, applied)
        return applied

    def _rehearsed(self, plan: Plan, applied: Applied) -> tuple[list[Step], list[str]]:
        """Ask the installer what it would do; return the steps that can be, and its words."""
        feasible, lines = [], []
        for step in plan.automatic:
            failed, said = "", []
            for command in step.commands if plan.place.rehearses else ():
                if "install" not in command:
                    continue
                again: tuple[str, ...] = ()
                if len(step.commands) > 1:
                    # It is there now, and will not be when its turn comes.
                    again = plan.place.restore()[-1:]
                done = self._logged((*command, "--dry-run", *again))
                if done.code != 0:
                    failed = _reason(done, self._manner.limit_s)
                    break
                said += _would(done)
            if failed:
                applied.steps[step.number] = (FAILED, f"nothing was changed: {failed}")
                continue
            feasible.append(step)
            lines += [f"step {step.number}: {shlex.join(command)}" for command in step.commands]
            lines += [f"  {line}" for line in said]
        return feasible, lines

    def _carry_out(
        self, plan: Plan, steps: Sequence[Step], former: Freeze, before: Report, applied: Applied
    ) -> None:
        state = former
        for step in steps:
            failed = next((why for one in step.commands if (why := self.run(one))), "")
            now = self.look()
            if not failed:
                applied.steps[step.number] = (DONE, "")
                state = now
            elif not state.differences(now):
                applied.steps[step.number] = (FAILED, f"nothing was changed: {failed}")
            else:
                as_before, _ = self.restore(plan, state)
                what = "what it had changed was put back" if as_before else "half of it was done"
                applied.steps[step.number] = (FAILED, f"{what}: {failed}")
                if not as_before:
                    applied.state = DAMAGED
        applied.changes = former.differences(self.look())
        if applied.state == DAMAGED:
            applied.advice += [_way_back(self._folder)]
            return
        if any(outcome == DONE for outcome, _ in applied.steps.values()):
            self._judge(plan, former, before, applied)

    def _judge(self, plan: Plan, former: Freeze, before: Report, applied: Applied) -> None:
        self._manner.say("examining again")
        try:
            after = self._examine()
            applied.found = compare(before, after)
            worse = list(applied.found.worse)
        except UsageError as error:
            worse = [str(error)]
        if worse:
            self._manner.say(f"it got worse ({worse[0]}); bringing the former releases back")
            as_before, failures = self.restore(plan, former)
            applied.state = RESTORED if as_before else DAMAGED
            applied.advice += [f"worse: {line}" for line in worse]
            if as_before:
                self._manner.say("examining again")
                back = compare(before, self._examine())
                applied.advice.append(
                    "the former releases are back, and the findings are what they were"
                    if not (back.gone or back.new or back.runs)
                    else "the former releases are back; the findings differ from before in "
                    + ", ".join((*back.gone, *back.new, *(name for name, _, _ in back.runs)))
                )
            else:
                applied.advice += [*failures, _way_back(self._folder)]
            return
        found = applied.found
        assert found is not None
        if not found.remaining and not found.new:
            applied.state = FIXED
        elif found.gone:
            applied.state = BETTER
        if applied.changes:
            applied.advice.append(f"to undo it: {_way_back(self._folder)}")

    def _examine(self) -> Report:
        return examine(replace(self._request, started=time.monotonic()))

    def _interrupted(self, former: Freeze, applied: Applied) -> None:
        applied.state = STOPPED
        applied.changes = former.differences(self.look())
        applied.advice.append(
            f"the environment is not as it was; to bring it back: {_way_back(self._folder)}"
            if applied.changes
            else "no release has changed; should anything be wrong all the same: "
            + _way_back(self._folder)
        )


def bring_back(applier: Applier, wanted: Freeze, python: str) -> tuple[str, list[str]]:
    """Bring a target back to a freeze, after asking; return the state and what is to be said.

    Raises:
        UsageError: nothing may be installed in it.
    """
    now = applier.look()
    facts = {
        "python": wanted.about,
        "packages": {
            "distributions": [
                {"key": row.key, "version": row.version, "location": os.path.dirname(row.folder)}
                for row in now.rows.values()
            ]
        },
    }
    place = place_of(python, facts, live=True)
    if place.refusal:
        raise UsageError(f"nothing can be installed: {place.refusal}")
    lines = [shlex.join(command) for command in commands_back(place, wanted, now)]
    if not lines and not now.residues - wanted.residues:
        return SAME, []
    if not applier.agree([*lines, *_warnings(wanted)]):
        return DECLINED, []
    as_before, failures = restore(place, wanted, applier.look, applier.run)
    return (RESTORED, []) if as_before else (DAMAGED, failures)


def with_results(data: dict[str, Any], done: Applied) -> dict[str, Any]:
    """Return a plan's data with what carrying it out came to, and which remedies are verified."""
    carried = {number for number, (outcome, _) in done.steps.items() if outcome == DONE}
    steps = []
    for step in data["steps"]:
        verified = None
        if step["number"] in carried and done.found is not None:
            names = {finding["name"] for finding in step["findings"]}
            verified = done.state != RESTORED and names <= set(done.found.gone)
        steps.append({**step, "verified": verified})
    return {**data, "steps": steps, "applied": done.to_data()}


def _way_back(folder: Path) -> str:
    return shlex.join(["mtcnn-doctor", "fix", "--restore", str(folder / FREEZE)])


def _warnings(freeze: Freeze) -> list[str]:
    """Return what of the environment could not be brought back."""
    return [
        f"! {row.key} {row.version} could not be brought back: {row.lost}" for row in freeze.lost
    ]


def _would(done: Done) -> list[str]:
    """Return an installer's lines about what it would do."""
    found = [line.strip() for line in done.out.splitlines() if line.startswith("Would install ")]
    # uv writes "+ numpy==1.26.4", "- numpy==2.2.6" and "~ ..." on stderr.
    found += [line.strip() for line in done.err.splitlines() if re.match(r"\s*[-+~] \S+==", line)]
    return found or ["everything it names is there already"]


def _reason(done: Done, limit_s: float) -> str:
    """Return in one line why an installer failed."""
    if done.code is None:
        return f"the installer did not end within {limit_s:g} s"
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    errors = [line.partition("ERROR:")[2].strip() for line in lines if line.startswith("ERROR:")]
    text = ": ".join(errors) or " ".join(lines[-6:]) or f"exit code {done.code}"
    return shortened(re.sub(r"\(from versions: [^)]*\)", "", text))
