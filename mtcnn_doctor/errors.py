"""Errors that end a command with one line on stderr, and the exit codes of every command."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 3
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """Something the user gave cannot be used; the text names it and the fix. Exit code 2."""
