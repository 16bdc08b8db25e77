"""How Sphinx makes the site of these pages. Nothing is fetched while it is built or read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "_site"))

from mtcnn_doctor import __version__

project = "mtcnn-doctor"
author = "The mtcnn-doctor developers"
copyright = author
version = release = __version__

# navigation, options, findings and identifiers are in _site/.
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "navigation",
    "options",
    "findings",
    "identifiers",
]
exclude_patterns = ["_build", "_site", "examples"]
needs_sphinx = "8.0"

# Links between pages stand as in plain files: bench.md#what-is-measured-on.
myst_heading_anchors = 4
# A block without a language is what a terminal shows, of which nothing is to be coloured.
highlight_language = "none"
nitpicky = True
# Types of the standard library and of NumPy: their pages are elsewhere, and are not asked.
nitpick_ignore_regex = [("py:.*", r"(?!mtcnn_doctor\.).*")]

# The reference is documented without NumPy and without a framework being there.
autodoc_mock_imports = ["numpy"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_title = f"mtcnn-doctor {__version__}"
html_static_path = ["_static"]
html_css_files = ["doctor.css"]
html_copy_source = False
html_show_sourcelink = False


def _no_words_without_meaning(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Python documents the fields of named tuples by their number alone."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _no_words_without_meaning)
