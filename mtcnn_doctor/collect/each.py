"""Giving a child a list of things to do, one of which may kill it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcnn_doctor.collect.request import Collected, Request, ask_child
from mtcnn_doctor.sandbox import Ending

#: So many children of one task may die before the rest is given up.
_MOST_DEATHS = 5


@dataclass(frozen=True)
class Work:
    """What the children of an inspection share."""

    request: Request
    collected: Collected
    folder: Path
    pool: ThreadPoolExecutor


def each(
    work: Work,
    label: str,
    task: Mapping[str, Any],
    key: str,
    orders: Sequence[dict[str, Any]],
    answer: str,
    done: str | None = None,
) -> tuple[dict[int, list[dict[str, Any]]], dict[int, str]]:
    """Let a child do a task for each of some orders; after a death another does the rest.

    Args:
        work: What the children share.
        label: What the child is called in progress messages.
        task: Its orders but the list.
        key: Name of the list in the orders.
        orders: The list; each has an ``index``.
        answer: Kind of the messages that answer one order.
        done: Kind of the message that says that an order is done, where it is another.

    Returns:
        The messages for each index, and for the indexes without an answer, why.
    """
    answers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    lost: dict[int, str] = {}
    left = list(orders)
    deaths = 0
    while left:
        ending = ask_child(work.request, label, {"folder": str(work.folder), **task, key: left})
        for message in ending.of(answer):
            answers[message["index"]].append(message)
        finished = {message["index"] for message in ending.of(done or answer)}
        left = [order for order in left if order["index"] not in finished]
        if not left:
            break
        refused = ending.last("not-loadable") or ending.last("failed")
        deaths += 1
        if refused is not None or deaths >= _MOST_DEATHS:
            reason = refused["error"]["last_line"] if refused else how(ending)
            lost.update({order["index"]: reason for order in left})
            break
        # In the order given: the first without an answer is the one it died of.
        lost[left[0]["index"]] = how(ending)
        left = left[1:]
    return dict(answers), lost


def how(ending: Ending) -> str:
    """Return in words how a child ended that did not do its work."""
    if ending.timed_out is not None:
        return f"no answer within {ending.limit_s:g} s"
    if ending.completed:
        return "no answer"
    return f"the process ended with {ending.signal or f'exit code {ending.exit_code}'}"
