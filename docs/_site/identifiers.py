"""An id that a report may show is a link to its page wherever it stands in code type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from findings import ids

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _link(app: Sphinx, tree: nodes.document, name: str) -> None:
    known = ids()
    for literal in list(tree.findall(nodes.literal)):
        place = known.get(literal.astext())
        inside = literal.parent
        if place is None or isinstance(inside, (nodes.reference, nodes.title)):
            continue
        page, anchor = place
        if page == name:
            continue
        uri = app.builder.get_relative_uri(name, page) + (f"#{anchor}" if anchor else "")
        link = nodes.reference("", "", literal.deepcopy(), internal=True, refuri=uri)
        literal.replace_self(link)


def _no_lost_text(app: Sphinx, tree: nodes.document) -> None:
    """Complain of ``<name>`` outside code: a browser would take it for a tag and show nothing."""
    from sphinx.util import logging

    for raw in tree.findall(nodes.raw):
        if not raw.astext().startswith("<!--"):
            logging.getLogger(__name__).warning("text that looks like HTML", location=raw)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-read", _no_lost_text)
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
