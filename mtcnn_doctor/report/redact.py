"""Taking out of a report what says who and where its author is, before it is shared.

By path component and by whole token, never by substring: a user called "ann" must not turn
"channel" into "ch<user>el". What matters about a path for finding the fault (a space, letters
beyond ASCII) is kept as a remark.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from mtcnn_doctor.model import Report

_SEPARATORS = r"/\\"
#: Names that say nothing about a person or machine, and occur in ordinary text.
_COMMON = {"root", "user", "ubuntu", "admin", "runner", "jovyan", "localhost", "home", "docker"}
#: All that stands before the last @ of an address, which may be a token alone, or have an e-mail
#: address as its user; the git of git@github.com is everybody's.
_PASSWORD = re.compile(r"(?<=://)(?!(?:git|<password>)@)[^/\s\"']{1,2000}(?=@)")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
#: As a shell writes a variable; in capitals, for a requirements file has tokenizers==1.
_SECRET_LINE = re.compile(
    r"(?P<name>\b[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)(?!IZER)[A-Z0-9_]*=)"
    r"(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s'\"]+)"
)
#: As configuration files and headers write a secret.
_SECRET_ENTRY = re.compile(
    r"(?P<name>(?i:\b[\w-]{0,40}(?:password|passwd|secret_access_key|api_?key|access_token"
    r"|auth_token|client_secret)[ \t]{0,4}[=:][ \t]{0,4}|\bBearer[ \t]{1,4}))"
    r"(?!<)(?:'[^'\n]{1,500}'|\"[^\"\n]{1,500}\"|[^\s'\",;]{4,500})"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,20000}?"
    r"(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
#: An address to write to. Bounded, and begun where a word begins: a text of megabytes has no @.
_MAIL = re.compile(
    r"(?<![\w.+-])(?!git@)[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
#: Tokens of GitHub, GitLab, Hugging Face, PyPI, Slack, AWS and OpenAI, which tell what they are.
_TOKEN = re.compile(
    r"(?<![\w-])(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,255}|hf_\w{20,255}"
    r"|pypi-[\w-]{40,255}|xox[abprs]-[\w-]{10,255}|AKIA[A-Z0-9]{16}|sk-[\w-]{20,255})(?![\w-])"
)
#: What is shorter is also a word of ordinary text.
_SHORTEST_SECRET = 8


class Redactor:
    """Redacts texts for one user on one machine."""

    def __init__(
        self,
        home: str | None = None,
        user: str | None = None,
        host: str | None = None,
        secrets: Iterable[str] | None = None,
    ) -> None:
        """Take the given names and secrets, or those of this process."""
        #: How often each mark was put in place of something, remarks about it aside.
        self.counts: Counter[str] = Counter()
        self._home = (home if home is not None else _home()).rstrip(_SEPARATORS)
        user = user if user is not None else _user()
        host = (host if host is not None else socket.gethostname()).split(".")[0]
        self._rules: list[tuple[re.Pattern[str], str]] = [(_PASSWORD, "<password>")]
        known = sorted(_secrets() if secrets is None else set(secrets), key=len, reverse=True)
        if known:
            self._rules.append((re.compile("|".join(map(re.escape, known))), "<secret>"))
        self._rules.append((_SECRET_LINE, r"\g<name><secret>"))
        self._rules.append((_SECRET_ENTRY, r"\g<name><secret>"))
        self._rules.append((_PRIVATE_KEY, "<secret>"))
        self._rules += [(_TOKEN, "<secret>"), (_MAIL, "<e-mail>")]
        if self._home:
            mark = "~" + _remark(self._home)
            self._rules.append(
                (re.compile(rf"(?<![\w.-]){re.escape(self._home)}(?=[{_SEPARATORS}]|\W|$)"), mark)
            )
        if user and user.lower() not in _COMMON:
            self._rules.append(
                (
                    re.compile(rf"(?<=[{_SEPARATORS}]){re.escape(user)}(?=[{_SEPARATORS}]|$)"),
                    "<user>",
                )
            )
        if len(host) > 2 and host.lower() not in _COMMON:
            self._rules.append((re.compile(rf"(?<![\w.-]){re.escape(host)}(?![\w-])"), "<host>"))

    def text(self, text: str) -> str:
        """Return a text without the names."""
        for pattern, replacement in self._rules:
            # Those with names in them hold no backslash, so they are safe as templates.
            text, number = pattern.subn(replacement, text)
            if number:
                mark = replacement.removeprefix(r"\g<name>")
                self.counts[mark.partition(" (")[0]] += number
        return text

    def data(self, value: Any, key: str = "") -> Any:
        """Return plain data without the names, and without values whose key says secret."""
        if isinstance(value, str):
            if not _SECRET_NAME.search(key):
                return self.text(value)
            self.counts["<secret>"] += bool(value) and value != "<secret>"
            return "<secret>"
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): self.data(item, str(name)) for name, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.data(item, key) for item in value]
        return value

    def report(self, report: Report) -> Report:
        """Return a report without the names: before it is escaped for Markdown, HTML or a shell."""
        clean: Report = _redacted(report, self)
        return clean


def _redacted(thing: Any, redactor: Redactor) -> Any:
    if is_dataclass(thing) and not isinstance(thing, type):
        changed = {f.name: _redacted(getattr(thing, f.name), redactor) for f in fields(thing)}
        return replace(thing, **changed)
    if isinstance(thing, Enum):
        return thing
    if isinstance(thing, tuple):
        return tuple(_redacted(item, redactor) for item in thing)
    return redactor.data(thing)


def _remark(path: str) -> str:
    found = []
    if " " in path:
        found.append("a space")
    if not path.isascii():
        found.append("non-ASCII letters")
    return f" (contains {' and '.join(found)})" if found else ""


def _secrets() -> set[str]:
    """Return the values of variables whose name says secret; a path to one is none."""
    return {
        value
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name)
        and "TOKENIZER" not in name.upper()
        and len(value) >= _SHORTEST_SECRET
        and not value.startswith(("/", "~"))
    }


def _home() -> str:
    try:
        home = str(Path.home())
    except RuntimeError:
        return ""
    # A home of "/" (services, some containers) is everybody's and part of every path.
    return "" if home == os.sep else home


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
