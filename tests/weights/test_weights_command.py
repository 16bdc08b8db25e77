"""``mtcnn-doctor weights`` and ``--weights`` as a user runs them."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference.weights import PUBLISHED_DIGESTS
from tests.conftest import Doctor

from .files import index, judged, keras_list, lz4, problems, published, save, write
from .test_findings import changed, hostile, html, lz4_of, torch_of


def test_inspect_names_the_published_networks_and_what_is_not_theirs(
    doctor: Doctor, tmp_path: Path
) -> None:
    answer = doctor("weights", "inspect", *write(tmp_path, "mtcnn-1.0"))
    assert answer.code == 0
    assert answer.out.count("the published weights") == 3
    assert "in the manner of mtcnn-1.0" in answer.out
    wrong = doctor("weights", "inspect", html(tmp_path), hostile(tmp_path), "--format", "json")
    assert wrong.code == 1
    assert [(one["id"], one["about"]) for one in wrong.findings("error")] == [
        ("weights-not-a-model", "det1.npy"),
        ("weights-unsafe", "pnet.pkl"),
    ]
    states = {one["name"]: one["state"] for one in wrong.report["facts"]["weights"]}
    assert states == {"det1.npy": "html", "pnet.pkl": "read"}


@pytest.mark.exhaustive
def test_inspect_tries_networks_of_ones_own(doctor: Doctor, tmp_path: Path) -> None:
    own = changed("rnet", "face.bias", lambda bias: np.add(bias, [4, -4]))
    path = lz4_of(tmp_path, own, "rnet")
    answer = doctor("weights", "inspect", path)
    assert "R-Net keeps " in answer.out
    assert "crowd.png" in answer.out
    calm = doctor("weights", "inspect", path, "--no-try")
    assert calm.code == 0
    assert "crowd.png" not in calm.out


def test_verify_tells_by_its_exit_code(doctor: Doctor, tmp_path: Path) -> None:
    good = write(tmp_path, "facenet")
    assert doctor("weights", "verify", *good).code == 0
    own = changed("pnet", "box.bias", lambda bias: bias + np.float32(1e-3))
    assert doctor("weights", "verify", torch_of(tmp_path, own)).code == 1
    turned = save(tmp_path, "pnet.lz4", lz4(keras_list("pnet", "mtcnn-0.1")))
    assert doctor("weights", "verify", turned).code == 1


def test_diff_names_the_layers_across_formats(doctor: Doctor, tmp_path: Path) -> None:
    own = published()
    own["onet"][index("onet", "conv2.bias")][3] += 0.5
    (first,) = write(tmp_path, "mtcnn-0.1")
    (second,) = write(tmp_path, "safetensors", own)
    answer = doctor("weights", "diff", first, second)
    assert answer.code == 1
    assert "P-Net  equal, bit for bit" in answer.out
    assert "conv2.bias         1 of 64 numbers, at most 0.5 apart" in answer.out
    assert "conv1.weight" not in answer.out
    data = json.loads(doctor("weights", "diff", first, first, "--format", "json").out)
    assert data["equal"] is True


def test_convert_and_merge_go_round_without_losing_a_bit(doctor: Doctor, tmp_path: Path) -> None:
    own = published()
    random = np.random.default_rng(2)
    own["rnet"] = [random.standard_normal(a.shape).astype(np.float32) for a in own["rnet"]]
    files = write(tmp_path, "caffe", own)
    # tests/weights/test_formats.py goes through all of them without the command.
    chain = ["facenet-pytorch", "mtcnn-1.0", "caffe"]
    for kind in chain:
        folder = tmp_path / kind
        answer = doctor(
            "weights", "convert", *files, "--to", kind, "-o", folder, "--format", "json"
        )
        assert answer.code == 0, answer.err
        files = [Path(one["path"]) for one in answer.report["written"]]
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    for path in write(tmp_path, "caffe", own):
        assert (tmp_path / "caffe" / path.name).read_bytes() == path.read_bytes()
    merged = tmp_path / "all.npy"
    # In any order: which network is which is found out.
    assert doctor("weights", "merge", *reversed(files), "-o", merged).code == 0
    lists = np.load(merged, allow_pickle=True).item()
    assert [len(lists[name]) for name in ("pnet", "rnet", "onet")] == [13, 16, 21]


def test_repair_turns_what_was_saved_for_another_program(doctor: Doctor, tmp_path: Path) -> None:
    path = save(tmp_path, "pnet.lz4", lz4(keras_list("pnet", "mtcnn-0.1")))
    plain = doctor("weights", "convert", path, "--to", "facenet-pytorch", "-o", tmp_path / "a")
    assert plain.code == 0
    assert "--repair turns it" in plain.out
    assert [one.id for one in problems(tmp_path / "a" / "pnet.pt")] == ["weights-orientation"]
    repaired = tmp_path / "b"
    answer = doctor("weights", "convert", path, "--to", "mtcnn-1.0", "--repair", "-o", repaired)
    assert answer.code == 0
    (found,), findings = judged([repaired / "pnet.lz4"])
    assert found.facts["networks"]["pnet"]["published"]
    assert {one.severity.value for one in findings} <= {"pass", "skip"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "nowhere.npy"], "no file nowhere.npy"),
        (["inspect", "{folder}"], "is a folder; name the weight files in it"),
        (["diff", "{pnet}", "{rnet}"], "nothing to compare"),
        (["diff", "{pnet}", "{html}"], "an HTML page"),
        (["merge", "{pnet}", "-o", "{folder}/all.npy"], "no complete rnet and onet in it"),
        (["merge", "{pnet}", "{pnet}", "-o", "{folder}/all.npy"], "pnet is in both"),
        (["merge", "{pnet}", "-o", "{rnet}"], "there already; name another file, or replace it"),
        (["merge", "{pnet}", "-o", "{folder}/none/all.npy"], "its folder does not exist"),
        (["convert", "{html}", "--to", "caffe", "-o", "{folder}/new"], "an HTML page"),
        (
            ["convert", "{pnet}", "--to", "mtcnn-1.0", "-o", "{folder}"],
            "there already; name another",
        ),
        (["convert", "{pnet}", "--to", "caffe", "-o", "{html}"], "is a file; name a folder"),
        (["inspect", "{pnet}", "--python", "{bare}"], "numpy is not installed"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    doctor: Doctor, tmp_path: Path, bare_python: Path, arguments: list[str], words: str
) -> None:
    pnet, rnet, _ = write(tmp_path, "mtcnn-1.0")
    places = {
        "folder": tmp_path, "pnet": pnet, "rnet": rnet, "html": html(tmp_path), "bare": bare_python,
    }  # fmt: skip
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    answer = doctor("weights", *(text.format(**places) for text in arguments), "--quiet")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert words in answer.err
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGSEGV to send")
def test_a_file_that_kills_its_reader_is_an_error_and_what_follows_is_no_pass(
    doctor: Doctor, tmp_path: Path, patch_module: Callable[[str, str], dict[str, str]]
) -> None:
    if importlib.util.find_spec("h5py") is None:
        pytest.skip("no h5py here")
    fault = """
        import os, signal
        module.File = lambda *a, **k: os.kill(os.getpid(), signal.SIGSEGV)
    """
    deadly = save(tmp_path, "deadly.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
    answer = doctor(
        "weights", "inspect", deadly, *write(tmp_path, "mtcnn-0.1"), "--format", "json",
        environment=patch_module("h5py", fault),
    )  # fmt: skip
    assert answer.code == 1
    (finding,) = answer.findings("error")
    assert (finding["id"], finding["about"]) == ("weights-unsafe", "deadly.h5")
    assert "SIGSEGV" in finding["evidence"]["what"]
    assert answer.report["incomplete"] == [
        f"{tmp_path / 'mtcnn_weights.npy'} was not read: deadly.h5 ended the reading"
    ]


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """An environment with something of the field in it, and no NumPy."""
    import venv

    folder = tmp_path / "bare"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text("")
    return folder


@pytest.mark.exhaustive
def test_force_replaces(doctor: Doctor, tmp_path: Path) -> None:
    pnet, *_ = write(tmp_path, "mtcnn-1.0")
    target = save(tmp_path, "pnet.pt", b"old")
    arguments = ["weights", "convert", pnet, "--to", "facenet-pytorch", "-o", tmp_path]
    assert doctor(*arguments).code == 2
    assert target.read_bytes() == b"old"
    assert doctor(*arguments, "--force").code == 0
    assert target.read_bytes() != b"old"


def test_check_runs_networks_of_ones_own_and_tells_what_they_lose(
    doctor: Doctor, tmp_path: Path
) -> None:
    own = changed("onet", "face.bias", lambda bias: np.add(bias, [30, -30]))
    path = torch_of(tmp_path, own, "onet")
    answer = doctor(
        "check", "--backend", "numpy", "--weights", path, "--select", "weights,runs",
        "--format", "json",
    )  # fmt: skip
    assert answer.code == 1
    (finding,) = answer.findings("error")
    assert finding["id"] == "weights-recall"
    assert finding["title"].startswith("O-Net confirms 0 of ")
    assert answer.run("numpy")["detections"] == []
    (file,) = answer.report["facts"]["weights"]
    assert file["networks"]["onet"]["digest"] != PUBLISHED_DIGESTS["onet"]


def test_weights_that_cannot_be_used_end_the_check_at_once(doctor: Doctor, tmp_path: Path) -> None:
    short = save(tmp_path, "pnet.lz4", lz4(keras_list("pnet")[:-1]))
    for path, words in ((html(tmp_path), "an HTML page"), (short, "pnet.face.bias is missing")):
        answer = doctor("check", "--weights", path, "--quiet")
        assert answer.code == 2
        assert words in answer.err
    level = doctor("check", "--weights", write(tmp_path, "mtcnn-0.1")[0], "--level", "1")
    assert level.code == 2
    assert "--level 1" in level.err
