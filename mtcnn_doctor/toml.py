"""Reading TOML with whatever this Python has for it."""

from __future__ import annotations

import sys
from typing import Any


def parse(text: str) -> dict[str, Any]:
    """Return a TOML document.

    Raises:
        ValueError: it is not valid TOML (``TOMLDecodeError`` of either library is one).
    """
    # Imported here: most starts read no TOML, and each would pay for it.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    return tomllib.loads(text)
