"""``mtcnn-doctor report``: complete, without names and secrets, and written only when agreed to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mtcnn_doctor.report.redact import Redactor

from .conftest import Doctor

RECORDED = Path(__file__).parent / "facts" / "healthy-all.json"
TOKEN = "ghp_" + "a1B2" * 9
SECRETS = ("s3cr3tpassw0rd", "proxy-pw-77", "ann@corp.example", TOKEN, "hf-planted-value-123")
LEAK = "this stood outside of the crash folder"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A report from elsewhere into which secrets were put that its maker did not take out."""
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    facts = document.get("facts", document)
    facts.setdefault("environment", {}).setdefault("variables", {}).update(
        {
            "HTTPS_PROXY": "http://me:proxy-pw-77@proxy.example:3128",
            "PIP_INDEX_URL": "https://ann@corp.example:s3cr3tpassw0rd@pypi.corp.example/simple",
            "MY_TOKEN": "hf-planted-value-123",
            "PYTHONPATH": f"{tmp_path}/home/lib",
        }
    )
    facts["note"] = {"text": f"{TOKEN} ann@corp.example on {socket.gethostname()}"}
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def hostile(folder: Path, outside: Path) -> Path:
    """A crash folder of somebody who wants what is outside of it."""
    outside.mkdir()
    (outside / "secret.txt").write_text(LEAK)
    folder.mkdir()
    (folder / "fault.txt").write_text(f"MY_TOKEN=hf-planted-value-123 {outside.parent}/home/x\n")
    (folder / "linked.txt").symlink_to(outside / "secret.txt")
    (folder / "folder").symlink_to(outside, target_is_directory=True)
    (folder / "endless.txt").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.txt")
    (folder / "photo.png").write_bytes(b"\x89PNG private")
    (folder / "..hidden.txt").write_text("dots")
    with open(folder / "huge.log", "wb") as file:
        file.truncate(1 << 32)
    (folder / "long.log").write_text("ann@corp.example " * 200_000)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")
def test_nothing_private_is_in_the_zip(doctor: Doctor, recorded: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    crash = hostile(tmp_path / "crash", tmp_path / "outside")
    variables = {"HOME": str(home), "API_KEY": "s3cr3tpassw0rd", "XDG_CACHE_HOME": str(home)}
    command = ("report", "--from", recorded, "--crash", crash, "--yes", "--output")
    answer = doctor(*command, tmp_path / "one", environment=variables)
    assert answer.code == 0, answer.err
    archive = zipfile.ZipFile(tmp_path / "one.zip")
    names = archive.namelist()
    assert {"report.md", "report.json", "crash/fault.txt", "crash/long.log"} <= set(names)
    assert not [name for name in names if name.startswith("/") or ".." in name or "\\" in name]
    everything = b"\n".join(archive.read(name) for name in names).decode()
    page = (tmp_path / "one.md").read_text(encoding="utf-8")
    assert archive.read("report.md").decode() == page
    assert len(page) <= 65_536
    for text in (everything, page):
        for planted in (*SECRETS, str(home), LEAK, "\x89PNG private"):
            assert planted not in text
    host = socket.gethostname()
    if Redactor(home="", user="").text(host) != host:  # not one of the names of everybody
        assert host not in everything
    assert "MY_TOKEN=<secret> ~/x" in archive.read("crash/fault.txt").decode()
    assert max(info.file_size for info in archive.infolist()) <= 8 << 20

    # What is in it, what is not and why, and what was taken out, was said before.
    assert "crash/long.log" in answer.err
    assert "cut, its 3400000 bytes are too many" in answer.err
    for said in ("linked.txt: a link", "pipe.txt: not a regular file", "photo.png: not one of"):
        assert said in answer.err
    assert "<e-mail>" in answer.err
    assert "<password>" in answer.err

    # The report in it can be packed again, and the same contents make the same zip.
    again = tmp_path / "again.json"
    again.write_bytes(archive.read("report.json"))
    for name in ("two", "three"):
        packed = doctor("report", "--from", again, "--yes", "--output", tmp_path / name)
        assert packed.code == 0, packed.err
    assert (tmp_path / "two.zip").read_bytes() == (tmp_path / "three.zip").read_bytes()


def test_nothing_is_written_unasked(doctor: Doctor, recorded: Path, tmp_path: Path) -> None:
    answer = doctor("report", "--from", recorded, "--output", tmp_path / "out")
    assert (answer.code, answer.out) == (2, "")
    assert "--yes" in answer.err
    (tmp_path / "out.md").write_text("mine")
    answer = doctor("report", "--from", recorded, "--output", tmp_path / "out", "--yes")
    assert answer.code == 2
    assert "--force" in answer.err
    assert (tmp_path / "out.md").read_text() == "mine"
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("n", 1), ("", 1), ("\x04", 1)])
def test_a_terminal_is_asked(tmp_path: Path, typed: str, code: int) -> None:
    controller, terminal = os.openpty()
    os.write(controller, f"{typed}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "mtcnn_doctor", "report", "--from", RECORDED, "--output", "out"],
        stdin=terminal, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    os.close(controller)
    os.close(terminal)
    assert done.returncode == code, done.stderr
    assert "report.json" in done.stderr.partition("write out.md and out.zip?")[0]
    written = {path.name for path in tmp_path.iterdir()}
    assert written == ({"out.md", "out.zip"} if code == 0 else set())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "missing.json"], "--from missing.json"),
        (["--crash", "missing"], "--crash missing is no folder"),
        (["--from", "x.json", "--level", "1"], "leave one out"),
        (["--output", "no/such/folder/x"], "its folder does not exist"),
    ],
)
def test_bad_input_is_one_line(doctor: Doctor, options: list[str], said: str) -> None:
    answer = doctor("report", "--yes", *options)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "damage", [{"target": []}, {"findings": 3}, {"command": [1]}, {"runs": [{"name": "x"}]}]
)
def test_a_damaged_report_is_one_line(
    doctor: Doctor, tmp_path: Path, damage: dict[str, object]
) -> None:
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    facts = document.get("facts", document)
    whole = {"schema_version": 1, "facts": facts, "findings": [], "runs": [], "target": {},
             "created": "", "command": ["x"], "incomplete": []}  # fmt: skip
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps({**whole, **damage}))
    answer = doctor("report", "--from", path, "--yes", "--output", tmp_path / "out")
    assert answer.code == 2
    assert answer.err.startswith(f"error: --from {path} is no whole report")
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize(
    "text",
    ["tokenizers==0.19.1", "git+ssh://git@github.com/a/b", "unexpected token: x", "torch@2.1.0",
     "libc.so.6@GLIBC_2.34", "TOKENIZERS_PARALLELISM=false"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor(home="/home/ann", user="ann", host="box17", secrets=()).text(text) == text
