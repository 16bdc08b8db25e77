"""A package that finds the wrong faces: the first place where it departs from the reference."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Doctor
from .test_subjects import check, facenet, old, packages, subject, the_finding

__all__ = ["facenet", "old", "packages"]

Patch = Callable[[str, str], dict[str, str]]

pytestmark = [
    pytest.mark.environments,
    pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX environment"),
]


@pytest.mark.exhaustive
def test_noise_in_the_r_net_of_facenet(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    torch = pytest.importorskip("torch")
    assert torch
    noisy = patch_module(
        "facenet_pytorch.models.mtcnn",
        """
        init = module.RNet.__init__
        def noise(self, *a, **k):
            init(self, *a, **k)
            import torch
            torch.manual_seed(1)
            with torch.no_grad():
                for parameter in self.parameters():
                    parameter.copy_(torch.randn(parameter.shape) * 0.1)
        module.RNet.__init__ = noise
        """,
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=noisy)
    found = the_finding(answer)
    assert found["id"] in ("subject-empty", "subject-wrong-result")
    assert "first in R-Net" in found["title"]
    divergence = subject(answer, "facenet-pytorch")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("rnet", "conv1")
    assert "R-Net" in found["evidence"]["first difference"]


def test_one_layer_of_o_net_is_named(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    changed = patch_module(
        "facenet_pytorch.models.mtcnn",
        """
        init = module.ONet.__init__
        def steep(self, *a, **k):
            init(self, *a, **k)
            self.prelu3.weight.data.fill_(2.0)
        module.ONet.__init__ = steep
        """,
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=changed)
    divergence = subject(answer, "facenet-pytorch")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("onet", "prelu3")
    assert "first in O-Net" in the_finding(answer)["title"]


def test_nan_is_traced_to_its_layer(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    poisoned = patch_module(
        "facenet_pytorch.models.mtcnn",
        """
        init = module.RNet.__init__
        def poison(self, *a, **k):
            init(self, *a, **k)
            self.conv2.bias.data[0] = float("nan")
        module.RNet.__init__ = poison
        """,
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=poisoned)
    found = the_finding(answer)
    divergence = subject(answer, "facenet-pytorch")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("rnet", "conv2")
    assert "layer conv2 makes NaN or infinity" in found["evidence"]["first difference"]


@pytest.mark.exhaustive
def test_noise_in_the_r_net_of_mtcnn(doctor: Doctor, packages: Path, patch_module: Patch) -> None:
    pytest.importorskip("tensorflow")
    noisy = patch_module(
        "mtcnn.stages.stage_rnet",
        """
        init = module.StageRNet.__init__
        def noise(self, *a, **k):
            init(self, *a, **k)
            import numpy
            random = numpy.random.default_rng(1)
            self.model.set_weights(
                [random.normal(0, 0.1, w.shape) for w in self.model.get_weights()])
        module.StageRNet.__init__ = noise
        """,
    )
    answer = check(doctor, packages, "mtcnn", environment=noisy)
    found = the_finding(answer)
    assert "first in R-Net" in found["title"]
    divergence = subject(answer, "mtcnn")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("rnet", "conv1")


def test_same_padding_in_mtcnn(doctor: Doctor, packages: Path, patch_module: Patch) -> None:
    pytest.importorskip("tensorflow")
    padded = patch_module(
        "mtcnn.network.pnet",
        """
        init = module.PNet.__init__
        def same(self, *a, **k):
            init(self, *a, **k)
            for layer in (self.conv1, self.conv2, self.conv3):
                layer.padding = "same"
        module.PNet.__init__ = same
        """,
    )
    answer = check(doctor, packages, "mtcnn", environment=padded)
    found = the_finding(answer)
    assert "first in P-Net" in found["title"]
    divergence = subject(answer, "mtcnn")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("pnet", "conv1")
    assert divergence["layer_shape"][2] == divergence["layer_expected_shape"][2] + 2


@pytest.mark.exhaustive
def test_bgr_in_mtcnn(doctor: Doctor, packages: Path, patch_module: Patch) -> None:
    pytest.importorskip("tensorflow")
    turned = patch_module(
        "mtcnn.mtcnn",
        """
        load = module.load_images_batch
        module.load_images_batch = lambda images: load([i[:, :, ::-1].copy() for i in images])
        """,
    )
    answer = check(doctor, packages, "mtcnn", environment=turned)
    found = the_finding(answer)
    assert "because of what it is fed" in found["title"]
    assert "BGR" in found["cause"]


@pytest.mark.exhaustive
def test_same_padding_in_facenet(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    padded = patch_module(
        "facenet_pytorch.models.mtcnn",
        """
        init = module.PNet.__init__
        def same(self, *a, **k):
            init(self, *a, **k)
            for layer in (self.conv1, self.conv2, self.conv3):
                layer.padding = (1, 1)
        module.PNet.__init__ = same
        """,
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=padded)
    found = the_finding(answer)
    # Its boxes lie so far outside that the package raises before it answers.
    assert found["id"] == "subject-error"
    assert "first in P-Net" in found["title"]
    assert "layer conv1 answers" in found["evidence"]["first difference"]
    divergence = subject(answer, "facenet-pytorch")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("pnet", "conv1")
    assert divergence["layer_shape"][2] == divergence["layer_expected_shape"][2] + 2


@pytest.mark.exhaustive
def test_noise_in_the_r_net_of_mtcnn_0_1(doctor: Doctor, old: Path, patch_module: Patch) -> None:
    """The old generation, whose networks are those of Caffe, columns before rows."""
    pytest.importorskip("tensorflow")
    noisy = patch_module(
        "mtcnn.network.factory",
        """
        build = module.NetworkFactory.build_rnet
        def noise(self, *a, **k):
            import numpy
            random = numpy.random.default_rng(1)
            network = build(self, *a, **k)
            set_weights = network.set_weights
            network.set_weights = lambda weights: set_weights(
                [random.normal(0, 0.1, w.shape) for w in weights])
            return network
        module.NetworkFactory.build_rnet = noise
        """,
    )
    answer = check(doctor, old, "mtcnn", environment=noisy)
    # A network of noise makes boxes of which the package cannot cut crops.
    assert "first in R-Net" in the_finding(answer)["title"]
    divergence = subject(answer, "mtcnn")["divergence"]
    assert (divergence["stage"], divergence["layer"]) == ("rnet", "conv1")


@pytest.mark.exhaustive
def test_bgr_in_mtcnn_0_1(doctor: Doctor, old: Path, patch_module: Patch) -> None:
    pytest.importorskip("tensorflow")
    turned = patch_module(
        "mtcnn.mtcnn",
        """
        detect = module.MTCNN.detect_faces
        module.MTCNN.detect_faces = lambda self, image: detect(self, image[:, :, ::-1].copy())
        """,
    )
    answer = check(doctor, old, "mtcnn", environment=turned)
    assert "because of what it is fed" in the_finding(answer)["title"]
    assert "BGR" in the_finding(answer)["cause"]


@pytest.mark.exhaustive
def test_bgr_in_facenet(doctor: Doctor, facenet: Path, patch_module: Patch) -> None:
    pytest.importorskip("torch")
    turned = patch_module(
        "facenet_pytorch.models.mtcnn",
        """
        detect = module.detect_face
        module.detect_face = lambda image, *a, **k: detect(image[..., ::-1].copy(), *a, **k)
        """,
    )
    answer = check(doctor, facenet, "facenet-pytorch", environment=turned)
    assert "because of what it is fed" in the_finding(answer)["title"]
    assert subject(answer, "facenet-pytorch")["divergence"]["stage"] == "input"
    assert "BGR" in the_finding(answer)["cause"]
