"""From the command line of a kernelspec to the interpreter that it starts.

Most kernelspecs name it first. Others go through ``env``, ``conda run``, ``nice`` and the like, or
a script; some leave the choice to a tool (``uv run``, ``poetry run``) that makes it when it runs,
of which nothing can be told from the files.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtcnn_doctor import surroundings

_PYTHON = re.compile(r"(?:python|pypy)\d*(?:\.\d+)*[a-z]?(?:\.exe)?", re.IGNORECASE)
_IN_SCRIPT = re.compile(r"(/[^\s\"']*/(?:python|pypy)[\d.]*)(?=[\s\"']|$)")
_CONDA = frozenset(("conda", "mamba", "micromamba"))
#: They decide when they run which interpreter it is.
_CHOOSERS = frozenset(("uv", "poetry", "pixi", "pipenv", "hatch", "rye", "pdm", "nix", "docker"))
_SHELLS = frozenset(("sh", "bash", "zsh", "dash"))
#: Options of Python that take the next word as their value.
_WITH_VALUE = frozenset(("-X", "-W", "--check-hash-based-pycs"))
_MOST_SCRIPT_BYTES = 1 << 16


@dataclass(frozen=True)
class Command:
    """What a kernelspec starts: the interpreter and the module it runs.

    ``python`` is None where that cannot be told (``why``), ``missing`` says that what is named is
    not there. ``set`` and ``unset`` are variables that a wrapper changes.
    """

    python: str | None
    module: str | None = None
    missing: bool = False
    why: str = ""
    set: Mapping[str, str] = field(default_factory=dict, hash=False)
    unset: tuple[str, ...] = ()


def command_of(argv: Sequence[str], launcher: str, environment: Mapping[str, str]) -> Command:
    """Return what a command line starts.

    Args:
        argv: The command line, placeholders filled in.
        launcher: Interpreter of the Jupyter that starts it, which a bare ``python`` stands for.
        environment: Variables that the kernelspec sets.
    """
    words, changes = list(argv), dict[str, str]()
    unset: list[str] = []
    if _is_bare_python(words[0], launcher):
        words[0] = launcher
    while words:
        name = Path(words[0]).name.lower().removesuffix(".exe")
        if _PYTHON.fullmatch(name):
            return _start(words, {**environment, **changes}, changes, tuple(unset))
        if name == "env":
            words = _after_env(words[1:], changes, unset)
        elif name in _CONDA and words[1:2] == ["run"]:
            return _in_conda(words, changes, tuple(unset))
        elif name in _CHOOSERS:
            return Command(None, why=f"{name} chooses the interpreter when it runs")
        elif name in _SHELLS and len(words) > 1:
            return _in_script(words[1:], changes, tuple(unset))
        elif _is_script(words[0]):
            return _in_script(words, changes, tuple(unset))
        else:
            # nice, taskset, numactl and what else there is: the first Python counts.
            words = words[1:]
            while words and not _PYTHON.fullmatch(Path(words[0]).name):
                words = words[1:]
    return Command(None, why=f"{argv[0]} is no Python")


def _is_bare_python(word: str, launcher: str) -> bool:
    if word in ("python", "python3"):
        return True
    if _PYTHON.fullmatch(word) is None or os.sep in word:
        return False
    beside = Path(launcher).parent / word
    return beside.exists() and os.path.realpath(beside) == os.path.realpath(launcher)


def _after_env(words: list[str], changes: dict[str, str], unset: list[str]) -> list[str]:
    """Take what ``env`` does out of a command line and return what it starts."""
    while words:
        word = words[0]
        if word in ("-u", "--unset") and len(words) > 1:
            unset.append(words[1])
            words = words[2:]
        elif word.startswith("--unset="):
            unset.append(word.partition("=")[2])
            words = words[1:]
        elif word in ("-C", "--chdir") and len(words) > 1:
            words = words[2:]
        elif word in ("-S", "--split-string") and len(words) > 1:
            words = [*words[1].split(), *words[2:]]
        elif word.startswith("-"):
            words = words[1:]
        elif re.match(r"[A-Za-z_]\w*=", word):
            name, _, value = word.partition("=")
            changes[name] = value
            words = words[1:]
        else:
            break
    return words


def _start(
    words: Sequence[str],
    environment: Mapping[str, str],
    changes: Mapping[str, str],
    unset: tuple[str, ...],
) -> Command:
    named = words[0]
    module = _module(words[1:])
    if module == "nb_conda_kernels.runner":
        return _in_runner(words, changes, unset)
    if os.path.dirname(named):
        # A relative path is one from the notebook's folder; ours is the best guess at that.
        python = os.path.abspath(os.path.expanduser(named))
        if os.path.isfile(python):
            return Command(python, module, set=changes, unset=unset)
        return Command(python, module, True, _why_missing(named, python), changes, unset)
    path = environment.get("PATH") or os.environ.get("PATH")
    found = shutil.which(named, path=path)
    if found is None:
        return Command(named, module, True, f"there is no {named} on PATH", changes, unset)
    return Command(os.path.abspath(found), module, set=changes, unset=unset)


def _why_missing(named: str, python: str) -> str:
    if os.path.islink(python):
        return f"it is a link to {os.path.realpath(python)}, which is gone"
    if not os.path.isabs(named):
        return "it is a path relative to the notebook's folder"
    folder = os.path.dirname(python)
    if not os.path.isdir(os.path.dirname(folder)):
        return f"the environment {os.path.dirname(folder)} is gone"
    return "the file is gone"


def _module(words: Sequence[str]) -> str | None:
    """Return the module that Python is told to run, None for a script or code."""
    index = 0
    while index < len(words):
        word = words[index]
        if word in _WITH_VALUE:
            index += 2
        elif re.fullmatch(r"-[A-Zabd-z]*m", word):
            return words[index + 1] if index + 1 < len(words) else None
        elif word == "-c" or not word.startswith("-"):
            return None
        else:
            index += 1
    return None


def _in_runner(words: Sequence[str], changes: Mapping[str, str], unset: tuple[str, ...]) -> Command:
    """Return what nb_conda_kernels starts: ``... runner CONDA_FOLDER ENV_FOLDER python ...``."""
    prefix, *rest = list(words[words.index("nb_conda_kernels.runner") + 2 :]) or [""]
    if not prefix or not rest:
        return Command(None, why="nb_conda_kernels.runner starts nothing")
    if not os.path.dirname(rest[0]):
        rest[0] = os.path.join(prefix, "bin", rest[0])
    return _start(rest, {}, changes, unset)


def _in_conda(words: Sequence[str], changes: Mapping[str, str], unset: tuple[str, ...]) -> Command:
    """Return what ``conda run [-n NAME | -p FOLDER] python ...`` starts."""
    prefix: Path | None = None
    name, rest = "base", list(words[2:])
    while rest and rest[0].startswith("-"):
        option, _, value = rest[0].partition("=")
        takes = option in ("-n", "--name", "-p", "--prefix", "--cwd")
        if takes and not value and len(rest) > 1:
            value, rest = rest[1], rest[1:]
        if option in ("-n", "--name"):
            name = value
        elif option in ("-p", "--prefix"):
            prefix = Path(os.path.expanduser(value))
        rest = rest[1:]
    prefix = prefix or _conda_environment(words[0], name)
    if prefix is None:
        return Command(None, missing=True, why=f"conda has no environment {name}")
    if not rest or _PYTHON.fullmatch(Path(rest[0]).name) is None:
        return Command(None, why=f"conda run starts {rest[0] if rest else 'nothing'}")
    if os.path.dirname(rest[0]):
        return _start(rest, {}, changes, unset)
    inside = prefix / ("python.exe" if os.name == "nt" else f"bin/{rest[0]}")
    return _start([str(inside), *rest[1:]], {}, changes, unset)


def _conda_environment(conda: str, name: str) -> Path | None:
    """Return the folder of a conda environment, None where conda knows none of that name."""
    program = os.environ.get("CONDA_EXE") or shutil.which(conda) or conda
    # <root>/bin/conda and <root>/condabin/conda; micromamba lies anywhere.
    root = Path(os.environ.get("MAMBA_ROOT_PREFIX") or Path(program).absolute().parent.parent)
    if name == "base":
        return root
    places = [Path(p) for p in os.environ.get("CONDA_ENVS_PATH", "").split(os.pathsep) if p]
    places += [root / "envs", surroundings.home() / ".conda" / "envs"]
    candidates = [place / name for place in places]
    try:
        known = (surroundings.home() / ".conda" / "environments.txt").read_text(encoding="utf-8")
        candidates += [Path(line) for line in known.splitlines() if Path(line).name == name]
    except (OSError, ValueError):
        pass  # nobody has made an environment with conda here
    return next((place for place in candidates if place.is_dir()), None)


def _is_script(word: str) -> bool:
    try:
        with open(word, "rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False


def _in_script(words: Sequence[str], changes: Mapping[str, str], unset: tuple[str, ...]) -> Command:
    """Return what a shell's script or ``-c`` text starts, where it names that with its path."""
    text = ""
    for number, word in enumerate(words):
        if re.fullmatch(r"-[a-z]*c", word):
            text = words[number + 1] if number + 1 < len(words) else ""
            break
        if not word.startswith("-"):
            try:
                with open(word, encoding="utf-8", errors="replace") as stream:
                    text = stream.read(_MOST_SCRIPT_BYTES)
            except OSError:
                return Command(None, missing=True, why=f"the script {word} is gone")
            break
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in lines:
        match = _IN_SCRIPT.search(line)
        if match:
            return _start(
                [match[1], *line[match.end() :].lstrip("\"'").split()], {}, changes, unset
            )
    return Command(None, why="a script chooses the interpreter when it runs")
