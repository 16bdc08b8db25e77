"""A weight file that is a program, or a bomb, in every container: named, never run."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from mtcnn_doctor.target.reference.files import lz4frame
from mtcnn_doctor.target.reference.files.describe import read
from mtcnn_doctor.target.reference.files.raw import MAX_BYTES, MAX_FILE

from .files import judged, keras_list, lz4, problems, save


class Payload:
    """Runs a command when it is unpickled, and leaves a file that shows it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def npy(payload):
    out = io.BytesIO()
    np.save(out, np.array([payload, 1], dtype=object), allow_pickle=True)
    return out.getvalue()


def npz(payload):
    out = io.BytesIO()
    np.savez(out, pnet=np.array([payload, 1], dtype=object))
    return out.getvalue()


def joblib_in_lz4(payload):
    return lz4frame.compress(pickle.dumps([*keras_list("pnet"), payload], 4))


def joblib_wrapping_objects(payload):
    """An array of objects as joblib writes it: a second pickle inside the first."""
    inner = pickle.dumps([payload], 4)
    outer = (
        b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
        b"X\x08\x00\x00\x00subclasscnumpy\nndarray\nX\x05\x00\x00\x00shape(K\x01t"
        b"X\x05\x00\x00\x00orderX\x01\x00\x00\x00CX\x05\x00\x00\x00dtype"
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR(K\x03X\x01\x00\x00\x00|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK?tbX\x0a\x00\x00\x00allow_mmap\x89ub"
    )
    return lz4frame.compress(outer + inner + b".")


def torch_zip(payload):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"conv1.weight": payload}, 2))
        archive.writestr("archive/version", b"3\n")
    return out.getvalue()


def torch_legacy(payload):
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"a": payload}, []]
    return b"".join(pickle.dumps(part, 2) for part in parts)


def bare(payload):
    return pickle.dumps(payload)


def packed(payload):
    return zlib.compress(pickle.dumps(payload))


def gzipped(payload):
    return gzip.compress(pickle.dumps(payload))


PROGRAMS: list[tuple[Callable[[object], bytes], str]] = [
    (npy, "a.npy"), (npz, "a.npz"), (joblib_in_lz4, "pnet.lz4"),
    (joblib_wrapping_objects, "pnet.lz4"), (torch_zip, "a.pt"), (torch_legacy, "a.pth"),
    (bare, "a.pkl"), (packed, "a.joblib"), (gzipped, "a.pkl.gz"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name"), PROGRAMS, ids=[make.__name__ for make, _ in PROGRAMS])
def test_a_program_in_a_pickle_is_named_and_not_run(tmp_path, make, name):
    shown = tmp_path / "it-was-run"
    path = save(tmp_path, name, make(Payload(f"echo > '{shown}'")))
    (one,), findings = judged([path])
    assert not shown.exists()
    (refused,) = one.facts["refused"]
    assert refused in ("posix.system", "nt.system")
    told = [finding for finding in findings if finding.id == "weights-unsafe"]
    assert told[0].severity.value == "error"
    assert refused in told[0].title


def test_the_payload_of_these_tests_does_run_where_it_is_unpickled(tmp_path):
    shown = tmp_path / "it-was-run"
    pickle.loads(bare(Payload(f"echo > '{shown}'")))
    assert shown.exists()


ASSEMBLED = [
    # INST, OBJ, NEWOBJ_EX, a call of what a call gave, an extension code, a persistent id.
    b"(S'echo'\niposix\nsystem\n.",
    b"(cposix\nsystem\nS'echo'\no.",
    b"\x80\x04cposix\nsystem\n(S'echo'\nt}\x92.",
    b"cbuiltins\ngetattr\n(cos\nsystem\nS'__call__'\ntR(S'echo'\ntR.",
    b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04echo\x85R.",
    b"cnumpy.core.multiarray\n_reconstruct\n(cposix\nsystem\n(K\x00tC\x01btRcposix\nsystem\nb.",
]


@pytest.mark.parametrize("content", ASSEMBLED)
def test_programs_by_rarer_instructions_are_no_exception_either(tmp_path, content):
    facts = read(str(save(tmp_path, "a.pkl", b"\x80\x04" + content))).facts
    assert facts["state"] != "read"
    assert facts.get("refused") or facts["state"] == "damaged", facts


def test_an_extension_code_is_refused(tmp_path):
    facts = read(str(save(tmp_path, "a.pkl", b"\x80\x02\x82\x01."))).facts
    assert facts["state"] == "unsafe"


def test_a_whole_torch_module_is_a_warning_and_its_arrays_are_read(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 10, 3), torch.nn.PReLU(10))
    torch.save(module, tmp_path / "pnet.pt")
    (one,), findings = judged([tmp_path / "pnet.pt"])
    (told,) = [finding for finding in findings if finding.id == "weights-unsafe"]
    assert told.severity.value == "warning"
    assert "torch.nn.modules.container.Sequential" in one.facts["refused"]
    assert one.facts["networks"]["pnet"]["arrays"] == 3


def lambda_model(h5py, path):
    config = {"config": {"layers": [{"class_name": "Lambda", "config": {"function": "code"}}]}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file["model_weights/conv2d/kernel:0"] = np.zeros((3, 3, 3, 10), np.float32)


def test_code_in_keras_models_is_named(tmp_path):
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    lambda_model(h5py, tmp_path / "pnet.h5")
    with zipfile.ZipFile(tmp_path / "pnet.keras", "w") as archive:
        archive.writestr("config.json", '{"class_name": "Lambda"}')
        archive.writestr("model.weights.h5", (tmp_path / "pnet.h5").read_bytes())
    for name in ("pnet.h5", "pnet.keras"):
        told = [one for one in problems(tmp_path / name) if one.id == "weights-unsafe"]
        assert "Lambda layer" in told[0].title, name


def test_links_out_of_hdf5_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.zeros((3, 3, 3, 10), np.float32)
    (tmp_path / "raw").write_bytes(bytes(4 * 270))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["conv1/kernel"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "kernel")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset(
            "conv1/kernel", (270,), "<f4", external=[(str(tmp_path / "raw"), 0, 1080)]
        )
    with h5py.File(tmp_path / "c.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 3, 3, 10), "<f4")
        layout[...] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "kernel", (3, 3, 3, 10))
        file.create_virtual_dataset("conv1/kernel", layout)
    for name in ("a.h5", "b.h5", "c.h5"):
        assert read(str(tmp_path / name)).facts["state"] == "unsafe", name


def hdf5_of_nothing(tmp_path):
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        # Never written, so it takes no room; read, it would take 40 GB.
        file.create_dataset("conv1/kernel", (10**5, 10**5), "<f4", chunks=(100, 100))
    return tmp_path / "bomb.h5"


def zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(MAX_BYTES + 1))
    return tmp_path / "bomb.npz"


def zip_that_lies(tmp_path):
    content = bytearray(zip_bomb(tmp_path).read_bytes())
    # The directory says 1000 bytes; out come 200 million.
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    return save(tmp_path, "lie.npz", bytes(content))


def zip_of_many(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(5000):
            archive.writestr(f"{number}.npy", b"")
    return tmp_path / "many.npz"


def gzip_bomb(tmp_path):
    return save(tmp_path, "bomb.pkl.gz", gzip.compress(bytes(MAX_BYTES + 10)))


def zlib_bomb(tmp_path):
    return save(tmp_path, "bomb.joblib", zlib.compress(bytes(MAX_BYTES + 10)))


def safetensors_header(tmp_path):
    claim = (2 << 20).to_bytes(8, "little")
    return save(tmp_path, "bomb.safetensors", claim + b"{" + b" " * (3 << 20))


def safetensors_shapes(tmp_path):
    entry = {"dtype": "F32", "shape": [2**30, 2**30], "data_offsets": [0, 0]}
    text = json.dumps({"conv1.weight": entry}).encode()
    return save(tmp_path, "a.safetensors", len(text).to_bytes(8, "little") + text)


def npy_of_billions(tmp_path):
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000), }\n"
    return save(tmp_path, "a.npy", b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head)


def pickle_of_encodes(tmp_path):
    """One text of 40 MB, encoded again and again."""
    text = b"X" + (40 << 20).to_bytes(4, "little") + b"a" * (40 << 20) + b"q\x00"
    call = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR"
    return save(tmp_path, "a.pkl", b"\x80\x02](" + text + call * 50 + b"e.")


def pickle_of_steps(tmp_path):
    return save(tmp_path, "a.pkl", b"\x80\x02" + b"]0" * 500_000 + b"N.")


def torch_of_one_number(tmp_path):
    """A tensor of strides 0: one number that claims to be a billion."""
    state = (
        b"\x80\x02}X\x0c\x00\x00\x00conv1.weightctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
        b"K\x00(J\x00\xca\x9a;K\x01t(K\x00K\x00t\x89NtRs."
    )
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", state)
        archive.writestr("a/data/0", bytes(4))
    return tmp_path / "a.pt"


BOMBS = [
    hdf5_of_nothing, zip_bomb, zip_that_lies, zip_of_many, gzip_bomb, zlib_bomb,
    safetensors_header, safetensors_shapes, npy_of_billions, pickle_of_encodes, pickle_of_steps,
    torch_of_one_number,
]  # fmt: skip


@pytest.mark.parametrize("make", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, make):
    import tracemalloc

    path = make(tmp_path)
    tracemalloc.start()
    try:
        facts = read(str(path)).facts
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert facts["state"] in ("bomb", "damaged", "truncated"), facts
    # The file itself, what may come out of it, and little else.
    assert peak < 2 * MAX_BYTES + 3 * path.stat().st_size
    (told,) = problems(path)
    assert told.id in ("weights-unsafe", "weights-truncated")


def deep_tuple():
    return b"\x80\x02)" + b"\x85" * 200_000 + b"."


def deep_dictionary_key():
    return b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns."


def deep_list():
    return b"\x80\x02" + b"]" * 150_000 + b"a" * 149_999 + b"."


def list_in_itself():
    return b"\x80\x02]q\x00h\x00a."


@pytest.mark.parametrize("make", [deep_tuple, deep_dictionary_key, deep_list, list_in_itself])
def test_nesting_without_end_ends(tmp_path, make):
    assert read(str(save(tmp_path, "a.pkl", make()))).facts["state"] != "read"


def test_a_file_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "huge.pt"
    with open(path, "wb") as file:
        file.truncate(MAX_FILE + 1)
    assert read(str(path)).facts["state"] == "too-large"


def test_a_tensor_that_reaches_beyond_its_storage_is_no_memory_leak(tmp_path):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    path = tmp_path / "a.pt"
    torch.save({"conv1.weight": torch.arange(270.0).reshape(10, 3, 3, 3)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content[:400] if "data/0" in name else content)
    facts = read(str(path)).facts
    assert facts["state"] == "truncated"
    assert "beyond" in facts["reason"]


def test_stock_files_ask_for_nothing_that_is_refused(tmp_path):
    path = save(tmp_path, "pnet.lz4", lz4(keras_list("pnet")))
    assert read(str(path)).facts["refused"] == []
