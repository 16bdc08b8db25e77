"""A home and a temporary folder, where containers and services have none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

#: Writable in most containers whose root file system is not.
_SHARED_MEMORY = "/dev/shm"


def home() -> Path:
    """Return the user's home; where nobody knows one (no HOME, no entry in passwd), the root.

    That is what container engines set HOME to for such a user.
    """
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.sep)


def settle() -> None:
    """Let temporary files go to shared memory where there is no other folder for them.

    It is for this process alone: what the target meets in such a place is a thing to be examined.
    """
    if not has_temporary() and os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
        tempfile.tempdir = _SHARED_MEMORY


def has_temporary() -> bool:
    """Whether there is a folder for temporary files."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return False
    return True
