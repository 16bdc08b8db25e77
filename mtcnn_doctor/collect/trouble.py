"""What went wrong in a child, for tasks that have no report of their own."""

from __future__ import annotations

from mtcnn_doctor.sandbox import Ending


def trouble(ending: Ending, doing: str) -> str | None:
    """Return in one sentence what went wrong in a child, None if it did all it was told to.

    Args:
        ending: What was heard of it.
        doing: What it was doing, as the subject of the sentence.
    """
    told = ending.last("not-loadable") or ending.last("failed")
    if told is not None:
        return f"{doing} ended with {told['error']['last_line']}"
    if ending.timed_out is not None:
        return f"{doing} had not ended after {ending.limit_s:g} s"
    if not ending.completed or ending.returncode != 0:
        how = ending.signal or f"exit code {ending.exit_code}"
        place = " ".join(filter(None, (ending.stage, ending.step)))
        return f"{doing} died of {how} ({place})"
    return None
