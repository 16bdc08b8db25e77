"""Make mtcnn_doctor/target/reference/weights.safetensors from the MIT-licensed mtcnn wheel.

    pip download --no-deps mtcnn==1.0.0
    pip install lz4 numpy
    python scripts/convert_weights.py mtcnn-1.0.0-py3-none-any.whl

The wheel holds LZ4-compressed joblib pickles. A pickle can run any code, so they are not given to
joblib.load but to an unpickler that knows three harmless names and refuses all others. The script
fails unless the converted numbers have the digests of the published networks.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import lz4.frame
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mtcnn_doctor.target.reference import weights as reference  # noqa: E402

WHEEL_SHA256 = "0a96b4868e56db9ae984449519642be6dba03240e608a67e928ebb47833e9144"
DIGESTS = {"pnet": "d1622ddbe9a55f9f", "rnet": "00118c87c726e056", "onet": "51054d2f0be08319"}
MAX_UNPACKED = 16 << 20


class _Wrapper:
    """Stands in for joblib's NumpyArrayWrapper: holds the shape and dtype of the array to come."""

    subclass: Any
    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]


# The Python implementation, not the C one: only there can BUILD be hooked. Type checkers do not
# know its insides.
_PythonUnpickler: Any = pickle._Unpickler


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Wrapper,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.stream = stream

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused: the pickle asks for {module}.{name}") from None

    def load_build(self) -> None:
        super().load_build()
        if not isinstance(self.stack[-1], _Wrapper):
            return
        wrapper = self.stack.pop()
        if wrapper.dtype.hasobject or wrapper.order != "C":
            raise pickle.UnpicklingError("refused: not a plain C-ordered numeric array")
        # joblib writes the data into the stream right behind the wrapper: one byte that counts
        # the alignment padding, the padding, the numbers.
        self.read(self.read(1)[0])
        count = int(np.prod(wrapper.shape))
        flat = np.frombuffer(self.read(count * wrapper.dtype.itemsize), dtype=wrapper.dtype)
        self.stack.append(flat.reshape(wrapper.shape))

    dispatch: ClassVar[dict[int, Any]] = {
        **_PythonUnpickler.dispatch,
        pickle.BUILD[0]: load_build,
    }


def read_wheel(wheel: Path, network: str) -> list[np.ndarray[Any, Any]]:
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read(f"mtcnn/assets/weights/{network}.lz4")
    data = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=MAX_UNPACKED)
    arrays = _Unpickler(io.BytesIO(data)).load()
    if not isinstance(arrays, list) or not all(isinstance(a, np.ndarray) for a in arrays):
        raise ValueError(f"{network}: expected a list of arrays")
    return arrays


def canonical(network: str, arrays: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Bring the wheel's list (HWIO kernels, heads box first) into canonical order.

    The wheel flattens feature maps as (x, y, channel) before a fully connected layer.
    """
    layout = reference.LAYOUT[network]
    heads = 6 if network == "onet" else 4
    body, tail = arrays[: len(layout) - heads], arrays[len(layout) - heads :]
    by_width = {tail[i].shape[-1]: (tail[i], tail[i + 1]) for i in range(0, heads, 2)}
    ordered = body + [array for width in (2, 4, 10) for array in by_width.get(width, ())]
    result = []
    for (name, shape), source in zip(layout, ordered, strict=True):
        if not name.endswith(".weight"):
            array = source.reshape(shape)
        elif len(shape) == 2:
            array = source.reshape(-1, shape[0]).T
        elif source.ndim == 4:
            array = source.transpose(3, 2, 0, 1)
        else:
            out, channels, height, width = shape
            array = source.reshape(width, height, channels, out).transpose(3, 2, 1, 0)
        result.append(np.ascontiguousarray(array, dtype="<f4").reshape(shape))
    return result


def write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    header: dict[str, Any] = {
        "__metadata__": {
            "origin": "mtcnn 1.0.0 (PyPI), MIT License, Copyright (c) 2019-2024 "
            "Iván de Paz Centeno",
            "layout": "canonical order, kernels (out, in, ky, kx), upright images",
        }
    }
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little"))
        stream.write(text)
        for tensor in tensors.values():
            stream.write(tensor.tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="mtcnn-1.0.0-py3-none-any.whl")
    parser.add_argument("--output", type=Path, default=Path(reference.BUNDLED_FILE))
    options = parser.parse_args()
    found = hashlib.sha256(options.wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        print(f"{options.wheel}: SHA-256 {found}, expected {WHEEL_SHA256}", file=sys.stderr)
        return 1
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for network, digest in DIGESTS.items():
        arrays = canonical(network, read_wheel(options.wheel, network))
        full = reference.canonical_digest(arrays)
        if full[:16] != digest:
            print(f"{network}: digest {full[:16]}, expected {digest}", file=sys.stderr)
            return 1
        print(f"{network}: {full}")
        layout = reference.LAYOUT[network]
        names = [f"{network}.{name}" for name, _ in layout]
        tensors.update(zip(names, arrays, strict=True))
    write_safetensors(options.output, tensors)
    data = options.output.read_bytes()
    print(f"{options.output}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
