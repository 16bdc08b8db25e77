"""``mtcnn-doctor explain``: every known failure is recognised in its text, and no other in it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtcnn_doctor.knowledge import signatures
from mtcnn_doctor.knowledge.recognition import find

from .conftest import Doctor

FACTS = Path(__file__).parent / "facts"


def records(name: str) -> list[dict[str, Any]]:
    lines = (FACTS / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


KNOWN = [(row["id"], row["text"]) for row in records("failures.jsonl")]
UNRELATED = [(row["name"], row["text"]) for row in records("unrelated-failures.jsonl")]
ROWS = {row.id: row for row in signatures()}
#: Texts that a program prints, rather than words of a person about it.
PRINTED = [
    (id, text)
    for id, text in KNOWN
    if ROWS[id].patterns and (not ROWS[id].described or "exited with" in text)
]


def ids(text: str) -> list[str]:
    return [match.row.id for match in find(text)]


def test_every_known_failure_has_a_text_here() -> None:
    assert {id for id, _ in KNOWN} == set(ROWS)
    assert len(UNRELATED) >= 40


@pytest.mark.parametrize(("id", "text"), KNOWN)
def test_a_failure_is_found_by_its_own_text(id: str, text: str) -> None:
    found = ids(text)
    assert id in found
    # What competes is what the same words may also mean; the likelier goes first.
    assert len(found) <= 3
    if not ROWS[id].ambiguous:
        sure = [name for name in found if not ROWS[name].ambiguous]
        assert found[: len(sure)] == sure


@pytest.mark.parametrize(("name", "text"), UNRELATED)
def test_an_unrelated_failure_shows_nothing(name: str, text: str) -> None:
    assert ids(text) == []
    assert ids(text.strip().splitlines()[-1]) == []


def test_all_unrelated_failures_in_one_log_show_nothing() -> None:
    assert ids("\n".join(text for _, text in UNRELATED)) == []


def as_pytest(text: str) -> str:
    return "\n".join(f"E   {line}" for line in text.splitlines())


def as_log(text: str) -> str:
    stamp = "2026-11-20 09:13:07,123 ERROR "
    return "\n".join(stamp + line for line in text.splitlines())


def as_compose(text: str) -> str:
    return "\n".join(f"worker-1  | {line}" for line in text.splitlines())


def in_colour(text: str) -> str:
    return re.sub(r"(\w+)", "\x1b[1;31m\\1\x1b[0m", text)


def wrapped(text: str) -> str:
    return "\n".join("\n    ".join(textwrap.wrap(line, 44)) for line in text.splitlines())


def broken(text: str) -> str:
    """Lines cut at the edge of a terminal, in the middle of words, behind a prefix."""
    pieces = [line[at : at + 37] for line in text.splitlines() for at in range(0, len(line), 37)]
    return as_pytest("\n".join(pieces))


def boxed(text: str) -> str:
    return "\n".join(f"│ {line:<70} │" for line in wrapped(text).splitlines())


def from_windows(text: str) -> str:
    return text.replace("\n", "\r\n") + "\r\n"


def in_a_log(text: str) -> str:
    around = "\n".join(text for _, text in UNRELATED[:12])
    return f"{around}\n{text}\n{around}"


DRESSES = [as_pytest, as_log, as_compose, in_colour, wrapped, broken, boxed, from_windows, in_a_log]


@pytest.mark.parametrize("dress", DRESSES)
def test_a_failure_is_found_however_its_text_was_copied(dress: Callable[[str], str]) -> None:
    lost = [(id, text) for id, text in PRINTED if id not in ids(dress(text))]
    assert lost == []


def test_what_competes_is_shown_with_the_likelier_first() -> None:
    text = "$ KERAS_BACKEND=torch python x.py\nImportError: Keras cannot be imported. Check that it"
    found = find(text + " is installed.")
    assert [m.row.id for m in found] == ["keras-backend-not-tensorflow", "keras-cannot-be-imported"]
    found = find("zsh: illegal hardware instruction  python")
    assert [match.confidence for match in found] == ["high", "medium"]


def test_words_of_many_causes_need_their_surroundings() -> None:
    """Standing alone a message may be about a detector; in the log of something else it is not."""
    ragged = (
        "ValueError: setting an array element with a sequence. The requested array has an"
        " inhomogeneous shape after 1 dimensions."
    )
    assert ids(ragged) == ["numpy-ragged-batch"]
    assert ids(in_a_log(ragged)) == []
    assert ids(in_a_log(f"  File facenet_pytorch/models/mtcnn.py\n{ragged}")) == [
        "numpy-ragged-batch"
    ]


def test_harmless_lines_come_last() -> None:
    log = (
        "Attempting to register factory for plugin cuDNN when one has already been registered\n"
        "E0000 oneDNN custom operations are on.\nAttributeError: _ARRAY_API not found\n"
    )
    assert ids(log)[0] == "numpy-abi-array-api"
    assert {"tf-duplicate-cuda-registration", "tf-many-log-lines-mistaken"} == set(ids(log)[1:])


def test_explain_answers_a_text(doctor: Doctor) -> None:
    answer = doctor("explain", "ImportError: libGL.so.1: cannot open shared object file")
    assert answer.code == 0
    assert answer.err == ""
    for words in (
        "opencv-libgl (match: high)", "said        line 1: ImportError: libGL.so.1",
        "graphics libraries of the system", "apt-get install -y libgl1",
        "by mtcnn-doctor check: opencv-system-library",
        "https://github.com/opencv/opencv-python/issues/370",
    ):  # fmt: skip
        assert words in answer.out


def test_a_real_failure_is_explained_from_standard_input(tmp_path: Path) -> None:
    """The whole road: pytest fails for a file that hides mtcnn, and explain reads what it says."""
    (tmp_path / "mtcnn.py").write_text("from mtcnn import MTCNN\n")
    (tmp_path / "test_faces.py").write_text("def test_faces():\n    from mtcnn import MTCNN\n")
    command = [sys.executable, "-m", "pytest", "--color=yes", "-p", "no:cacheprovider", "."]
    said = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    explain = [sys.executable, "-m", "mtcnn_doctor", "explain", "-"]
    done = subprocess.run(explain, input=said.stdout, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0
    assert b"shadowed-partially-initialized (match: high)" in done.stdout
    assert b"by mtcnn-doctor check: module-shadowed" in done.stdout


#: Programs that fail as known, with what this machine has: module, program, id.
REAL = [
    ("numpy", "import numpy; numpy.float_", "numpy-removed-alias"),
    (
        "numpy",
        "import numpy; numpy.save('a.npy', numpy.array([{}], dtype=object)); numpy.load('a.npy')",
        "numpy-pickled-weights",
    ),
    ("cv2", "import cv2; cv2.cvtColor(cv2.imread('no.png'), 4)", "opencv-empty-image"),
    (
        "cv2",
        "import cv2, numpy; image = numpy.zeros((9, 9, 3), 'uint8')[:, :, ::-1]\n"
        "cv2.rectangle(image, (0, 0), (3, 3), (1, 1, 1))",
        "cv2-drawing-negative-stride",
    ),
    ("torch", "import torch; torch.cat([])", "empty-pyramid"),
    (
        "torch",
        "import torch; open('a.pt', 'w').write('<!DOCTYPE html>'); torch.load('a.pt')",
        "weights-html",
    ),
    ("torch", "import torch; open('a.pt', 'w').close(); torch.load('a.pt')", "weights-cut"),
]


@pytest.mark.parametrize(("module", "program", "id"), REAL, ids=[row[2] for row in REAL])
def test_what_libraries_write_today_is_recognised(
    module: str, program: str, id: str, tmp_path: Path
) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert ids(done.stderr)[0] == id


def test_harmless_lines_alone_are_called_so(doctor: Doctor) -> None:
    answer = doctor("explain", "port.cc:153] oneDNN custom operations are on.\nKeyError: 'x'")
    assert answer.code == 0
    assert answer.out.startswith("Harmless lines were recognised; a failure")
    assert "tf-many-log-lines-mistaken (match: high, harmless)" in answer.out


def test_explain_reads_a_file_and_names_the_line(doctor: Doctor, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("started\n\n\nRuntimeError: Numpy is not available\nsecret-token-of-mine\n")
    answer = doctor("explain", log)
    assert "line 4: RuntimeError: Numpy is not available" in answer.out
    assert "secret-token-of-mine" not in answer.out


def test_utf_16_of_powershell_is_read(doctor: Doctor, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_bytes("RuntimeError: Numpy is not available\r\n".encode("utf-16"))
    assert "numpy-not-available" in doctor("explain", log).out


def test_json_has_the_matches(doctor: Doctor) -> None:
    report = doctor("explain", "RuntimeError: Numpy is not available", "--format", "json").report
    match = report["matches"][0]
    assert (match["id"], match["match"], match["line"]) == ("numpy-not-available", "high", 1)
    assert match["cause"]
    assert match["remedy"]
    assert match["commands"] == ['pip install "numpy<2"']
    assert match["source"].startswith("https://")
    nothing = doctor("explain", "KeyError: 'a'", "--format", "json")
    assert (nothing.code, nothing.report["matches"]) == (1, [])


def test_ids_of_checks_failures_and_issues_are_explained(doctor: Doctor) -> None:
    assert doctor("explain", "numpy-abi").out.startswith("numpy-abi (family packages")
    assert doctor("explain", "torch-no-kernel").out.startswith("torch-no-kernel (confidence: high)")
    issue = doctor("explain", "openvino-intel-mac", "--format", "json").report
    assert issue["affects"] == ["openvino>=2026.0"]
    check = doctor("explain", "numpy-abi", "--format", "json").report
    assert (check["id"], "## Why it matters" in check["documentation"]) == ("numpy-abi", True)


def test_typed_from_memory(doctor: Doctor) -> None:
    """Shells eat quotes, and people forget them."""
    assert "mtcnn-no-tensorflow (match: medium)" in doctor(
        "explain", "no module named tensorflow"
    ).out  # fmt: skip
    assert doctor("explain", "no module named tensorflow_hub").code == 1


def test_nothing_known_is_one_line_and_exit_1(doctor: Doctor) -> None:
    answer = doctor("explain", "KeyError: 'boxes'")
    assert answer.code == 1
    assert len(answer.out.splitlines()) == 1
    assert "no known failure in the text" in answer.out
    assert "mtcnn-doctor check" in answer.out
    assert "boxes" not in answer.out


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("missing.log", "no file missing.log"),
        ("logs/run", "no file logs/run"),
        ("C:\\logs\\run.log", "no file C:\\logs\\run.log"),
        (".", ". is a folder"),
        ("", "nothing to explain"),
        ("   ", "nothing to explain"),
        ("torch-no-kernal", "did you mean torch-no-kernel?"),
        ("zzz", "no finding is called zzz; see mtcnn-doctor list"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(doctor: Doctor, argument: str, words: str) -> None:
    answer = doctor("explain", argument)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1


def test_binary_empty_and_unreadable_files_are_exit_2(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "core").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "empty.log").write_text(" \n")
    for name, words in (("core", "is binary"), ("empty.log", "is empty")):
        answer = doctor("explain", tmp_path / name)
        assert answer.code == 2
        assert words in answer.err
        assert len(answer.err.splitlines()) == 1


def test_a_terminal_is_not_obeyed(doctor: Doctor) -> None:
    answer = doctor("explain", "RuntimeError: Numpy is not available \x07\x9b31m\x1b]0;x\x07")
    assert "numpy-not-available" in answer.out
    assert not set(answer.out) & {"\x07", "\x1b", "\x9b"}


def test_a_long_line_is_quoted_in_part(doctor: Doctor, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("x" * 50_000 + " RuntimeError: Numpy is not available " + "y" * 50_000)
    answer = doctor("explain", log)
    assert "Numpy is not available" in " ".join(answer.out.split())
    assert len(answer.out) < 2000


def test_a_text_longer_than_file_names_may_be(doctor: Doctor) -> None:
    answer = doctor("explain", "RuntimeError: Numpy is not available " + "x" * 400)
    assert answer.code == 0
    assert "numpy-not-available" in answer.out


def test_a_stream_that_shows_ascii_only(doctor: Doctor) -> None:
    answer = doctor(
        "explain", "RuntimeError: Numpy is not available – größe",
        environment={"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert answer.code == 0
    assert "Numpy is not available - gr" in answer.out


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_a_file_without_end_is_left(doctor: Doctor) -> None:
    answer = doctor("explain", "/dev/zero", timeout=60)
    assert answer.code == 2
    assert "is binary" in answer.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_with_a_name_is_read(doctor: Doctor, tmp_path: Path) -> None:
    """What ``explain <(program)`` gives."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(
        target=pipe.write_text, args=("RuntimeError: Numpy is not available\n",)
    )
    writer.start()
    answer = doctor("explain", pipe)
    writer.join()
    assert "numpy-not-available" in answer.out


def test_a_long_log_ends_and_its_end_is_searched(doctor: Doctor, tmp_path: Path) -> None:
    """Lines that resemble known ones, by the hundred thousand: the search must not blow up."""
    log = tmp_path / "run.log"
    line = "2026-11-20 09:13:07 ERROR No module named 'x' has no attribute 'y' Segmentation fault\n"
    with log.open("w") as file:
        file.write("RuntimeError: Numpy is not available\n")
        file.write(line * (34 * 2**20 // len(line)))
        file.write("ImportError: libGL.so.1: cannot open shared object file\n")
    answer = doctor("explain", log)
    assert answer.code == 0
    assert "opencv-libgl" in answer.out
    assert "numpy-not-available" not in answer.out
    assert answer.err == f"only the last 32 MiB of {log} were searched\n"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 3_000_000,
        "'" * 3_000_000,
        "[" * 2_000_000 + "E   " * 100_000,
        "Segmentation fault torch " * 100_000,
        "\x1b]" * 500_000,
        "No module named '" * 200_000,
        "W0000 " * 300_000 + "\n" * 300_000,
    ],
    ids=["letters", "quotes", "brackets", "near misses", "escapes", "starts", "blank lines"],
)
def test_no_text_is_searched_forever(text: str) -> None:
    find(text)
