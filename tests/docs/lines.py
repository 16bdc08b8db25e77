"""The command lines of README.md, CONTRIBUTING.md and docs/, and what is shown below them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_NOTE = re.compile(r"^<!-- (?:run:|not run:)(.*)-->$")
_TERMINAL = {"", "console", "sh", "bash", "shell", "text"}
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
#: What a line of a terminal begins with, where there is no prompt.
_PROGRAM = re.compile(
    r"(?:\.venv/bin/)?(?:mtcnn-doctor|python[\d.]*|pip|pipx|pytest|uv|apt-get|docker|kubectl|conda"
    r"|git|pre-commit)\s|%%?\w|mtcnn-doctor$"
)
#: A command that an output or another language holds: a remedy, a step of a workflow.
_QUOTED = re.compile(r"(?:^|\s)(?:more|next|\$|run:|-)\s+(mtcnn-doctor [a-z].*)$")


@dataclass(frozen=True)
class Line:
    """A command line on a page.

    ``shown`` is the output below it, ``run`` the note above its block (None without one), and
    ``cell`` the rest of a notebook's cell. ``quoted``: named in a sentence or an output, not told
    to be typed.
    """

    page: str
    number: int
    text: str
    shown: tuple[str, ...] = ()
    run: str | None = None
    cell: tuple[str, ...] = ()
    quoted: bool = False
    excused: str = field(default="")

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.number}: {self.text}"

    @property
    def expected(self) -> frozenset[int]:
        """The exit codes that are right."""
        said = re.search(r"\bexit=(\d+)", self.run or "")
        return frozenset({int(said[1])}) if said else frozenset({0, 1})

    @property
    def doctor(self) -> list[str] | None:
        """The arguments of mtcnn-doctor, None where it is another program's line."""
        text = self.text.removeprefix("%mtcnn_doctor ")
        if text != self.text:
            return shlex.split(text)
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words = list(lexer)
        for at, word in enumerate(words):
            if word.rpartition("/")[2] == "mtcnn-doctor":
                return _until_operator(words[at + 1 :])
            if words[at : at + 2] == ["-m", "mtcnn_doctor"]:
                return _until_operator(words[at + 2 :])
        return None


def _until_operator(words: list[str]) -> list[str]:
    ends = [at for at, word in enumerate(words) if re.fullmatch(r"[|&;<>()]+", word)]
    return words[: ends[0]] if ends else words


def pages() -> list[str]:
    """The pages that people read, by their path from the top of the repository."""
    docs = [
        path for path in (ROOT / "docs").rglob("*.md") if not {"_build", "findings"} & {*path.parts}
    ]
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(docs)]
    return [path.relative_to(ROOT).as_posix() for path in found]


def lines(page: str, text: str | None = None) -> list[Line]:
    """Every command line on a page."""
    if text is None:
        text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Line] = []
    prose: list[str] = []
    block: list[str] | None = None
    info, note, start = "", None, 0
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and block is None:
            block, info, start = [], fence["info"].strip(), number + 1
            prose.append("")
        elif fence and block is not None:
            found += _block(page, start, info, block, note)
            block, note = None, None
            prose.append("")
        elif block is not None:
            block.append(line)
            prose.append("")
        else:
            noted = _NOTE.match(line)
            note = line if noted else (note if not line.strip() else None)
            prose.append(line)
    return found + list(_inline(page, prose))


def _inline(page: str, prose: list[str]) -> Iterator[Line]:
    """Commands in code type within a sentence or a table."""
    text = "\n".join(prose)
    for span in _CODE.finditer(text):
        code = " ".join(span[2].replace(r"\|", "|").split())
        if not re.match(r"(\S+ .*\| )?(mtcnn-doctor|%%?mtcnn_\w+|%?pip|python) .", code):
            continue
        number = text.count("\n", 0, span.start()) + 1
        yield Line(page, number, code, quoted=True)


def _block(page: str, start: int, info: str, block: list[str], note: str | None) -> Iterator[Line]:
    first = next((line for line in block if line.strip()), "")
    if info in _TERMINAL and any(line.startswith("$ ") for line in block):
        yield from _with_prompt(page, start, block, note)
    elif info in _TERMINAL and first.startswith("%"):
        yield from _notebook(page, start, block, note)
    elif info in _TERMINAL and _PROGRAM.match(first):
        for number, text in _joined(start, block):
            if not text.startswith("#"):
                yield Line(page, number, _bare(text), run=note)
    else:
        yield from _in_output(page, start, block)


def _with_prompt(page: str, start: int, block: list[str], note: str | None) -> Iterator[Line]:
    places = [at for at, line in enumerate(block) if line.startswith("$ ")]
    yield from _in_output(page, start, block[: places[0]])
    for at, end in zip(places, [*places[1:], len(block)], strict=True):
        shown = tuple(block[at + 1 : end])
        yield Line(page, start + at, _bare(block[at][2:]), shown, note)
        yield from _in_output(page, start + at + 1, list(shown))


def _notebook(page: str, start: int, block: list[str], note: str | None) -> Iterator[Line]:
    """Magics at the top of a block; below a blank line stands what they show."""
    if block[0].startswith("%%"):
        yield Line(page, start, block[0], run=note, cell=tuple(block[1:]))
        return
    for at, line in enumerate(block):
        if not line.strip():
            yield from _in_output(page, start + at, block[at:])
            return
        if line.startswith("%"):
            yield Line(page, start + at, _bare(line), run=note)


def _in_output(page: str, start: int, block: list[str]) -> Iterator[Line]:
    for number, line in enumerate(block, start):
        quoted = _QUOTED.search(line)
        if quoted:
            yield Line(page, number, quoted[1], quoted=True)


def _joined(start: int, block: list[str]) -> Iterator[tuple[int, str]]:
    """Lines, those that end in a backslash with the next."""
    text, first = "", start
    for number, line in enumerate(block, start):
        first = first if text else number
        text += line.strip()
        if text.endswith("\\"):
            text = text[:-1]
        elif text:
            yield first, text
            text = ""


def _bare(text: str) -> str:
    """A line without the remark behind it."""
    return re.sub(r"\s+#\s.*$", "", text).strip()
