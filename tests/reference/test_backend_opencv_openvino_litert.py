"""What only the backends with models made in memory must prove: lanes, many sizes, devices."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference import networks
from mtcnn_doctor.target.reference.networks.tiles import pnet_on_tiles

ROOT = Path(networks.__file__).resolve().parents[4]
MODULES = {"opencv": "cv2", "openvino": "openvino", "litert": "ai_edge_litert"}
RNG = np.random.default_rng(3)


def noise(*shape: int) -> np.ndarray:
    return (RNG.random(shape) * 2 - 1).astype(np.float32)


def created(name: str, published, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(MODULES[name])
        return networks.create(name, published, **options)


@pytest.fixture(params=MODULES)
def name(request) -> str:
    return request.param


def test_sizes_and_batches_in_any_order(name, published, exact):
    """A runtime that keeps the last shape would answer the next one wrongly."""
    nets = created(name, published)
    for count, height, width in [
        (1, 30, 31), (3, 30, 31), (1, 30, 31), (1, 11, 11), (2, 257, 130), (1, 128, 128),
        (1, 127, 129), (1, 129, 127), (5, 12, 12), (1, 300, 12), (1, 11, 261),
    ]:  # fmt: skip
        x = noise(count, 3, height, width)
        for ours, theirs in zip(nets.pnet(x), exact.pnet(x), strict=True):
            assert ours.shape == theirs.shape
            assert ours.dtype == np.float32
            assert np.abs(ours - theirs).max() < 1e-4
    for count in (64, 1, 17, 1, 3):
        x, y = noise(count, 3, 24, 24), noise(count, 3, 48, 48)
        found, wanted = (*nets.rnet(x), *nets.onet(y)), (*exact.rnet(x), *exact.onet(y))
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).max() < 1e-4


def test_answers_are_kept_and_repeated_to_the_last_bit(name, published):
    nets = created(name, published)
    x, crops = noise(1, 3, 60, 47), noise(9, 3, 48, 48)
    first = (*nets.pnet(x), *nets.onet(crops))
    copies = [answer.copy() for answer in first]
    nets.pnet(-x)
    nets.pnet(noise(1, 3, 200, 200))
    nets.onet(-crops)
    for answer, copy in zip(first, copies, strict=True):
        assert np.array_equal(answer, copy)
    for answer, copy in zip((*nets.pnet(x), *nets.onet(crops)), copies, strict=True):
        assert np.array_equal(answer, copy)


def test_an_input_that_is_not_contiguous(name, published, exact):
    nets = created(name, published)
    x = noise(1, 3, 40, 50).transpose(0, 1, 3, 2)[:, :, ::2]
    for ours, theirs in zip(nets.pnet(x), exact.pnet(x), strict=True):
        assert np.abs(ours - theirs).max() < 1e-4


def test_lanes_are_served_at_the_same_time(name, published):
    nets = created(name, published, threads=2, lanes=2)
    assert nets.lanes == 2
    levels = [noise(1, 3, 40 + 7 * n, 90 - 5 * n) for n in range(8)]
    crops = [noise(n, 3, 24, 24) for n in (1, 9, 30)]
    nets.enter_lane()
    wanted = [nets.pnet(x) for x in levels] + [nets.rnet(x) for x in crops]
    wrong: list[str] = []

    def work(order: int) -> None:
        nets.enter_lane()
        for _ in range(10):
            found = [nets.pnet(x) for x in levels[::order]][::order]
            found += [nets.rnet(x) for x in crops]
            for ours, theirs in zip(found, wanted, strict=True):
                if not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
                    wrong.append("differs")

    threads = [threading.Thread(target=work, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


GROWTH = """
import random, sys, warnings
sys.path.insert(0, {root!r})
import numpy as np
from mtcnn_doctor.target.reference import networks, weights

nets = networks.create({name!r}, weights.load_weights(), threads=2)
random.seed(4)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

def level(height, width):
    nets.pnet(np.zeros((1, 3, height, width), np.float32))

def images(count):
    for _ in range(count):
        height, width = random.randint(40, 300), random.randint(40, 300)
        while min(height, width) >= 12:
            level(height, width)
            height, width = int(height * 0.709), int(width * 0.709)
        nets.rnet(np.zeros((random.randint(1, 64), 3, 24, 24), np.float32))
        nets.onet(np.zeros((random.randint(1, 64), 3, 48, 48), np.float32))

level(300, 300)
images(80)
before = resident()
images(220)
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_over_three_hundred_sizes(name):
    pytest.importorskip(MODULES[name])
    script = GROWTH.format(root=str(ROOT), name=name)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # Without a limit OpenVINO grows by some 400 MB here.
    assert float(done.stdout.split()[-1]) < 60


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("opencv", "cv2.dnn has no device 'abacus' here, only cpu"),
        ("openvino", "openvino has no device 'abacus', only CPU"),
        ("litert", "runs on the device 'cpu' only, not on 'abacus'"),
    ],
)
def test_an_unknown_device_is_told_what_there_is(published, backend, words):
    with pytest.raises(ValueError, match=words):
        created(backend, published, device="abacus")


def test_openvino_is_held_to_float32(published):
    nets = created("openvino", published, threads=1)
    openvino = importlib.import_module("openvino")
    for compiled in nets._compiled:
        assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_opencv_takes_the_number_of_threads(published):
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    try:
        created("opencv", published, threads=1)
        assert cv2.getNumThreads() == 1
        created("opencv", published, threads=4, lanes=2)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("side", [24, 32, 50])
@pytest.mark.parametrize("size", [(50, 51), (24, 80), (25, 23), (11, 97), (33, 32), (101, 60)])
def test_tiles_do_not_show(exact, side, size):
    x = noise(2, 3, *size)
    shapes = set()

    def run(tiles: np.ndarray) -> list[np.ndarray]:
        shapes.add(tiles.shape[1:3])
        assert len(tiles) <= 3
        return [answer.transpose(0, 2, 3, 1) for answer in exact.pnet(tiles.transpose(0, 3, 1, 2))]

    found = pnet_on_tiles(run, x.transpose(0, 2, 3, 1), side, 3)
    for ours, theirs in zip(found, exact.pnet(x), strict=True):
        assert np.abs(ours.transpose(0, 3, 1, 2) - theirs).max() < 1e-5
    assert all(
        n in (side, side - 1, whole) for s in shapes for n, whole in zip(s, size, strict=True)
    )
