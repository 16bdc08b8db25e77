from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference import weights


@pytest.mark.parametrize(
    ("network", "arrays", "numbers", "digest"),
    [
        ("pnet", 13, 6632, "d1622ddbe9a55f9f"),
        ("rnet", 16, 100178, "00118c87c726e056"),
        ("onet", 21, 389040, "51054d2f0be08319"),
    ],
)
def test_the_bundled_weights_are_the_published_ones(published, network, arrays, numbers, digest):
    found = published[network]
    assert len(found) == arrays
    assert sum(array.size for array in found) == numbers
    assert all(array.dtype == np.float32 and array.flags.writeable for array in found)
    assert weights.canonical_digest(found)[:16] == digest
    assert weights.canonical_digest(found) == weights.PUBLISHED_DIGESTS[network]


def test_the_digest_does_not_depend_on_byte_order_or_shape(published):
    swapped = [array.astype(">f4").reshape(-1) for array in published["pnet"]]
    assert weights.canonical_digest(swapped) == weights.PUBLISHED_DIGESTS["pnet"]


def bundled() -> bytes:
    return Path(weights.BUNDLED_FILE).read_bytes()


def test_an_explicit_path_is_read_without_the_checksum(tmp_path):
    data = bytearray(bundled())
    data[-1] ^= 1
    file = tmp_path / "own.safetensors"
    file.write_bytes(data)
    onet = weights.load_weights(str(file))["onet"]
    assert weights.canonical_digest(onet) != weights.PUBLISHED_DIGESTS["onet"]


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-4], lambda data: b"", lambda data: data[:-1] + bytes([data[-1] ^ 1])],
    ids=["truncated", "empty", "one bit"],
)
def test_a_damaged_bundled_file_is_named_with_a_remedy(tmp_path, monkeypatch, damage):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(damage(bundled()))
    monkeypatch.setattr(weights, "BUNDLED_FILE", str(file))
    with pytest.raises(weights.WeightsError, match="altered or truncated") as caught:
        weights.load_weights()
    assert str(file) in str(caught.value)
    assert "pip install --force-reinstall" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(weights.WeightsError, match=r"nothing\.here: cannot be read: No such file"):
        weights.load_weights(str(tmp_path / "nothing.here"))


def rewritten(change) -> bytes:
    data = bundled()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x93NUMPY", "NumPy header is cut off"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        ((5).to_bytes(8, "little") + b"hello", "header is not JSON"),
        ((2).to_bytes(8, "little") + b"[]", "not a JSON object"),
        ((2).to_bytes(8, "little") + b"{}", "it holds no MTCNN"),
        (bundled()[:-8], "reaches beyond the end"),
        (rewritten(lambda h: h["rnet.fc4.bias"].update(dtype="F16")), "has 512 bytes, not 256"),
        (rewritten(lambda h: h["rnet.fc4.bias"].update(dtype="F4")), "is of type F4"),
        (rewritten(lambda h: h["rnet.fc4.bias"].update(shape=[127])), "has 512 bytes, not 508"),
        (
            rewritten(lambda h: h["rnet.fc4.bias"].update(shape=[2, 64])),
            r"rnet\.fc4\.bias is missing",
        ),
        (rewritten(lambda h: h["rnet.fc4.bias"].pop("dtype")), "makes no sense"),
        (rewritten(lambda h: h.pop("onet.landmarks.bias")), r"landmarks\.bias is missing"),
        (rewritten(lambda h: h["onet.conv1.slope"].update(shape=[2, 4, 4])), "onet.conv1.slope"),
    ],
)
def test_a_file_that_is_something_else_says_so(tmp_path, content, message):
    file = tmp_path / "other.safetensors"
    file.write_bytes(content)
    with pytest.raises(weights.WeightsError, match=message) as caught:
        weights.load_weights(str(file))
    assert str(caught.value).startswith(str(file))
