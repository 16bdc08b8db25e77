"""The TFLite models as files: what a reader other than the runtime sees in them."""

from __future__ import annotations

import numpy as np
import pytest

from mtcnn_doctor.target.reference.networks import tflite_model
from mtcnn_doctor.target.reference.networks.flatbuffer import Numbers, Scalar, serialise


@pytest.fixture(scope="module")
def models(published):
    return tflite_model.build_models(published)


def test_the_models_are_tflite_and_use_up_all_arrays(models, published):
    assert [models[name][4:8] for name in ("pnet", "rnet", "onet")] == [b"TFL3"] * 3
    with pytest.raises(ValueError, match="left over"):
        tflite_model.build_models({**published, "rnet": [*published["rnet"], published["rnet"][0]]})


def test_the_official_reader_finds_operators_names_and_weights(models, published):
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(models["rnet"], 0))
    (graph,) = model.subgraphs
    names = {value: key for key, value in vars(schema.BuiltinOperator).items() if key[0] != "_"}
    operators = [names[model.operatorCodes[op.opcodeIndex].builtinCode] for op in graph.operators]
    assert operators == [
        "CONV_2D", "PRELU", "MAX_POOL_2D", "CONV_2D", "PRELU", "MAX_POOL_2D", "CONV_2D", "PRELU",
        "RESHAPE", "FULLY_CONNECTED", "PRELU", "FULLY_CONNECTED", "FULLY_CONNECTED",
    ]  # fmt: skip
    tensors = graph.tensors
    assert [tensors[i].name for i in graph.inputs] == [b"image"]
    assert [tensors[i].name for i in graph.outputs] == [b"face", b"box"]
    assert list(tensors[graph.inputs[0]].shapeSignature) == [-1, 24, 24, 3]
    (signature,) = model.signatureDefs
    assert signature.signatureKey == b"serving_default"
    kernel = tensors[graph.operators[0].inputs[1]]
    stored = np.frombuffer(bytes(model.buffers[kernel.buffer].data), "<f4").reshape(kernel.shape)
    assert np.array_equal(stored, published["rnet"][0].transpose(0, 2, 3, 1))


def test_weights_lie_where_vector_instructions_want_them(models, published):
    for name, model in models.items():
        for array in published[name]:
            if array.ndim == 1:  # biases and slopes are stored as they are
                assert model.find(array.astype("<f4").tobytes()) % 16 == 0


def test_an_encoded_table_is_what_the_format_says():
    data = serialise({0: Scalar("i", 7), 2: "ab", 3: Numbers.ints(1, -2)}, b"TEST")
    number = lambda at, size=4: int.from_bytes(data[at : at + size], "little")  # noqa: E731
    root = number(0)
    vtable = root - int.from_bytes(data[root : root + 4], "little", signed=True)
    fields = [number(vtable + 4 + 2 * n, 2) for n in range(4)]
    assert number(vtable, 2) == 4 + 2 * 4
    assert fields[1] == 0
    assert number(root + fields[0]) == 7
    text = root + fields[2] + number(root + fields[2])
    assert data[text : text + 7] == b"\x02\0\0\0ab\0"
    vector = root + fields[3] + number(root + fields[3])
    assert np.frombuffer(data, "<i4", 3, vector).tolist() == [2, 1, -2]
