"""What the knowledge base says of a text: an error, a traceback, a log.

`read` turns what stands on the command line into a question, `answer` looks it up.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict, dataclass
from typing import IO, Any

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.knowledge import Signature, signatures
from mtcnn_doctor.knowledge.issues import issues
from mtcnn_doctor.knowledge.recognition import find

#: As much of a file or of standard input is searched: its end, where the fault stands.
LIMIT = 32 * 2**20

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ID = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
_ENDINGS = (".log", ".txt", ".out", ".err", ".json", ".xml", ".md", ".ipynb", ".py", ".yml", ".gz")


@dataclass(frozen=True)
class Question:
    """A text to be explained, and how to call it; ``cut`` where only its end was read."""

    text: str
    name: str
    cut: bool = False


def read(argument: str, stdin: IO[bytes] | None = None) -> Question:
    """Return the text that an argument stands for: standard input, a file, or itself.

    Raises:
        UsageError: there is no such file, it is no text, or there is nothing in it.
    """
    if argument == "-":
        return _decoded(*_tail(stdin or sys.stdin.buffer), "standard input")
    if _may_be_a_path(argument):
        # os.path takes a text too long for a name as what it is: no file.
        if os.path.isdir(argument):
            raise UsageError(f"{argument} is a folder; name a log file in it")
        if os.path.exists(argument):
            try:
                with open(argument, "rb") as file:
                    return _decoded(*_tail(file), argument)
            except OSError as error:
                raise UsageError(f"{argument} cannot be read: {error.strerror}") from error
        if _names_a_file(argument):
            raise UsageError(
                f"no file {argument}; give an existing file, an id, an error text in quotes, or -"
            )
    if not argument.strip():
        raise UsageError("nothing to explain; give an id, an error text in quotes, a file, or -")
    return Question(argument, "the text")


def looks_like_an_id(argument: str) -> bool:
    """Whether an argument is one word of the form that ids have."""
    return _ID.fullmatch(argument) is not None


def answer(question: Question) -> dict[str, Any]:
    """Return the known failures that a text shows, best first, ready to be printed."""
    return {
        "schema_version": 1,
        "searched": question.name,
        "only_the_end": question.cut,
        "matches": [
            {
                **entry(match.row),
                "match": match.confidence,
                # Lines of a file whose beginning was left out have other numbers.
                "line": None if question.cut else match.line,
                "said": match.said,
            }
            for match in find(question.text)
        ],
    }


def known_ids() -> list[str]:
    """Return the ids of all failures and issues of the knowledge base."""
    return [*(row.id for row in signatures()), *(row.id for row in issues())]


def by_id(id: str) -> dict[str, Any] | None:
    """Return what is known under an id of the knowledge base, None where nothing is."""
    for failure in signatures():
        if failure.id == id:
            return entry(failure)
    for issue in issues():
        if issue.id == id:
            row = {
                "id": issue.id,
                "severity": issue.severity,
                "affects": [f"{issue.package}{specifier}" for specifier in issue.affected],
                "cause": issue.cause,
                "remedy": issue.remedy,
                "commands": [],
                "source": issue.source,
            }
            return {**row, "confidence": issue.confidence, "reviewed": issue.reviewed}
    return None


def entry(row: Signature) -> dict[str, Any]:
    """Return a failure as JSON has it, without what only the search needs."""
    left_out = {"patterns", "needs", "described"}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(row).items()
        if key not in left_out
    }


def _may_be_a_path(argument: str) -> bool:
    return 0 < len(argument) < 4096 and "\n" not in argument and "\0" not in argument


def _names_a_file(argument: str) -> bool:
    """Whether an argument that is no file can only be meant as one."""
    if any(char.isspace() for char in argument) or ":" in argument.strip("\\/")[2:]:
        return False
    return "/" in argument or "\\" in argument or argument.lower().endswith(_ENDINGS)


def _tail(file: IO[bytes]) -> tuple[bytes, bool]:
    """Return the last bytes of a stream, and whether there were more.

    Of a stream that begins like a binary file no more is read: /dev/zero has no end.
    """
    kept, cut = bytearray(), False
    while chunk := file.read(2**20):
        kept += chunk
        if b"\0" in kept[: 2**20] and not kept.startswith(_UTF_16):
            break
        if len(kept) > 2 * LIMIT:
            cut = True
            del kept[:-LIMIT]
    if len(kept) > LIMIT:
        cut = True
        del kept[:-LIMIT]
    return bytes(kept), cut


def _decoded(data: bytes, cut: bool, name: str) -> Question:
    if not data.strip():
        raise UsageError(f"{name} is empty; give the output of the program that failed")
    if data.startswith(_UTF_16):
        # PowerShell's redirection writes UTF-16.
        return Question(data.decode("utf-16", errors="replace"), name, cut)
    if b"\0" in data:
        raise UsageError(f"{name} is binary; give a text, such as the log of the program")
    return Question(data.decode("utf-8", errors="replace"), name, cut)
