"""The look of reports: exact text, no markup accidents, no control characters, no names."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from mtcnn_doctor.model import Finding, Outcome, Remedy, Report, Run, Severity
from mtcnn_doctor.report.console import ConsoleReporter
from mtcnn_doctor.report.json_report import to_data
from mtcnn_doctor.report.look import clean
from mtcnn_doctor.report.redact import Redactor

REDACTOR = Redactor(home="/home/ann", user="ann", host="box17")

REPORT = Report(
    created="2026-11-21T00:00:00+00:00",
    command=("mtcnn-doctor", "check"),
    target={
        "python": "/home/ann/venv/bin/python",
        "version": "3.11.7",
        "implementation": "CPython",
        "platform": "linux",
        "machine": "x86_64",
    },
    findings=(
        Finding(
            id="numpy-abi",
            family="packages",
            severity=Severity.ERROR,
            title="torch[cuda] 2.2.2 was built for NumPy 1.x",
            about="torch",
            evidence={"file": "/home/ann/venv/x.so", "seen": ["a", "b"]},
            effect="no arrays",
            cause="two ABIs",
            remedy=Remedy("install an older NumPy", ('pip install "numpy<2"',)),
            docs="mtcnn-doctor explain numpy-abi",
        ),
        Finding(
            id="import-failure",
            family="packages",
            severity=Severity.SKIP,
            title="torch does not load",
            about="torch",
            requires=("numpy-abi:torch",),
        ),
        Finding(id="python-version", family="interpreter", severity=Severity.PASS, title="fits"),
        Finding(
            id="gpu-none", family="gpu", severity=Severity.INFO, title="no accelerator was found"
        ),
    ),
    runs=(Run(name="tensorflow", outcome=Outcome.NOT_INSTALLED),),
    facts={
        "python": {"implementation": "CPython", "version": "3.11.7", "libc": "glibc 2.36"},
        "packages": {"distributions": [{"key": "numpy", "version": "2.2.6"}]},
    },
    duration_s=3.84,
)

GOLDEN = """\
mtcnn-doctor {version} · checking ~/venv/bin/python (3.11.7, linux x86_64)

✓ interpreter  CPython 3.11.7 · glibc 2.36
✗ packages     numpy 2.2.6   1 problem

  numpy-abi  torch[cuda] 2.2.2 was built for NumPy 1.x  [error]
    file               ~/venv/x.so
    seen               a
                       b
    effect             no arrays
    cause              two ABIs
    fix                install an older NumPy
                       $ pip install "numpy<2"
    more               mtcnn-doctor explain numpy-abi

  1 finding follows from numpy-abi:torch: import-failure (torch)
i gpu
  i gpu-none  no accelerator was found
- not run      tensorflow: not installed

1 error, 0 warnings, 1 passed, 1 skipped in 3.8 s. Exit 1.
"""


def text(report: Report, stream: io.StringIO | None = None, **options: bool) -> str:
    stream = stream or Utf8()
    ConsoleReporter(stream, redactor=REDACTOR, **options).report(report, 1)
    return stream.getvalue()


class Utf8(io.StringIO):
    encoding = "utf-8"


class Ascii(io.StringIO):
    encoding = "ascii"


def test_the_exact_text_of_a_failure() -> None:
    from mtcnn_doctor import __version__

    assert text(REPORT) == GOLDEN.format(version=__version__)


def test_quiet_shows_what_is_wrong_and_no_more() -> None:
    shown = text(REPORT, quiet=True)
    assert "numpy-abi" in shown
    assert "interpreter" not in shown
    assert "not run" not in shown


def test_verbose_shows_what_passed() -> None:
    assert "python-version: fits" in text(REPORT, verbose=True)


def test_ascii_streams_get_ascii_only() -> None:
    shown = text(REPORT, Ascii())
    assert shown.isascii()
    assert "xx packages" in shown
    assert "ok interpreter" in shown


def test_what_a_child_printed_cannot_command_the_terminal() -> None:
    finding = replace(REPORT.findings[0], evidence={"said": "\x1b[31mred\x07\r\u202eevil [bold]"})
    shown = text(replace(REPORT, findings=(finding,)))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown
    assert "[bold]" in shown
    assert clean("\x1b[2J") == "\\x1b[2J"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/home/ann/x", "~/x"),
        ("/home/anna/x", "/home/anna/x"),
        ("channel /data/ann/x", "channel /data/<user>/x"),
        ("annotated", "annotated"),
        ("on box17.example.org", "on <host>.example.org"),
        ("box175", "box175"),
        ("rtsp://me:pw@host/x", "rtsp://<password>@host/x"),
        ("PYTHONPATH=/home/ann:/opt", "PYTHONPATH=~:/opt"),
    ],
)
def test_names_are_redacted_by_component_not_by_substring(given: str, expected: str) -> None:
    assert REDACTOR.text(given) == expected


def test_what_matters_about_a_path_is_kept() -> None:
    assert Redactor(home="/home/jo é", user="", host="").text("/home/jo é/x") == (
        "~ (contains a space and non-ASCII letters)/x"
    )


def test_secrets_in_variables_are_redacted() -> None:
    data = REDACTOR.data({"HF_TOKEN": "hf_abc", "OMP_NUM_THREADS": "4"})
    assert data == {"HF_TOKEN": "<secret>", "OMP_NUM_THREADS": "4"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("password=plainpw5", "password=<secret>"),
        ("aws_secret_access_key = wJalrXUtnFEMI", "aws_secret_access_key = <secret>"),
        ("Authorization: Bearer zzz111222333", "Authorization: Bearer <secret>"),
        ("api_key: 'abcd efgh'", "api_key: <secret>"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb",
            "a\n<secret>\nb",
        ),
        ("max_new_tokens: 1000", "max_new_tokens: 1000"),
        ("password: <secret>", "password: <secret>"),
    ],
)
def test_secrets_in_text_are_redacted(given: str, expected: str) -> None:
    assert REDACTOR.text(given) == expected


def test_json_is_redacted_too() -> None:
    assert "/home/ann" not in str(to_data(REPORT, REDACTOR))


def test_an_incomplete_report_is_never_green() -> None:
    report = replace(REPORT, findings=(), incomplete=("probe gpu: its time limit passed",))
    assert report.verdict.value == "warn"
    assert "incomplete: probe gpu" in text(report)
