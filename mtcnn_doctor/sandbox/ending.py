"""How a child ended: all that was heard of it, and the reasons why there was none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mtcnn_doctor.sandbox import certificate


class NotPython(Exception):
    """The target interpreter does not behave like a Python interpreter."""


class TargetTooOld(Exception):
    """The target interpreter is older than the oldest Python the worker runs on."""


@dataclass(frozen=True)
class Ending:
    """All that was heard of a child and how it ended; the death certificate where it died.

    ``returncode`` is the system's (negative for a signal), ``exit_code`` the shell's.
    ``completed`` says that the worker reported the end of its task before the process ended.
    ``outlived_kill``: it hung, was killed and did not die, because it waits inside the kernel.
    """

    label: str
    messages: tuple[dict[str, Any], ...]
    returncode: int
    completed: bool
    timed_out: str | None
    limit_s: float
    stage: str | None
    step: str | None
    stdout: str
    stdout_bytes: int
    stderr: str
    stderr_bytes: int
    fault: str
    python_frames: tuple[dict[str, Any], ...]
    python_threads: tuple[dict[str, Any], ...]
    process_map: str
    native_libraries: tuple[dict[str, str], ...]
    memory: dict[str, Any]
    peak_rss_mb: float | None
    lifetime_s: float
    certificate_ms: float
    strays_killed: int
    outlived_kill: bool = False
    exit_code: int = field(init=False)
    signal: str | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exit_code", certificate.exit_code(self.returncode))
        object.__setattr__(self, "signal", certificate.signal_name(self.returncode))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of one kind, in the order they came."""
        return [message for message in self.messages if message.get("t") == kind]

    def last(self, kind: str) -> dict[str, Any] | None:
        """Return the last message of one kind."""
        found = self.of(kind)
        return found[-1] if found else None
