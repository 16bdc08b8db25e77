"""Several threads on one image: the same answer, errors that come through, threads that end."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from mtcnn_doctor.target.reference import cascade, networks
from mtcnn_doctor.target.reference.blas import one_blas_thread
from mtcnn_doctor.target.reference.lanes import Lanes
from mtcnn_doctor.target.reference.networks.numpy_backend import NumpyNetworks


class Served(NumpyNetworks):
    """NumPy networks that serve several callers and remember them."""

    def __init__(self, weights, lanes):
        super().__init__(weights, np.float64)
        self.lanes, self.entered, self.callers = lanes, [], set()

    def enter_lane(self):
        self.entered.append(threading.get_ident())

    def pnet(self, x):
        self.callers.add(threading.get_ident())
        return super().pnet(x)


def same(found, wanted):
    assert found.levels == wanted.levels
    assert found.candidates == wanted.candidates
    for one, other in zip(found.detections, wanted.detections, strict=True):
        assert one.box == pytest.approx(other.box, abs=1e-6)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("file", ["crowd.png", "border_faces.png"])
def test_lanes_do_not_change_the_answer(exact, published, images, file, count):
    nets = Served(published, count)
    wanted = cascade.detect(images[file], exact, dtype=np.float64)
    with Lanes(nets) as lanes:
        for _ in range(2):
            same(cascade.detect(images[file], nets, dtype=np.float64, lanes=lanes), wanted)
    assert len(set(nets.entered)) == len(nets.entered) <= count
    assert nets.callers <= set(nets.entered)
    assert threading.get_ident() not in nets.callers


def test_with_one_lane_there_is_no_thread(published, images):
    nets = Served(published, 1)
    before = threading.active_count()
    with Lanes(nets) as lanes:
        cascade.detect(images["no_face.png"], nets, lanes=lanes)
        assert threading.active_count() == before
    assert nets.callers == {threading.get_ident()}


def test_an_error_in_a_lane_is_the_callers_and_the_threads_end(published, images):
    class Failing(Served):
        def rnet(self, x):
            raise RuntimeError("no kernel image is available")

    nets = Failing(published, 2)
    before = threading.active_count()
    with Lanes(nets) as lanes, pytest.raises(RuntimeError, match="no kernel image"):
        cascade.detect(images["portrait.png"], nets, lanes=lanes)
    assert threading.active_count() == before


def test_every_step_is_told_by_the_thread_that_does_it(published, images):
    nets = Served(published, 2)
    steps = []
    with Lanes(nets) as lanes:
        cascade.detect(
            images["crowd.png"],
            nets,
            lanes=lanes,
            enter=lambda stage, step: steps.append((threading.get_ident(), stage, step)),
        )
    assert {one for one, stage, _ in steps if stage == "pnet"} == nets.callers
    words = [step for _, stage, step in steps if stage == "pnet"]
    assert any("rows 1-" in word for word in words)
    assert len(words) == len(set(words))


def test_the_stages_are_recorded_raw(exact, images):
    record = cascade.Stages()
    result = cascade.detect(images["small_faces.png"], exact, dtype=np.float64, record=record)
    assert [(level.height, level.width) for level in record.pnet] == result.levels
    for level in record.pnet:
        size = ((level.height - 1) // 2 - 4, (level.width - 1) // 2 - 4)
        assert (level.logits.shape, level.offsets.shape) == ((2, *size), (4, *size))
    assert len(record.rnet.boxes) == len(record.rnet.logits) == result.candidates["pnet"]
    assert record.rnet.landmarks is None
    assert record.onet.landmarks.shape == (result.candidates["rnet"], 10)
    probability = 1 / (1 + np.exp(record.onet.logits[:, 0] - record.onet.logits[:, 1]))
    best = max(face.confidence for face in result.detections)
    assert probability.max() == pytest.approx(best, abs=1e-9)


def test_the_record_of_several_lanes_is_that_of_one(exact, published, images):
    one, many = cascade.Stages(), cascade.Stages()
    cascade.detect(images["crowd.png"], exact, dtype=np.float64, record=one)
    nets = Served(published, 2)
    with Lanes(nets) as lanes:
        cascade.detect(images["crowd.png"], nets, dtype=np.float64, lanes=lanes, record=many)
    for mine, theirs in zip(one.pnet, many.pnet, strict=True):
        assert np.abs(mine.logits - theirs.logits).max() < 1e-9
    assert np.abs(one.onet.logits - many.onet.logits).max() < 1e-9


def blas_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    return [
        info["num_threads"]
        for info in threadpoolctl.threadpool_info()
        if info["internal_api"] == "openblas" and "numpy" in info["filepath"]
    ]


def test_numpys_threads_are_put_back():
    before = blas_threads()
    if not before:
        pytest.skip("this NumPy does not use OpenBLAS")
    with one_blas_thread(), one_blas_thread():
        assert blas_threads() == [1]
    assert blas_threads() == before


def test_torch_keeps_its_threads_outside_of_the_lanes(published, images):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(2)
    nets = networks.create("torch", published, threads=2, lanes=2)
    with Lanes(nets) as lanes:
        assert lanes.map(lambda _: torch.get_num_threads(), range(4)) == [1, 1, 1, 1]
        assert torch.get_num_threads() == 2
    told = []
    fresh = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert told == [2]
