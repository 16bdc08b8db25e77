"""A page for each finding, made of what ``mtcnn-doctor explain`` says.

The pages are written into docs/findings/ before Sphinx looks which documents there are. They are
no part of the repository: the docstrings of the checks and the rows of the knowledge base are.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from mtcnn_doctor import model, registry
from mtcnn_doctor.knowledge import signatures
from mtcnn_doctor.knowledge.issues import issues
from mtcnn_doctor.lint import rules
from mtcnn_doctor.lint.model import SEVERITIES

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "findings"
_FAILURES = "known-failures"
_RELEASES = "known-releases"
# The index links to all of them; in the navigation of every page they would be a wall, and would
# cost most of the time of building.
_ALONE = "---\norphan: true\n---\n\n[Findings](index.md)\n\n"
_ADDRESS = re.compile(r"(?<![<(])https?://[^\s)>]*[^\s)>.,;]")


class Page(NamedTuple):
    """What a page is made of; ``severities`` are those that its finding can have."""

    id: str
    family: str
    title: str
    documentation: str
    severities: tuple[str, ...]
    level: int | None = None


@cache
def pages() -> tuple[Page, ...]:
    """Return one page for each check and each rule of lint, in the order of reports."""
    checks = [
        Page(
            check.id,
            check.family,
            check.title,
            inspect.cleandoc(check.documentation),
            _severities(check.function, _FINDERS),
            check.level,
        )
        for check in registry.load(()).checks
    ]
    linted = [
        Page(
            rule.id,
            "lint",
            rule.title,
            inspect.cleandoc(rule.documentation),
            _severities(rule.function, {}),
        )
        for rule in rules()
    ]
    return (*checks, *linted)


@cache
def ids() -> dict[str, tuple[str, str]]:
    """Return where each id is explained: the page and the place on it."""
    found = {page.id: (f"{FOLDER}/{page.id}", "") for page in pages()}
    for row in signatures():
        found.setdefault(row.id, (f"{FOLDER}/{_FAILURES}", row.id))
    for issue in issues():
        found.setdefault(issue.id, (f"{FOLDER}/{_RELEASES}", issue.id))
    return found


_FINDERS = {model.error: "error", model.warning: "warning", model.info: "info"}


def _severities(function: Callable[..., Any], finders: dict[Any, str]) -> tuple[str, ...]:
    """Return which severities a check, or a function that it calls, can give.

    Read off the code: what it names of ``error``, ``warning`` and ``info``, and, in rules, the
    words themselves.
    """
    found: set[str] = set()
    seen: set[Any] = set()

    def follow(value: Any) -> None:
        value = getattr(value, "__wrapped__", value)
        if isinstance(value, model._Finder):
            found.add(finders.get(value, ""))
        elif isinstance(value, dict):
            for one in value.values():
                if isinstance(one, model._Finder):
                    follow(one)
        elif (
            isinstance(value, FunctionType)
            and value.__module__.startswith("mtcnn_doctor")
            and value not in seen
        ):
            seen.add(value)
            for code in _codes(value.__code__):
                for name in code.co_names:
                    follow(value.__globals__.get(name))
                if not finders:
                    found.update(one for one in code.co_consts if one in SEVERITIES)

    follow(function)
    if not found:
        # A rule that names none takes the default; what the registry reports itself are errors.
        found.add("error" if finders else "warning")
    return tuple(one for one in SEVERITIES if one in found)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def write(folder: Path) -> None:
    """Write all pages into a folder, and remove what is there and no page any more."""
    folder.mkdir(exist_ok=True)
    wanted = {f"{page.id}.md": _page(page) for page in pages()}
    wanted |= {
        "index.md": _index(),
        f"{_FAILURES}.md": _failures(),
        f"{_RELEASES}.md": _releases(),
    }
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()


def _page(page: Page) -> str:
    first, _, rest = page.documentation.partition("\n\n")
    level = f"from `--level {page.level}` on" if page.level else "by `mtcnn-doctor lint`"
    severities = " or ".join(page.severities)
    parts = [
        f"{_ALONE}# {page.id}",
        _text(first),
        f"Where it is not shown: {_text(page.title)}. It is {_article(severities)} of the family "
        f"*{page.family}*, looked for {level}.",
        _text(rest),
    ]
    if page.level:
        parts.append(
            "## Ask for it alone\n\n```\n"
            f"mtcnn-doctor check --select {page.id}\nmtcnn-doctor explain {page.id}\n```\n\n"
            "The second prints this page in a terminal. Where the finding is known and accepted, "
            "the configuration can leave it out with a reason "
            "([check](../check.md#settings-of-a-project))."
        )
    failures = [row for row in signatures() if row.check == page.id]
    if failures:
        parts.append("## Error texts behind which it stands")
        parts.append("\n".join(f"- `{row.id}`: {_text(row.cause)}" for row in failures))
    known = [row for row in issues() if row.check == page.id]
    if known:
        parts.append("## Releases that are known for it")
        parts.append("\n".join(f"- `{row.id}`: {_affected(row)}" for row in known))
    return "\n\n".join(parts) + "\n"


def _article(severities: str) -> str:
    return f"{'an' if severities[:1] in 'ei' else 'a'} {severities}" if severities else "a finding"


def _index() -> str:
    parts = [
        "# Findings",
        "Every finding that a report can show has a page here, made of the documentation of its "
        "check. `mtcnn-doctor explain ID` prints the same in a terminal. The name of a page is "
        "`findings/ID`, and ids never change.",
        "Of the severities that a finding can have, the case decides. An *error* will stop the "
        "program, a *warning* may, an *info* is worth knowing and is never counted.",
        f"Error texts have a page as well: [known failures]({_FAILURES}.md), and [releases that "
        f"are known to fail]({_RELEASES}.md).",
        "## By family",
    ]
    families: dict[str, list[Page]] = defaultdict(list)
    for page in pages():
        families[page.family].append(page)
    for family, members in families.items():
        parts.append(f"### {family}")
        parts.append("| id | what holds when it is not shown | severity |\n|---|---|---|")
        parts[-1] += "".join(
            f"\n| [{page.id}]({page.id}.md) | {_text(page.title)} | {', '.join(page.severities)} |"
            for page in members
        )
    parts.append("## By severity")
    for severity in SEVERITIES:
        members = sorted(page.id for page in pages() if severity in page.severities)
        parts.append(f"### Can be: {severity}")
        parts.append(" · ".join(f"[{id}]({id}.md)" for id in members))
    return "\n\n".join(parts) + "\n"


def _failures() -> str:
    parts = [
        f"{_ALONE}# Known failures",
        "What `mtcnn-doctor explain TEXT` recognises in an error, a traceback or a log "
        "([how](../explain.md)).",
    ]
    for row in signatures():
        items = [
            ("cause", _text(row.cause)),
            ("remedy", _text(row.remedy)),
            ("affects", _list(row.affects)),
            ("looked for by", f"`{row.check}`" if row.check else ""),
            ("sources", " ".join(_text(one) for one in (row.source, *row.also))),
            ("reviewed", f"{row.reviewed}, confidence {row.confidence}"),
        ]
        parts += _entry(row.id, items)
        if row.commands:
            parts.append("```\n" + "\n".join(row.commands) + "\n```")
    return "\n\n".join(parts) + "\n"


def _releases() -> str:
    parts = [
        f"{_ALONE}# Releases that are known to fail",
        "The rows behind `known-bad-release` and other findings, with the releases they hold for.",
    ]
    for row in issues():
        items = [
            ("affects", _affected(row)),
            ("on", _list(one for one in row.platform if one != "any")),
            ("cause", _text(row.cause)),
            ("remedy", _text(row.remedy)),
            ("looked for by", f"`{row.check}`" if row.check else ""),
            ("sources", _text(row.source)),
            ("reviewed", f"{row.reviewed}, confidence {row.confidence}"),
        ]
        parts += _entry(row.id, items)
    return "\n\n".join(parts) + "\n"


def _entry(id: str, items: Iterable[tuple[str, str]]) -> list[str]:
    lines = "\n".join(f"- **{name}**: {text}" for name, text in items if text)
    return [f"({id})=\n## {id}", lines]


def _affected(row: Any) -> str:
    return _list(f"{row.package}{specifier}" for specifier in row.affected or ("",))


def _list(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _text(text: str) -> str:
    """Return text of a docstring or a table as Markdown that shows every letter of it."""
    parts = re.split(r"(``.*?``|`[^`]*`)", text, flags=re.DOTALL)
    return "".join(part if at % 2 else _prose(part) for at, part in enumerate(parts))


def _prose(text: str) -> str:
    ends = 0
    shown = []
    for address in _ADDRESS.finditer(text):
        shown += [_escaped(text[ends : address.start()]), f"<{address[0]}>"]
        ends = address.end()
    return "".join([*shown, _escaped(text[ends:])])


def _escaped(text: str) -> str:
    # A list's marker is the only thing that Markdown is to see outside code.
    return re.sub(r"([\\<\[\]_{}]|(?<!\n)\*)", r"\\\1", text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / FOLDER))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
