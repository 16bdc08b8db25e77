"""The navigation is what index.md lists, and at its end the pages that it does not.

So a new page needs no entry anywhere to be on the site, and the list in index.md, which is also
read as a plain file, is the only one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_HEADING = re.compile(r"^## (.+)$")
_ENTRY = re.compile(r"^[-*] .*?\[(?P<title>[^\]]*)\]\((?P<page>[\w./-]+?)(?:\.md)?\)")
_ELSEWHERE = "More"


def sections(index: str, documents: set[str]) -> list[tuple[str, list[str]]]:
    """Return the headings of an index, each with the entries of the documents listed below it.

    They are called there as they are in the index: a command by its name. What is listed nowhere
    is under a last heading; pages in folders belong to their own index.
    """
    found: list[tuple[str, list[str]]] = []
    left = {name for name in documents if "/" not in name} - {"index"}
    for line in index.splitlines():
        heading, entry = _HEADING.match(line), _ENTRY.match(line)
        if heading:
            found.append((heading[1], []))
        elif entry and found and entry["page"] in documents:
            title = entry["title"].replace("`", "")
            found[-1][1].append(f"{title} <{entry['page']}>")
            left.discard(entry["page"])
    return [section for section in [*found, (_ELSEWHERE, sorted(left))] if section[1]]


def _index(app: Sphinx, name: str, source: list[str]) -> None:
    if name != "index":
        return
    for heading, documents in sections(source[0], set(app.env.found_docs)):
        entries = "\n".join(documents)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{entries}\n```\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _index)
    # The generated pages are all below the index, and are to be re-read when one comes.
    app.connect("env-before-read-docs", lambda app, env, names: names.append("index"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
